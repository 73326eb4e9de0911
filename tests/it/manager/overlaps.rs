//! Requests that meet what another request, or an earlier deed of their own, has done.

use super::*;

/// The session becomes this user's under the id that it has, by the store alone.
fn hand_over(site: &Site, jar: &Jar, user: &str) {
    let store = &site.store.store;
    let mut session = store.load_session(&jar.id().unwrap()).unwrap().unwrap();
    session.set_user(Some(user));
    assert!(matches!(
        store.save_session(&mut session).unwrap(),
        Saved::Stored
    ));
}

#[test]
fn a_renewal_that_is_asked_for_after_a_login_takes_nothing_of_the_login() {
    let site = Site::new();
    let month = Lifetime {
        idle: None,
        absolute: Some(30 * DAY),
    };
    let (_, told) = site.ask(&site.shopper(), |visit| {
        visit.login_for("ann", month).unwrap();
        visit.renew().unwrap();
    });
    assert!(told.set_cookie().unwrap().contains("; Max-Age=2592000;"));
    assert_eq!(site.events(), ["created", "logged in"]);
}

#[test]
fn a_second_logout_takes_back_what_came_after_the_first() {
    let site = Site::new();
    let jar = site.login("ann");
    let (_, told) = site.ask(&jar, |visit| {
        assert!(visit.logout().unwrap());
        visit.login("bob").unwrap();
        assert!(!visit.logout().unwrap());
    });
    assert!(told.is_revoking());
    assert_eq!(site.sessions(), 0);
}

/// The other tab's login has given the browser its cookie.
#[test]
fn a_request_that_ends_or_reloads_a_session_with_a_new_id_replaces_no_cookie() {
    let everywhere = |visit: &mut Visit| assert_eq!(visit.logout_everywhere().unwrap(), 1);
    let reload = |visit: &mut Visit| visit.reload().unwrap();
    for deed in [everywhere as fn(&mut Visit), reload] {
        let site = Site::new();
        let mut jar = site.login("ann");
        let mut late = site.begin(&jar);
        assert_eq!(late.user().unwrap(), Some("ann"));
        site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        let sessions = site.sessions();
        deed(&mut late);
        put(&mut late, "cart", "tea");
        assert_eq!(answer(late.finish().unwrap()).set_cookie(), None);
        assert!(site.sessions() <= sessions);
        assert_eq!(site.value(&jar, "cart"), None);
    }
}

