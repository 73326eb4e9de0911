//! The life of a request: what is read, what is stored, and what the browser is told.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

#[test]
fn a_first_visit_that_only_reads_gets_no_cookie_and_stores_nothing() {
    let site = Site::new();
    let jar = Jar::default();
    let (value, answer) = site.ask(&jar, |visit| {
        assert_eq!(visit.user().unwrap(), None);
        assert!(visit.peek().unwrap().is_none());
        visit.session().unwrap().get::<String>("cart").unwrap()
    });
    assert_eq!(
        (value, answer.set_cookie(), answer.outcome),
        (None, None, Outcome::Nothing)
    );
    assert_eq!(site.sessions(), 0);
}

#[test]
fn a_request_without_our_cookie_never_reaches_the_store() {
    let site = Site::new();
    for field in [
        vec![],
        vec!["theme=dark; lang=en"],
        vec!["__Host-id=nonsense"],
    ] {
        let mut visit = site.manager.begin(field);
        visit.session().unwrap();
        assert!(!visit.needs_io());
        let _ = visit.finish().unwrap();
    }
    assert!(site.calls().is_empty());
}

#[test]
fn a_first_value_sets_exactly_one_cookie() {
    let site = Site::new();
    let (_, answer) = site.ask(&Jar::default(), |visit| put(visit, "cart", "tea"));
    let set = answer.set_cookie().expect("one");
    assert!(set.starts_with("__Host-id="));
    assert!(
        set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"),
        "no Max-Age, no Expires"
    );
    assert_eq!(answer.outcome, Outcome::Stored);
    assert_eq!(site.sessions(), 1);
}

#[test]
fn the_next_request_with_that_cookie_finds_the_value() {
    let site = Site::new();
    let jar = site.shopper();
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

#[test]
fn neither_a_look_nor_a_change_of_content_sets_the_cookie_again() {
    let site = Site::new();
    let jar = site.shopper();
    let (_, looked) = site.ask(&jar, |visit| visit.session().unwrap().is_modified());
    let (_, changed) = site.ask(&jar, |visit| put(visit, "cart", "coffee"));
    let (_, blind) = site.ask(&jar, |_| ());
    for answer in [&looked, &changed, &blind] {
        assert_eq!(answer.set_cookie(), None);
    }
    let outcomes = [looked.outcome, changed.outcome, blind.outcome];
    assert_eq!(
        outcomes,
        [Outcome::Touched, Outcome::Stored, Outcome::Touched]
    );
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("coffee"));
}

#[test]
fn a_well_formed_unknown_id_is_not_adopted() {
    let site = Site::new();
    let planted = Jar::of("__Host-id", UNKNOWN);
    let mut jar = planted.clone();
    let (_, looked) = site.ask(&jar, |visit| visit.user().unwrap().map(String::from));
    assert_eq!(
        looked.set_cookie(),
        None,
        "an id that is merely unknown is left alone"
    );
    site.visit(&mut jar, |visit| put(visit, "cart", "tea"));
    assert_ne!(jar, planted);
    assert_eq!(site.events(), ["created"]);
    assert_eq!(site.value(&planted, "cart"), None);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

#[test]
fn a_malformed_cookie_is_as_good_as_none_and_the_operator_is_told_once() {
    let site = Site::new();
    for value in [
        "",
        "x",
        "../../etc/passwd",
        &UNKNOWN[1..],
        &format!("{UNKNOWN}; __Host-id=x"),
    ] {
        let jar = Jar::of("__Host-id", value);
        site.events();
        let (_, answer) = site.ask(&jar, |visit| visit.user().unwrap().map(String::from));
        assert_eq!(
            (answer.set_cookie(), answer.outcome),
            (None, Outcome::Nothing),
            "{value:?}"
        );
        assert_eq!(site.events(), ["malformed"], "{value:?}");
    }
}

#[test]
fn a_cookie_of_an_expired_session_is_as_good_as_none_and_left_alone() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(HOUR);
        },
        |_| (),
    );
    let jar = site.login("ann");
    site.advance(HOUR);
    let (user, answer) = site.ask(&jar, |visit| visit.user().unwrap().map(String::from));
    assert_eq!((user, answer.set_cookie()), (None, None));
}

#[test]
fn a_request_that_does_not_look_at_its_session_costs_one_touch() {
    let site = Site::new();
    let jar = site.shopper();
    site.calls();
    let (_, answer) = site.ask(&jar, |_| ());
    assert_eq!(site.calls(), ["touch"]);
    assert_eq!(answer.outcome, Outcome::Touched);
    assert!(answer.headers.is_empty());
}

