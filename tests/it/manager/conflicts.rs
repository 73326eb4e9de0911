//! Requests of one visitor that overlap.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

#[test]
fn changes_of_different_keys_by_overlapping_requests_are_both_kept() {
    let site = Site::new();
    let jar = site.shopper();
    let mut slow = site.begin(&jar);
    put(&mut slow, "size", "tall");
    let _ = site.ask(&jar, |visit| put(visit, "colour", "green"));
    let done = slow.finish().unwrap();
    assert_eq!(done.outcome(), Outcome::Merged);
    assert!(!done.is_lost());
    for (key, value) in [("cart", "tea"), ("size", "tall"), ("colour", "green")] {
        assert_eq!(site.value(&jar, key).as_deref(), Some(value));
    }
}

#[test]
fn of_one_key_the_later_writer_counts_and_removed_keys_stay_removed() {
    let site = Site::new();
    let jar = site.shopper();
    let _ = site.ask(&jar, |visit| put(visit, "size", "tall"));
    let mut slow = site.begin(&jar);
    put(&mut slow, "cart", "coffee");
    let _ = site.ask(&jar, |visit| {
        put(visit, "cart", "milk");
        visit.session().unwrap().remove("size")
    });
    let _ = slow.finish().unwrap();
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("coffee"));
    assert_eq!(site.value(&jar, "size"), None);
}

fn count(visit: &mut Visit) -> u64 {
    visit
        .update(|session| {
            let n = session.get::<u64>("n")?.unwrap_or(0) + 1;
            session.insert("n", &n)?;
            Ok(n)
        })
        .unwrap()
}

#[test]
fn an_update_counts_exactly_and_brings_along_what_was_changed_before() {
    let site = Site::new();
    let jar = site.shopper();
    let mut slow = site.begin(&jar);
    put(&mut slow, "size", "tall");
    for n in 1..=3 {
        assert_eq!(site.ask(&jar, count).0, n);
    }
    assert_eq!(count(&mut slow), 4);
    assert_eq!(
        site.value(&jar, "size").as_deref(),
        Some("tall"),
        "stored at once"
    );
    put(&mut slow, "colour", "green");
    let _ = slow.finish().unwrap();
    assert_eq!(site.ask(&jar, count).0, 5);
    assert_eq!(site.value(&jar, "colour").as_deref(), Some("green"));
}

#[test]
fn an_update_of_a_visitor_without_a_session_makes_one_at_once() {
    let site = Site::new();
    let mut jar = Jar::default();
    site.visit(&mut jar, |visit| {
        assert_eq!(count(visit), 1);
        assert_eq!(site.sessions(), 1);
        assert_eq!(count(visit), 2);
    });
    assert_eq!(site.ask(&jar, count).0, 3);
}

#[test]
fn an_error_in_an_update_changes_nothing_and_comes_back() {
    let site = Site::new();
    let jar = site.shopper();
    let (error, answer) = site.ask(&jar, |visit| {
        visit.update(|session| -> Result<()> {
            session.insert("cart", "coffee")?;
            Err(Error::other("no coffee left"))
        })
    });
    assert_eq!(error.unwrap_err().to_string(), "no coffee left");
    assert_eq!(answer.outcome, Outcome::Touched);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));

    // A stranger's neither: what the handler goes on with is as it was.
    let jar = Jar::default();
    let ((), answer) = site.ask(&jar, |visit| {
        let failed = visit.update(|session| -> Result<()> {
            session.insert("cart", "coffee")?;
            Err(Error::other("no coffee left"))
        });
        assert!(failed.is_err());
        let large = "x".repeat(1 << 20);
        let failed = visit.update(|session| session.insert("cart", &large));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::TooLarge);
        assert!(!visit.session().unwrap().contains_key("cart"));
    });
    assert_eq!(
        (answer.outcome, answer.set_cookie()),
        (Outcome::Nothing, None)
    );
    assert_eq!(site.sessions(), 1);
}