#[test]
fn what_is_put_in_after_a_logout_everywhere_is_stored_although_all_had_ended_before() {
    let site = Site::new();
    let mut jar = site.login("ann");
    let mut late = site.begin(&jar);
    assert_eq!(late.user().unwrap(), Some("ann"));
    site.store.store.delete_user_sessions("ann").unwrap();
    assert_eq!(late.logout_everywhere().unwrap(), 0);
    put(&mut late, "cart", "tea");
    jar.receive(&answer(late.finish().unwrap()));
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

#[test]
fn a_watch_after_a_login_is_of_the_session_that_the_login_makes() {
    let site = Site::new();
    let (watch, _) = site.ask(&site.shopper(), |visit| {
        visit.login("ann").unwrap();
        visit.watch().unwrap().unwrap()
    });
    assert!(watch.is_live().unwrap());
}

#[test]
fn an_update_that_logs_in_is_held_to_the_limit_of_size() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_bytes_max(1_000);
        },
    );
    let jar = site.shopper();
    let (error, _) = site.ask(&jar, |visit| {
        visit.update(|session| {
            session.set_user(Some("ann"));
            session.insert("text", &"x".repeat(1_000))
        })
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(site.user(&jar), None);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

#[test]
fn an_update_that_logs_in_keeps_what_was_stored_while_it_was_at_work() {
    let site = Site::new();
    let mut jar = site.shopper();
    let other = jar.clone();
    let mut runs = 0;
    site.visit(&mut jar, |visit| {
        visit.update(|session| {
            runs += 1;
            // The first run was in the store, where nobody comes between.
            if runs == 2 {
                let _ = site.ask(&other, |visit| put(visit, "size", "tall"));
            }
            session.set_user(Some("ann"));
            let logins = session.get::<u64>("logins")?.unwrap_or(0);
            session.insert("logins", &(logins + 1))
        })
    })
    .unwrap();
    let logins = site.begin(&jar).session().unwrap().get::<u64>("logins");
    assert_eq!(logins.unwrap(), Some(1), "each run begins anew");
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
    assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
    assert_eq!((runs, site.sessions()), (3, 1));
}

/// Both have loaded the session with the token.
#[test]
fn of_two_visits_that_use_one_form_token_one_is_told_that_it_counts() {
    let site = Site::new();
    let mut jar = Jar::default();
    let token = site.visit(&mut jar, |visit| {
        put(visit, "cart", "tea");
        visit.session().unwrap().create_form_token().unwrap()
    });
    let mut visits = [site.begin(&jar), site.begin(&jar)];
    for visit in &mut visits {
        assert!(visit.session().unwrap().has_form_token(&token));
    }
    let used = visits.map(|mut visit| visit.use_form_token(&token).unwrap());
    assert_eq!(used, [true, false]);
}

#[test]
fn a_change_that_was_made_for_a_visitor_never_comes_to_the_user_who_logged_in_meanwhile() {
    let site = Site::new();
    let jar = site.shopper();
    let mut late = site.begin(&jar);
    assert_eq!(late.user().unwrap(), None);
    hand_over(&site, &jar, "bob");
    late.update(|session| session.insert("cart", "coffee"))
        .unwrap();
    let done = late.finish().unwrap();
    assert_eq!(done.outcome(), Outcome::Lost(Lost::Superseded));
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

#[test]
fn a_login_where_another_user_logged_in_meanwhile_gets_a_session_of_its_own() {
    let site = Site::new();
    let mut jar = site.shopper();
    let bobs = jar.clone();
    let mut visit = site.begin(&jar);
    put(&mut visit, "size", "tall");
    hand_over(&site, &jar, "bob");
    visit.login("ann").unwrap();
    jar.receive(&answer(visit.finish().unwrap()));
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
    assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
    assert_eq!(site.value(&jar, "cart"), None);
    assert_eq!(site.user(&bobs).as_deref(), Some("bob"));
}

#[test]
fn a_request_that_reloads_after_a_refusal_has_lost_nothing() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_cap(Some(SessionCap::Refuse(1)));
        },
    );
    site.login("ann");
    let (_, told) = site.ask(&site.shopper(), |visit| {
        visit.set_quiet(true);
        assert!(!visit.login("ann").unwrap());
        visit.session().unwrap().set_user(Some("ann"));
        assert_eq!(visit.save().unwrap(), Outcome::Lost(Lost::Refused));
        visit.reload().unwrap();
    });
    assert_eq!(told.outcome, Outcome::Nothing);
}

/// The cart became empty by the request that shows the form.
#[test]
fn a_token_keeps_a_session_in_which_nothing_else_is_left() {
    let site = Site::new();
    let mut jar = site.shopper();
    let token = site.visit(&mut jar, |visit| {
        visit.session().unwrap().clear();
        visit.csrf_token().unwrap()
    });
    assert!(site.begin(&jar).is_csrf_token(&token).unwrap());
}

#[test]
fn what_a_user_calls_a_device_stays_where_the_user_before_is_forgotten() {
    let site = Site::new();
    let mut jar = site.login("ann");
    site.visit(&mut jar, |visit| {
        visit.set_device_label(Some("ann's")).unwrap();
    });
    site.visit(&mut jar, |visit| {
        visit.session().unwrap().set_user(Some("bob"));
        visit.set_device_label(Some("bob's")).unwrap();
    });
    let devices = site.begin(&jar).devices().unwrap();
    assert_eq!(devices[0].label.as_deref(), Some("bob's"));
}

/// An asynchronous server calls it where it may block only if it is told so.
#[test]
fn a_finish_that_asks_the_store_is_announced_as_io() {
    type Deed = fn(&Site, &mut Visit);
    let deeds: [(&str, Deed); 7] = [
        ("nothing", |_, _| ()),
        ("a look", |_, visit| _ = visit.user().unwrap()),
        ("a change", |_, visit| put(visit, "size", "tall")),
        ("a login", |_, visit| _ = visit.login("ann").unwrap()),
        ("a change that was saved", |_, visit| {
            put(visit, "size", "tall");
            let _ = visit.save().unwrap();
        }),
        ("a logout", |_, visit| _ = visit.logout().unwrap()),
        ("a change that is lost", |site, visit| {
            put(visit, "size", "tall");
            site.store
                .store
                .delete_old_sessions(Duration::ZERO)
                .unwrap();
            let _ = visit.save().unwrap();
        }),
    ];
    for (deed, act) in deeds {
        for is_quiet in [false, true] {
            for has_session in [false, true] {
                let site = Site::new();
                let jar = match has_session {
                    true => site.shopper(),
                    false => Jar::default(),
                };
                let mut visit = site.begin(&jar);
                visit.set_quiet(is_quiet);
                act(&site, &mut visit);
                let is_announced = visit.needs_io();
                site.calls();
                let _ = visit.finish().unwrap();
                let asks = !site.calls().is_empty();
                assert_eq!(is_announced, asks, "{deed}, {is_quiet}, {has_session}");
            }
        }
    }
}