#[test]
fn a_session_is_loaded_once_however_often_it_is_asked_for() {
    let site = Site::new();
    let jar = site.login("ann");
    site.calls();
    let _ = site.ask(&jar, |visit| {
        for _ in 0..3 {
            visit.session().unwrap();
            visit.user().unwrap();
            visit.peek().unwrap();
            visit.take_flashes().unwrap();
            visit.is_csrf_token("x").unwrap();
            visit.is_fresh(HOUR).unwrap();
        }
    });
    assert_eq!(site.calls(), ["load", "save"]);
}

#[test]
fn the_session_is_stored_when_finish_returns() {
    let site = Site::new();
    let mut jar = Jar::default();
    let (_, answer) = site.ask(&jar, |visit| put(visit, "cart", "tea"));
    jar.receive(&answer);
    let stored = site
        .store
        .store
        .load_session(&jar.id().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(stored.get::<String>("cart").unwrap().unwrap(), "tea");
}

/// A stream decides about the cookie when its head is built; what comes later goes to the store by the session's id.
#[test]
fn a_stream_can_change_its_session_after_the_head_through_the_store() {
    let site = Site::new();
    let mut jar = Jar::default();
    let mut visit = site.begin(&jar);
    put(&mut visit, "rows", "0");
    let _ = visit.save().unwrap();
    let id = visit.session().unwrap().id().unwrap().clone();
    jar.receive(&answer(visit.finish().unwrap()));
    let changed = site
        .manager
        .store()
        .update_session(&id, |session| session.insert("rows", "9"));
    assert_eq!(changed.unwrap(), Some(false));
    assert_eq!(site.value(&jar, "rows").as_deref(), Some("9"));
}

/// The glue of a server drops it for such a status.
#[test]
fn a_response_of_500_or_more_stores_nothing_and_sets_no_cookie() {
    let site = Site::new();
    let jar = site.shopper();
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "coffee");
    visit.login("ann").unwrap();
    drop(visit); // the status was 500
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
    assert_eq!(site.user(&jar), None);
    put(&mut site.begin(&Jar::default()), "cart", "coffee");
    assert_eq!(site.sessions(), 1);
}

#[test]
fn a_panic_in_a_handler_stores_nothing_and_blocks_nobody() {
    let site = Site::new();
    let jar = site.shopper();
    for in_update in [false, true] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            site.ask(&jar, |visit| {
                put(visit, "cart", "coffee");
                if in_update {
                    let _ = visit.update(|_| -> Result<()> { panic!("in an update") });
                }
                panic!("in a handler");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
        let (n, _) = site.ask(&jar, |visit| {
            visit.update(|session| Ok(session.len())).unwrap()
        });
        assert_eq!(n, 1, "the next request is served");
    }
}

#[test]
fn an_explicit_save_stores_at_once_and_the_end_saves_no_second_time() {
    let site = Site::new();
    let jar = site.shopper();
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "coffee");
    assert_eq!(visit.save().unwrap(), Outcome::Stored);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("coffee"));
    site.calls();
    assert!(!visit.needs_io());
    let done = visit.finish().unwrap();
    assert!(site.calls().is_empty());
    assert_eq!(done.outcome(), Outcome::Stored);

    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "milk");
    let _ = visit.save().unwrap();
    put(&mut visit, "cart", "bread");
    let _ = visit.finish().unwrap();
    assert_eq!(
        site.value(&jar, "cart").as_deref(),
        Some("bread"),
        "what is changed after it is stored too"
    );
}

#[test]
fn an_explicit_save_of_a_new_session_is_told_to_the_browser_at_the_end() {
    let site = Site::new();
    let (_, answer) = site.ask(&Jar::default(), |visit| {
        put(visit, "cart", "tea");
        visit.save().unwrap()
    });
    assert!(answer.sets_an_id());
}