#[test]
fn threads_that_update_one_session_lose_nothing() {
    let site = Site::new();
    let jar = site.shopper();
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..50 {
                    let _ = site.ask(&jar, |visit| {
                        count(visit);
                        put(visit, &format!("{n}"), "x"); // and a conflict now and then
                    });
                    sum.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(site.ask(&jar, count).0, sum.into_inner() + 1);
}

#[test]
fn what_cannot_be_stored_is_told() {
    let site = Site::new();
    // Ended by a logout elsewhere.
    let jar = site.login("ann");
    let mut slow = site.begin(&jar);
    put(&mut slow, "cart", "coffee");
    let _ = site.ask(&jar, |visit| visit.logout().unwrap());
    let done = slow.finish().unwrap();
    assert_eq!(done.outcome(), Outcome::Lost(Lost::Ended));
    assert!(done.is_lost());
    assert_eq!(
        answer(done).set_cookie(),
        None,
        "rule: an id that is merely dead is left alone"
    );
    assert_eq!(site.sessions(), 0, "a logout is not undone");

    // Overtaken by a login.
    let jar = site.shopper();
    let mut slow = site.begin(&jar);
    put(&mut slow, "cart", "coffee");
    let mut logged_in = jar.clone();
    site.visit(&mut logged_in, |visit| visit.login("ann").unwrap());
    let done = slow.finish().unwrap();
    assert_eq!(done.outcome(), Outcome::Lost(Lost::Superseded));
    assert_eq!(answer(done).set_cookie(), None);
    assert_eq!(site.value(&logged_in, "cart").as_deref(), Some("tea"));
}

#[test]
fn a_late_request_with_the_old_id_neither_revokes_nor_replaces_the_logins_cookie() {
    let site = Site::new();
    let handlers: [&dyn Fn(&mut Visit); 8] = [
        &|_| (),
        &|visit| {
            let _ = visit.user().unwrap().is_some();
        },
        &|visit| put(visit, "cart", "coffee"),
        &|visit| {
            let _ = count(visit);
        },
        &|visit| visit.flash("ok", "late").unwrap(),
        &|visit| {
            let _ = visit.csrf_token().unwrap();
        },
        &|visit| visit.session().unwrap().clear(),
        &|visit| {
            visit.renew().unwrap();
        },
    ];
    for (n, handler) in handlers.into_iter().enumerate() {
        for began_before in [false, true] {
            for deed in ["login", "renew", "logout"] {
                let old = site.shopper();
                let mut visit = site.begin(&old);
                if began_before {
                    let _ = visit.user().unwrap();
                }
                let mut jar = old.clone();
                site.visit(&mut jar, |visit| match deed {
                    "login" => drop(visit.login("ann").unwrap()),
                    "renew" => visit.renew().unwrap(),
                    _ => drop(visit.logout().unwrap()),
                });
                let sessions = site.sessions();
                handler(&mut visit);
                let late = answer(visit.finish().unwrap());
                if deed == "logout" && !began_before {
                    continue; // the visitor has no session and may get a new one
                }
                assert_eq!(
                    late.set_cookie(),
                    None,
                    "handler {n}, began {began_before}, {deed}"
                );
                assert_eq!(site.sessions(), sessions);
            }
        }
    }
}

#[test]
fn a_late_request_after_a_login_is_answered_as_a_strangers_and_told() {
    let site = Site::new();
    let old = site.shopper();
    let mut jar = old.clone();
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    site.events();
    let ((user, token), late) = site.ask(&old, |visit| {
        let user = visit.user().unwrap().map(String::from);
        put(visit, "cart", "coffee");
        (user, visit.csrf_token().unwrap())
    });
    assert_eq!(user, None);
    assert!(!site.begin(&jar).is_csrf_token(&token).unwrap());
    assert_eq!(late.outcome, Outcome::Lost(Lost::Superseded));
    assert_eq!(site.events(), ["superseded", "lost"]);
    let (_, read) = site.ask(&old, |visit| visit.user().unwrap().is_some());
    assert_eq!(read.outcome, Outcome::Nothing);
    // A minute later nobody remembers, and the old id is as good as none.
    site.advance(2 * MINUTE);
    let (_, answer) = site.ask(&old, |visit| put(visit, "cart", "coffee"));
    assert!(answer.sets_an_id());
}

#[test]
fn a_logout_is_not_undone_by_the_cookie_of_a_slower_response() {
    let site = Site::new();
    let mut jar = site.login("ann");
    let (_, slow) = site.ask(&jar, |visit| put(visit, "cart", "coffee"));
    let (_, logout) = site.ask(&jar, |visit| visit.logout().unwrap());
    jar.receive(&logout);
    jar.receive(&slow);
    assert_eq!(jar, Jar::default());
}

#[test]
fn a_logout_that_a_login_overtook_is_told_and_leaves_the_login_alone() {
    let site = Site::new();
    let old = site.shopper();
    for began_before in [false, true] {
        let old = if began_before {
            site.shopper()
        } else {
            old.clone()
        };
        let mut late = site.begin(&old);
        if began_before {
            let _ = late.user().unwrap();
        }
        let mut jar = old.clone();
        site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        assert!(!late.logout().unwrap());
        let done = late.finish().unwrap();
        assert_eq!(done.outcome(), Outcome::Lost(Lost::Superseded));
        assert_eq!(answer(done).set_cookie(), None);
        assert_eq!(site.user(&jar).as_deref(), Some("ann"));
    }
}

#[test]
fn of_two_logins_at_once_both_get_a_session_and_the_planted_id_is_dead() {
    let site = Site::new();
    let old = site.shopper();
    let mut slow = site.begin(&old);
    slow.login("bob").unwrap();
    slow.flash("ok", "Welcome!").unwrap();
    let mut ann = old.clone();
    site.visit(&mut ann, |visit| visit.login("ann").unwrap());
    let mut bob = old.clone();
    bob.receive(&answer(slow.finish().unwrap()));
    assert_eq!(site.user(&ann).as_deref(), Some("ann"));
    assert_eq!(site.user(&bob).as_deref(), Some("bob"));
    assert_eq!(
        site.value(&bob, "cart"),
        None,
        "the cart went with the first"
    );
    assert_eq!(site.begin(&bob).take_flashes().unwrap().len(), 1);
    assert_eq!(site.user(&old), None);
    // And with an id that was replaced before the request began.
    let (_, answer) = site.ask(&old, |visit| visit.login("eve").unwrap());
    assert!(answer.sets_an_id());
}

#[test]
fn a_login_over_a_session_that_another_request_changed_keeps_both() {
    let site = Site::new();
    let jar = site.shopper();
    let mut slow = site.begin(&jar);
    slow.login("ann").unwrap();
    let _ = site.ask(&jar, |visit| put(visit, "size", "tall"));
    let mut jar = jar;
    jar.receive(&answer(slow.finish().unwrap()));
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
    assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
}

#[test]
fn two_first_requests_make_two_sessions_and_the_one_that_lost_ends_soon() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(14 * DAY);
        },
        |_| (),
    );
    let mut jar = Jar::default();
    let (_, first) = site.ask(&jar, |visit| put(visit, "cart", "tea"));
    let (_, second) = site.ask(&jar, |visit| put(visit, "cart", "milk"));
    jar.receive(&first);
    jar.receive(&second);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("milk"));
    assert_eq!(site.sessions(), 2);
    site.advance(40 * MINUTE);
    site.visit(&mut jar, |_| ());
    site.advance(40 * MINUTE);
    assert_eq!(site.sessions(), 1);
}