/// The other cookie of that name is a sibling domain's.
#[test]
fn a_late_request_with_two_cookies_leaves_that_of_the_login_alone() {
    let site = Site::new();
    let mut jar = site.shopper();
    let fields = [vec![format!("__Host-id={UNKNOWN}")], jar.field()].concat();
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    let deeds: [fn(&mut Visit); 2] = [
        |visit| put(visit, "cart", "coffee"),
        |visit| assert!(!visit.logout().unwrap()),
    ];
    for deed in deeds {
        let mut late = site.manager.begin(&fields);
        deed(&mut late);
        let done = answer(late.finish().unwrap());
        assert_eq!(done.outcome, Outcome::Lost(Lost::Superseded));
        assert_eq!((done.set_cookie(), site.sessions()), (None, 1));
    }
}

/// One with an old path or domain stays in the browser beside that of the login, and its id is remembered for a minute.
#[test]
fn a_logout_soon_after_a_login_is_no_loss_where_the_old_cookie_is_still_sent() {
    let logouts: [fn(&mut Visit); 2] = [
        |visit| assert!(visit.logout().unwrap()),
        |visit| assert_eq!(visit.logout_everywhere().unwrap(), 1),
    ];
    for (logout, comes_first, looks) in [
        (logouts[0], true, true),
        (logouts[0], true, false),
        (logouts[0], false, true),
        (logouts[0], false, false),
        (logouts[1], true, true),
        (logouts[1], false, true),
    ] {
        let site = Site::new();
        let old = site.shopper();
        let mut jar = old.clone();
        site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        let both = match comes_first {
            true => [old.field(), jar.field()].concat(),
            false => [jar.field(), old.field()].concat(),
        };
        let mut visit = site.manager.begin(both);
        if looks {
            assert_eq!(visit.user().unwrap(), Some("ann"));
        }
        logout(&mut visit);
        let done = answer(visit.finish().unwrap());
        assert_eq!((done.outcome, done.is_revoking()), (Outcome::Ended, true));
        assert_eq!(site.sessions(), 0);
    }
}

#[test]
fn a_logout_of_a_session_that_this_request_renewed_is_no_loss() {
    let site = Site::new();
    let jar = site.login("ann");
    let (ended, done) = site.ask(&jar, |visit| {
        visit.renew().unwrap();
        visit.save().unwrap();
        visit.logout().unwrap()
    });
    assert!(ended && done.is_revoking() && site.sessions() == 0);
}

#[test]
fn a_copy_of_anothers_session_that_a_visitor_without_one_stores_leaves_the_others_alone() {
    let site = Site::new();
    let ann = site.login("ann");
    let others = site.begin(&ann).session().unwrap().clone();
    for logs_out in [false, true] {
        let mut jar = match logs_out {
            true => site.shopper(),
            false => Jar::default(),
        };
        site.visit(&mut jar, |visit| {
            assert_eq!(visit.logout().unwrap(), logs_out);
            *visit.session().unwrap() = others.clone();
        });
        assert!(jar.id().is_some() && jar.id() != ann.id());
        for jar in [&jar, &ann] {
            assert_eq!(site.user(jar).as_deref(), Some("ann"), "{logs_out}");
        }
    }
    assert_eq!(site.sessions(), 3);
}

#[test]
fn an_update_that_puts_a_users_session_in_the_place_of_a_strangers_gives_it_a_new_id() {
    let site = Site::new();
    let ann = site.login("ann");
    let users = site.begin(&ann).session().unwrap().clone();
    let old = site.shopper();
    let mut jar = old.clone();
    site.visit(&mut jar, |visit| {
        let update = |session: &mut Session| {
            *session = users.clone();
            Ok(())
        };
        visit.update(update).unwrap();
    });
    assert_eq!((site.user(&old), site.sessions()), (None, 2));
    for jar in [&jar, &ann] {
        assert_eq!(site.user(jar).as_deref(), Some("ann"));
    }
}