#[test]
fn a_reload_forgets_what_this_request_changed() {
    let site = Site::new();
    let jar = site.shopper();
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "coffee");
    visit.login("ann").unwrap();
    // Meanwhile.
    let _ = site.ask(&jar, |visit| put(visit, "size", "tall"));
    visit.reload().unwrap();
    assert_eq!(
        visit
            .session()
            .unwrap()
            .get::<String>("cart")
            .unwrap()
            .unwrap(),
        "tea"
    );
    assert_eq!(
        visit
            .session()
            .unwrap()
            .get::<String>("size")
            .unwrap()
            .unwrap(),
        "tall"
    );
    assert_eq!(answer(visit.finish().unwrap()).set_cookie(), None);
    assert_eq!(site.user(&jar), None);

    let mut visit = site.begin(&Jar::default());
    put(&mut visit, "cart", "coffee");
    visit.reload().unwrap();
    assert!(visit.session().unwrap().is_empty());
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "coffee");
    site.store.store.delete_session(&jar.id().unwrap()).unwrap();
    visit.reload().unwrap();
    assert!(
        visit.session().unwrap().is_empty(),
        "what was ended meanwhile is gone"
    );
}

#[test]
fn a_quiet_request_neither_prolongs_nor_writes_and_learns_how_long_is_left() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(HOUR);
        },
        |_| (),
    );
    let jar = site.login("ann");
    let poll = |visit: &mut Visit| {
        visit.set_quiet(true);
        visit.time_left().unwrap()
    };
    site.advance(20 * MINUTE);
    site.calls();
    assert_eq!(site.ask(&jar, poll).0, Some(40 * MINUTE));
    assert_eq!(site.calls(), ["load"]);
    site.advance(30 * MINUTE);
    assert_eq!(
        site.ask(&jar, poll).0,
        Some(10 * MINUTE),
        "the first look prolonged nothing"
    );
    assert_eq!(
        site.ask(&jar, |visit| visit.set_quiet(true)).1.outcome,
        Outcome::Nothing
    );
    site.advance(10 * MINUTE);
    assert_eq!(site.ask(&jar, poll).0, None);
}

#[test]
fn a_quiet_request_still_stores_what_it_changes() {
    let site = Site::new();
    let jar = site.shopper();
    let (_, answer) = site.ask(&jar, |visit| {
        visit.set_quiet(true);
        put(visit, "cart", "coffee");
    });
    assert_eq!(answer.outcome, Outcome::Stored);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("coffee"));
}

#[test]
fn removing_the_last_value_deletes_the_session_and_revokes_the_cookie() {
    let site = Site::new();
    let mut jar = site.shopper();
    let (_, answer) = site.ask(&jar, |visit| visit.session().unwrap().remove("cart"));
    assert!(answer.is_revoking());
    assert_eq!((answer.outcome, site.sessions()), (Outcome::Ended, 0));
    jar.receive(&answer);
    assert_eq!(jar, Jar::default());

    let jar = site.shopper();
    let (_, answer) = site.ask(&jar, |visit| {
        visit.update(|session| Ok(session.remove("cart"))).unwrap()
    });
    assert!(answer.is_revoking(), "by an update, too");
    assert_eq!((answer.outcome, site.sessions()), (Outcome::Ended, 0));
}

#[test]
fn emptying_a_session_that_never_had_a_cookie_sends_none() {
    let site = Site::new();
    let (_, answer) = site.ask(&Jar::default(), |visit| {
        put(visit, "cart", "tea");
        let _ = visit.save().unwrap();
        visit.session().unwrap().clear();
    });
    assert_eq!(answer.set_cookie(), None);
    let (_, answer) = site.ask(&Jar::default(), |visit| {
        visit.session().unwrap().clear();
        visit.logout().unwrap()
    });
    assert_eq!(answer.set_cookie(), None);
    assert_eq!(site.sessions(), 0);
}

#[test]
fn reading_counts_as_use_and_is_written_once_per_resolution() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(HOUR).access_resolution(MINUTE);
        },
        |_| (),
    );
    let jar = site.login("ann");
    for look in [false, true] {
        for _ in 0..5 {
            site.advance(40 * MINUTE);
            let _ = site.ask(&jar, |visit| look && visit.user().unwrap().is_some());
        }
        assert_eq!(
            site.user(&jar).as_deref(),
            Some("ann"),
            "three hours after the login"
        );
    }
    let accessed = || site.begin(&jar).session().unwrap().accessed().unwrap();
    site.advance(2 * MINUTE);
    let _ = site.ask(&jar, |_| ());
    let noted = accessed();
    site.advance(30 * SECOND);
    let _ = site.ask(&jar, |_| ());
    assert_eq!(accessed(), noted);
    site.advance(31 * SECOND);
    let _ = site.ask(&jar, |_| ());
    assert_eq!(accessed(), noted + 61 * SECOND);
}