#[test]
fn a_use_that_meets_a_logout_tells_that_the_session_ended() {
    let site = Site::new();
    let jar = site.login("ann");
    let mut slow = site.begin(&jar);
    assert!(slow.user().unwrap().is_some());
    site.store.store.delete_session(&jar.id().unwrap()).unwrap();
    let done = slow.finish().unwrap();
    assert_eq!(done.outcome(), Outcome::Lost(Lost::Ended));
    assert_eq!(answer(done).set_cookie(), None);
    // An update in such a session runs, on the copy, and is told as lost.
    let jar = site.login("ann");
    let mut slow = site.begin(&jar);
    assert!(slow.user().unwrap().is_some());
    site.store.store.delete_session(&jar.id().unwrap()).unwrap();
    assert_eq!(count(&mut slow), 1);
    assert!(slow.finish().unwrap().is_lost());
    assert_eq!(site.sessions(), 0);
}

#[test]
fn a_change_that_is_overtaken_again_and_again_is_merged_and_a_new_id_is_given_up_and_told() {
    let site = Site::new();
    let jar = site.shopper();
    let busy = |times| {
        let store = Foreign::of(&site.store);
        *store.overtaken.lock().unwrap() = times;
        ManagerOptions::new().manage(store).unwrap()
    };
    let manager = busy(9);
    let others = || {
        site.begin(&jar)
            .session()
            .unwrap()
            .get::<u64>("other")
            .unwrap()
    };
    let mut visit = manager.begin(jar.field());
    put(&mut visit, "cart", "coffee");
    assert_eq!(visit.finish().unwrap().outcome(), Outcome::Merged);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("coffee"));
    assert_eq!(others(), Some(1));

    let mut visit = manager.begin(jar.field());
    put(&mut visit, "cart", "milk");
    visit.renew().unwrap();
    let done = visit.finish().unwrap();
    assert_eq!(done.outcome(), Outcome::Lost(Lost::Conflict));
    assert_eq!(answer(done).set_cookie(), None);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("coffee"));
    assert_eq!(others(), Some(9));

    // The session is still there: a login or a reload in the same request goes on with it.
    for logs_in in [false, true] {
        let mut visit = busy(8).begin(jar.field());
        put(&mut visit, "cart", "milk");
        visit.renew().unwrap();
        assert_eq!(visit.save().unwrap(), Outcome::Lost(Lost::Conflict));
        match logs_in {
            true => assert!(visit.login("ann").unwrap()),
            false => {
                visit.reload().unwrap();
                assert_eq!(visit.save().unwrap(), Outcome::Touched, "no loss any more");
            }
        }
        put(&mut visit, "size", "tall");
        let done = answer(visit.finish().unwrap());
        assert_eq!(done.outcome, Outcome::Stored);
        assert_eq!(site.value(&jar, "cart").is_none(), logs_in, "the old id");
        let mut after = jar.clone();
        after.receive(&done);
        let kept = if logs_in { "milk" } else { "coffee" };
        assert_eq!(site.value(&after, "cart").as_deref(), Some(kept));
        assert_eq!(site.value(&after, "size").as_deref(), Some("tall"));
        assert_eq!(site.sessions(), 1);
    }
}