#[test]
fn a_logout_everywhere_of_which_a_look_fails_is_told_and_replaces_no_cookie() {
    let site = Site::new();
    let mut jar = site.login("ann");
    site.events();
    site.store.fail(&["has"]);
    let (ended, told) = site.ask(&jar, |visit| visit.logout_everywhere().unwrap());
    assert!(ended == 1 && told.is_revoking());
    assert_eq!(site.events(), ["ended"]);
    site.store.fail(&[]);
    jar.receive(&told);
    // A login gave the session another id, and nothing tells so.
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    let mut late = site.begin(&jar);
    assert_eq!(late.user().unwrap(), Some("ann"));
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    site.store.fail(&["replaced"]);
    assert_eq!(late.logout_everywhere().unwrap(), 1);
    site.store.fail(&[]);
    put(&mut late, "cart", "tea");
    assert_eq!(answer(late.finish().unwrap()).set_cookie(), None);
}

#[test]
fn a_second_login_forgets_the_credentials_of_the_first() {
    let site = Site::new();
    let mut jar = Jar::default();
    site.visit(&mut jar, |visit| {
        visit.login("ann").unwrap();
        visit.set_credentials(b"old").unwrap()
    });
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    assert!(!site.begin(&jar).check_credentials(b"old").unwrap());
}

#[test]
fn a_proof_from_the_future_is_not_fresh() {
    let site = Site::new();
    site.advance(DAY);
    let jar = site.login("ann");
    *site.time.lock().unwrap() -= HOUR;
    let mut visit = site.begin(&jar);
    assert_eq!(visit.user().unwrap(), Some("ann"));
    assert!(!visit.is_fresh(DAY).unwrap());
}

#[test]
fn a_login_over_a_session_that_went_is_a_proof_and_keeps_the_credentials_that_it_notes() {
    let site = Site::new();
    let log_in = |visit: &mut Visit| {
        assert!(visit.login("ann").unwrap());
        assert!(visit.set_credentials(b"same").unwrap());
    };
    let mut jar = Jar::default();
    site.visit(&mut jar, log_in);
    let mut visit = site.begin(&jar);
    assert_eq!(visit.user().unwrap(), Some("ann"));
    site.ask(&jar, |visit| visit.logout().unwrap());
    log_in(&mut visit);
    jar.receive(&answer(visit.finish().unwrap()));
    let mut visit = site.begin(&jar);
    assert!(visit.is_fresh(MINUTE).unwrap());
    assert!(visit.check_credentials(b"same").unwrap());
}

#[test]
fn a_new_id_that_others_overtake_eight_times_is_given_up_and_told_and_one_time_less_is_given() {
    type Deed = fn(&mut Visit);
    let renewal: Deed = |visit| {
        put(visit, "size", "tall");
        visit.renew().unwrap();
    };
    let login: Deed = |visit| {
        let change = |session: &mut Session| {
            session.set_user(Some("ann"));
            Ok(())
        };
        visit.update(change).unwrap();
    };
    let (merged, stored) = (Outcome::Merged, Outcome::Stored);
    for (deed, outcome, event) in [(renewal, merged, "renewed"), (login, stored, "logged in")] {
        for (times, is_given) in [(7, true), (8, false)] {
            let site = Site::new();
            let jar = site.shopper();
            let store = Foreign::of(&site.store);
            *store.overtaken.lock().unwrap() = times;
            let (mut options, sink) = (ManagerOptions::new(), site.events.clone());
            options.on_event(move |event| sink.lock().unwrap().push(name_of(event).to_string()));
            let mut visit = options.manage(store).unwrap().begin(jar.field());
            site.events();
            deed(&mut visit);
            let done = answer(visit.finish().unwrap());
            let (expected, event) = match is_given {
                true => (outcome, event),
                false => (Outcome::Lost(Lost::Conflict), "lost"),
            };
            assert_eq!((done.outcome, done.sets_an_id()), (expected, is_given));
            assert_eq!(site.events(), [event], "overtaken {times} times");
            assert_eq!(site.value(&jar, "cart").is_none(), is_given, "the old id");
        }
    }
}

#[test]
fn a_reader_whom_a_login_overtakes_is_told_that_it_did() {
    let site = Site::new();
    let old = site.shopper();
    let mut reader = site.begin(&old);
    assert_eq!(reader.user().unwrap(), None);
    site.ask(&old, |visit| visit.login("ann").unwrap());
    let done = answer(reader.finish().unwrap());
    assert_eq!(done.outcome, Outcome::Lost(Lost::Superseded));
    assert_eq!(done.set_cookie(), None);
}