#[test]
fn a_visit_can_be_shared_by_several_tasks() {
    let site = Site::new();
    let visit = Arc::new(Mutex::new(Some(site.begin(&Jar::default()))));
    thread::scope(|scope| {
        for n in 0..8 {
            let visit = Arc::clone(&visit);
            scope.spawn(move || {
                put(
                    visit.lock().unwrap().as_mut().unwrap(),
                    &n.to_string(),
                    "done",
                )
            });
        }
    });
    let mut jar = Jar::default();
    jar.receive(&answer(
        visit.lock().unwrap().take().unwrap().finish().unwrap(),
    ));
    assert_eq!(site.begin(&jar).session().unwrap().len(), 8);
    fn crosses_threads<T: Send + 'static>() {}
    crosses_threads::<Visit>();
    fn is_shared<T: Send + Sync + Clone + 'static>() {}
    is_shared::<SessionManager>();
}

#[test]
fn a_message_is_shown_once_by_the_page_that_takes_it_and_survives_a_redirect_and_a_login() {
    let site = Site::new();
    let mut jar = Jar::default();
    site.visit(&mut jar, |visit| visit.flash("ok", "Saved.").unwrap());
    site.visit(&mut jar, |_| ()); // the redirect, or a request in the background
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    let taken = site.visit(&mut jar, |visit| visit.take_flashes().unwrap());
    assert_eq!(
        (taken.len(), taken[0].kind.as_str(), taken[0].text.as_str()),
        (1, "ok", "Saved.")
    );
    assert!(
        site.visit(&mut jar, |visit| visit.take_flashes().unwrap())
            .is_empty()
    );
}

#[test]
fn taking_messages_where_there_are_none_is_no_change_and_no_session() {
    let site = Site::new();
    let jar = site.shopper();
    let before = site.begin(&jar).session().unwrap().version();
    let (_, answer) = site.ask(&jar, |visit| visit.take_flashes().unwrap());
    assert_eq!(answer.outcome, Outcome::Touched);
    assert_eq!(site.begin(&jar).session().unwrap().version(), before);
    let (_, answer) = site.ask(&Jar::default(), |visit| visit.take_flashes().unwrap());
    assert_eq!((answer.set_cookie(), site.sessions()), (None, 1));
}