#[test]
fn messages_of_overlapping_requests_are_all_shown_and_each_once() {
    let site = Site::new();
    let texts = |jar: &Jar| -> Vec<String> {
        let (taken, _) = site.ask(jar, |visit| visit.take_flashes().unwrap());
        taken.into_iter().map(|flash| flash.text).collect()
    };
    let flash = |visit: &mut Visit, text: &str| visit.flash("ok", text).unwrap();
    let jar = site.shopper();
    let mut slow = site.begin(&jar);
    flash(&mut slow, "slow");
    let _ = site.ask(&jar, |visit| flash(visit, "quick"));
    assert_eq!(slow.finish().unwrap().outcome(), Outcome::Merged);
    let mut both = texts(&jar);
    both.sort();
    assert_eq!(both, ["quick", "slow"]);

    // A page shows what waits while another request has something more to say.
    for page_is_last in [true, false] {
        let _ = site.ask(&jar, |visit| flash(visit, "first"));
        let (mut page, mut other) = (site.begin(&jar), site.begin(&jar));
        assert_eq!(page.take_flashes().unwrap()[0].text, "first");
        flash(&mut other, "second");
        let visits = match page_is_last {
            true => [other, page],
            false => [page, other],
        };
        for visit in visits {
            assert!(!visit.finish().unwrap().is_lost());
        }
        assert_eq!(texts(&jar), ["second"], "the page is last: {page_is_last}");
    }
    assert!(texts(&jar).is_empty());
}

#[test]
fn a_session_that_is_put_in_the_place_of_another_is_stored_under_its_id() {
    let replace = |visit: &mut Visit, key: Option<&str>| {
        let session = visit.session().unwrap();
        *session = Session::new();
        if let Some(key) = key {
            session.insert(key, "x").unwrap();
        }
        assert!(visit.needs_io());
    };
    let site = Site::new();
    let mut jar = site.shopper();
    let (_, answer) = site.ask(&jar, |visit| replace(visit, Some("size")));
    assert_eq!(
        (answer.outcome, answer.set_cookie()),
        (Outcome::Stored, None)
    );
    assert_eq!(site.value(&jar, "cart"), None);
    assert_eq!(site.value(&jar, "size").as_deref(), Some("x"));
    // Another request's value stays that came meanwhile.
    let mut slow = site.begin(&jar);
    replace(&mut slow, Some("colour"));
    let _ = site.ask(&jar, |visit| put(visit, "milk", "x"));
    assert_eq!(slow.finish().unwrap().outcome(), Outcome::Merged);
    let is_there = ["size", "colour", "milk"].map(|key| site.value(&jar, key).is_some());
    assert_eq!(is_there, [false, true, true]);
    let (_, answer) = site.ask(&jar, |visit| replace(visit, None));
    assert!(answer.is_revoking() && answer.outcome == Outcome::Ended);
    assert_eq!(site.sessions(), 0);

    // The user is logged out by it, so the id is another one.
    jar = site.login("ann");
    let old = jar.clone();
    site.visit(&mut jar, |visit| replace(visit, Some("size")));
    assert!(jar != old && site.value(&jar, "size").is_some());
    assert_eq!((site.user(&old), site.user(&jar)), (None, None));

    // In an update, and with another visitor's session, which stays what it is.
    let ann = site.login("ann");
    let others = site.begin(&ann).session().unwrap().clone();
    let sessions = site.sessions();
    for in_update in [true, false] {
        let old = jar.clone();
        site.visit(&mut jar, |visit| match in_update {
            true => visit
                .update(|session| {
                    *session = Session::new();
                    session.set_user(Some("bob"));
                    Ok(())
                })
                .unwrap(),
            false => *visit.session().unwrap() = others.clone(),
        });
        assert!(jar != old && site.begin(&old).peek().unwrap().is_none());
        let user = if in_update { "bob" } else { "ann" };
        assert_eq!(site.user(&jar).as_deref(), Some(user));
        assert_eq!(site.user(&ann).as_deref(), Some("ann"));
        assert_eq!(site.sessions(), sessions);
    }
}

#[test]
fn what_a_request_puts_in_before_its_login_stays_whatever_became_of_the_session() {
    let site = Site::new();
    // Overtaken by the first of two clicks.
    let mut jar = site.shopper();
    site.visit(&mut jar.clone(), |visit| visit.login("ann").unwrap());
    let ((), answer) = site.ask(&jar, |visit| {
        put(visit, "size", "tall");
        visit.login("ann").unwrap();
    });
    jar.receive(&answer);
    assert_eq!(answer.outcome, Outcome::Stored);
    assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
    assert_eq!(site.value(&jar, "cart"), None);

    // Logged out elsewhere, before or after the login of this request, or of an update of it.
    for when in 0..3 {
        let jar = site.login("ann");
        let _ = site.ask(&jar, |visit| put(visit, "cart", "tea"));
        let end = || drop(site.ask(&jar, |visit| visit.logout().unwrap()));
        let mut visit = site.begin(&jar);
        assert_eq!(visit.user().unwrap(), Some("ann"));
        put(&mut visit, "size", "tall");
        if when == 0 {
            end();
            count(&mut visit);
        }
        visit.login("ann").unwrap();
        visit.flash("ok", "Welcome back.").unwrap();
        if when == 1 {
            end();
        }
        let mut now = jar.clone();
        let done = super::answer(visit.finish().unwrap());
        assert_eq!(done.outcome, Outcome::Stored);
        now.receive(&done);
        let mut visit = site.begin(&now);
        assert_eq!(visit.user().unwrap(), Some("ann"));
        assert_eq!(visit.take_flashes().unwrap().len(), 1, "{when}");
        let session = visit.session().unwrap();
        assert!(session.contains_key("size"), "{when}");
        assert_eq!(session.contains_key("n"), when == 0);
        assert_eq!(session.contains_key("cart"), when == 2);
    }
}

#[test]
fn no_cookie_is_sent_for_a_session_that_others_ended_before_this_request_did() {
    type Deed = fn(&mut Visit);
    let deeds: [Deed; 3] = [
        |visit| assert!(!visit.logout().unwrap()),
        |visit| visit.reload().unwrap(),
        |visit| put(visit, "size", "tall"),
    ];
    for deed in deeds {
        let site = Site::new();
        let ((), answer) = site.ask(&Jar::default(), |visit| {
            put(visit, "cart", "tea");
            assert_eq!(visit.save().unwrap(), Outcome::Stored);
            let id = visit.session().unwrap().id().unwrap().clone();
            assert!(site.store.store.delete_session(&id).unwrap());
            deed(visit);
        });
        assert_eq!((answer.set_cookie(), site.sessions()), (None, 0));
    }
}