#[test]
fn a_session_beyond_the_limit_is_refused_whole_however_it_is_stored() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_bytes_max(1_000);
        },
    );
    let jar = site.shopper();
    let large = "x".repeat(1_000);
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", &large);
    assert_eq!(visit.save().unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(visit.finish().unwrap_err().kind(), ErrorKind::TooLarge);
    let mut visit = site.begin(&jar);
    let refused = visit
        .update(|session| session.insert("cart", &large))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    drop(visit);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
    let mut visit = site.begin(&Jar::default());
    put(&mut visit, "cart", &large);
    assert_eq!(visit.finish().unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(site.sessions(), 1);
}

#[test]
fn a_session_may_take_65_536_bytes_unless_another_limit_is_set() {
    let site = Site::new();
    let length = 60_000;
    for (beyond, is_stored) in [(0, true), (1, false)] {
        let mut visit = site.begin(&Jar::default());
        put(&mut visit, "text", &"x".repeat(length));
        let left = 65_536 - visit.session().unwrap().size_bytes().unwrap();
        put(&mut visit, "text", &"x".repeat(length + left + beyond));
        assert_eq!(visit.finish().is_ok(), is_stored, "{beyond} bytes beyond");
    }
}

#[test]
fn each_event_is_told_without_an_id_a_user_or_a_value() {
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let sink = Arc::clone(&seen);
    let site = Site::with(
        |_| (),
        move |it| {
            let sink = Arc::clone(&sink);
            it.on_event(move |event| sink.lock().unwrap().push(format!("{event:?}")));
        },
    );
    let mut jar = site.shopper();
    let old = jar.clone();
    site.visit(&mut jar, |visit| visit.login("secret-user").unwrap());
    site.visit(&mut jar, |visit| visit.renew().unwrap());
    site.ask(&old, |visit| put(visit, "late", "secret-value"));
    site.visit(&mut jar, |visit| visit.logout().unwrap());
    let _ = site.manager.begin(["__Host-id=malformed"]);
    let (one, two) = (site.login("secret-user"), site.login("secret-user"));
    let both = [one.field(), two.field()].concat();
    site.manager.begin(&both).user().unwrap();
    site.store.fail(&["touch"]);
    site.ask(&one, |_| ());
    let said = seen.lock().unwrap().join("\n");
    for event in [
        "Created",
        "LoggedIn",
        "Renewed",
        "Ended",
        "Superseded",
        "Malformed",
        "Duplicate",
        "Lost",
        "TouchFailed",
    ] {
        assert!(said.contains(event), "{event} is not in {said}");
    }
    for jar in [&old, &jar, &one, &two] {
        for id in jar.0.values() {
            assert!(!said.contains(id.as_str()));
        }
    }
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn debug_of_all_that_a_visit_hands_out_shows_no_id() {
    let site = Site::new();
    let jar = site.login("ann");
    let id = jar.id().unwrap();
    let mut visit = site.begin(&jar);
    let watch = visit.watch().unwrap();
    visit.renew().unwrap();
    let shown = format!("{visit:?} {watch:?} {:?}", site.manager);
    assert!(shown.contains(&id.handle().to_string()), "{shown}");
    let done = visit.finish().unwrap();
    let shown = format!("{shown} {done:?}");
    assert!(shown.contains("Set-Cookie"));
    let new = answer(done).set_cookie().unwrap()[10..32].to_string();
    assert!(new.parse::<SessionId>().is_ok());
    for id in [id.as_str(), &new] {
        assert!(!shown.contains(id), "{shown}");
    }
}

#[test]
fn each_session_that_a_request_ends_is_told() {
    let empty = |session: &mut Session| {
        session.clear();
        Ok(())
    };
    type End<'a> = (&'a str, &'a dyn Fn(&Site, &Jar));
    let ends: [End<'_>; 4] = [
        ("emptied", &|site, jar| {
            site.ask(jar, |visit| visit.session().unwrap().clear());
        }),
        ("emptied by an update", &|site, jar| {
            site.ask(jar, |visit| visit.update(empty).unwrap());
        }),
        ("emptied beside another change", &|site, jar| {
            let mut visit = site.begin(jar);
            visit.session().unwrap().clear();
            site.ask(jar, |visit| put(visit, "cart", "milk"));
            assert_eq!(visit.finish().unwrap().outcome(), Outcome::Ended);
        }),
        ("the last token used", &|site, jar| {
            site.ask(jar, |visit| {
                let token = visit.session().unwrap().create_form_token().unwrap();
                visit.session().unwrap().clear();
                assert!(visit.use_form_token(&token).unwrap());
            });
        }),
    ];
    for (name, end) in ends {
        let site = Site::new();
        let jar = site.shopper();
        site.events();
        end(&site, &jar);
        assert_eq!(site.sessions(), 0, "{name}");
        assert_eq!(site.events(), ["ended"], "{name}");
    }
    let site = Site::new();
    let both = [site.shopper().field(), site.shopper().field()].concat();
    site.events();
    assert!(site.manager.begin(&both).logout().unwrap());
    assert_eq!(site.events(), ["ended", "ended"]);
}

#[test]
fn an_earlier_copy_that_is_put_back_after_a_save_undoes_what_was_saved() {
    let site = Site::new();
    let jar = site.shopper();
    let (_, answer) = site.ask(&jar, |visit| {
        let before = visit.session().unwrap().clone();
        put(visit, "cart", "coffee");
        put(visit, "size", "tall");
        assert_eq!(visit.save().unwrap(), Outcome::Stored);
        *visit.session().unwrap() = before;
    });
    assert_eq!(answer.outcome, Outcome::Stored);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
    assert_eq!(site.value(&jar, "size"), None);
}

#[test]
fn a_session_over_a_limit_that_was_lowered_is_used_on_and_may_become_smaller() {
    let site = Site::new();
    let mut jar = site.login("ann");
    site.visit(&mut jar, |visit| {
        put(visit, "text", &"x".repeat(2_000));
        visit.flash("ok", "Saved.").unwrap();
    });
    let mut options = ManagerOptions::new();
    options.session_bytes_max(1_000);
    let lower = options.manage_shared(site.store.clone()).unwrap();
    let mut visit = lower.begin(jar.field());
    assert_eq!(visit.take_flashes().unwrap().len(), 1);
    let _ = visit.finish().unwrap();
    let mut visit = lower.begin(jar.field());
    visit.renew().unwrap();
    put(&mut visit, "text", &"x".repeat(1_900));
    jar.receive(&answer(visit.finish().unwrap()));
    let mut visit = lower.begin(jar.field());
    put(&mut visit, "text", &"x".repeat(1_901));
    let error = visit.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}