#[test]
fn a_logout_that_fails_half_way_makes_no_session_in_place_of_a_login_that_overtook_it() {
    let site = Site::new();
    let jar = site.shopper();
    let mut slow = site.begin(&jar);
    let _ = site.ask(&jar, |visit| visit.login("ann").unwrap());
    site.store.fail(&["replaced"]);
    slow.logout().unwrap_err();
    site.store.fail(&[]);
    put(&mut slow, "size", "tall");
    let done = answer(slow.finish().unwrap());
    assert_eq!(done.outcome, Outcome::Lost(Lost::Superseded));
    assert_eq!((done.set_cookie(), site.sessions()), (None, 1));
}

#[test]
fn what_is_put_in_for_a_user_while_another_logs_in_is_not_the_other_users() {
    let site = Site::new();
    let was = site.login("ann");
    let mut bobs = site.begin(&was);
    bobs.login("bob").unwrap();
    put(&mut bobs, "cart", "coffee");
    site.ask(&was, |ann| {
        put(ann, "letter", "to ann alone");
        ann.set_device_label(Some("ann's phone")).unwrap();
        ann.session().unwrap().create_form_token().unwrap();
    });
    let mut jar = was.clone();
    jar.receive(&answer(bobs.finish().unwrap()));
    assert_eq!(site.user(&jar).as_deref(), Some("bob"));
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("coffee"));
    assert_eq!(site.value(&jar, "letter"), None);
    assert_eq!(site.begin(&jar).devices().unwrap()[0].label, None);
    let mut visit = site.begin(&jar);
    assert_eq!(visit.session().unwrap().form_token_count(), 0);
}

#[test]
fn a_form_token_that_is_made_while_a_login_is_at_work_is_not_good_after_it() {
    let site = Site::new();
    for planted in [site.shopper(), site.login("ann")] {
        let mut login = site.begin(&planted);
        login.login("ann").unwrap();
        let own = login.session().unwrap().create_form_token().unwrap();
        let (theirs, _) = site.ask(&planted, |visit| {
            put(visit, "note", "kept");
            visit.session().unwrap().create_form_token().unwrap()
        });
        let mut jar = planted.clone();
        let done = answer(login.finish().unwrap());
        assert_eq!(done.outcome, Outcome::Merged);
        jar.receive(&done);
        let mut visit = site.begin(&jar);
        assert!(!visit.use_form_token(&theirs).unwrap());
        assert!(visit.use_form_token(&own).unwrap());
        assert_eq!(site.value(&jar, "note").as_deref(), Some("kept"));
    }
}

#[test]
fn a_request_that_began_before_the_change_of_password_does_not_end_the_session_that_made_it() {
    let site = Site::new();
    let mut jar = Jar::default();
    site.visit(&mut jar, |visit| {
        visit.login("ann").unwrap();
        visit.set_credentials(b"old").unwrap()
    });
    let mut slow = site.begin(&jar);
    assert_eq!(slow.user().unwrap(), Some("ann"));
    let mut changing = site.begin(&jar);
    put(&mut changing, "cart", "tea");
    let mut noting = site.begin(&jar);
    noting.set_credentials(b"other").unwrap();
    let _ = site.ask(&jar, |visit| {
        put(visit, "size", "tall");
        visit.set_credentials(b"new").unwrap()
    });
    for mut visit in [slow, changing] {
        assert!(visit.check_credentials(b"new").unwrap());
        assert_eq!(answer(visit.finish().unwrap()).set_cookie(), None);
        assert_eq!(site.user(&jar).as_deref(), Some("ann"));
    }
    let put_in = ["cart", "size"].map(|key| site.value(&jar, key).unwrap());
    assert_eq!(put_in, ["tea", "tall"]);
    // Of two who noted credentials the one that asks counts.
    assert!(!noting.check_credentials(b"new").unwrap());
}

#[test]
fn nothing_of_an_update_that_failed_on_a_session_that_went_is_stored_by_a_login_behind_it() {
    let site = Site::new();
    let jar = site.login("ann");
    let mut visit = site.begin(&jar);
    put(&mut visit, "size", "tall");
    site.store.store.delete_session(&jar.id().unwrap()).unwrap();
    let failed = visit.update(|session| {
        session.insert("cart", "coffee")?;
        Err::<(), _>(Error::other("no coffee"))
    });
    assert!(failed.is_err());
    visit.login("ann").unwrap();
    let mut jar = Jar::default();
    jar.receive(&answer(visit.finish().unwrap()));
    assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
    assert_eq!(site.value(&jar, "cart"), None);
}
