//! Logins and logouts, and what must not survive them.

use super::*;

#[test]
fn a_login_is_one_call_that_gives_a_new_id_and_ends_the_old_one() {
    let site = Site::new();
    let planted = site.shopper();
    let mut jar = planted.clone();
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    assert_ne!(jar, planted);
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
    assert_eq!(site.user(&planted), None);
    assert!(
        !site
            .store
            .store
            .has_session(&planted.id().unwrap())
            .unwrap()
    );
    assert_eq!(site.sessions(), 1);
}

#[test]
fn a_change_of_user_without_that_call_is_treated_as_one() {
    let site = Site::new();
    let by_hand = |visit: &mut Visit| visit.session().unwrap().set_user(Some("ann"));
    let by_update = |visit: &mut Visit| {
        visit
            .update(|session| {
                session.set_user(Some("ann"));
                Ok(())
            })
            .unwrap();
    };
    let both: [&dyn Fn(&mut Visit); 2] = [&by_hand, &by_update];
    for handler in both {
        let planted = site.shopper();
        let mut jar = planted.clone();
        site.visit(&mut jar, handler);
        assert_ne!(jar, planted);
        assert_eq!(site.user(&jar).as_deref(), Some("ann"));
        assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
        assert_eq!(site.user(&planted), None);
        assert_eq!(site.value(&planted, "cart"), None);
        // And back again.
        let was = jar.clone();
        site.visit(&mut jar, |visit| visit.session().unwrap().set_user(None));
        assert_ne!(jar, was);
        assert_eq!((site.user(&jar), site.user(&was)), (None, None));
    }
}

#[test]
fn tokens_made_before_a_login_are_void_after_it() {
    let site = Site::new();
    for again in [false, true] {
        let mut jar = if again {
            site.login("ann")
        } else {
            site.shopper()
        };
        let (csrf, form) = site.visit(&mut jar, |visit| {
            let csrf = visit.csrf_token().unwrap();
            (csrf, visit.session().unwrap().create_form_token().unwrap())
        });
        // Void at once, and not only when the login is stored.
        let by_hand = |visit: &mut Visit| visit.session().unwrap().set_user(Some("bob"));
        let by_login = |visit: &mut Visit| {
            visit.login("ann").unwrap();
        };
        let logins: [&dyn Fn(&mut Visit); 2] = [&by_hand, &by_login];
        for login in logins {
            let mut visit = site.begin(&jar);
            visit.renew().unwrap();
            assert!(visit.is_csrf_token(&csrf).unwrap());
            login(&mut visit);
            assert!(!visit.is_csrf_token(&csrf).unwrap());
            assert!(!visit.use_form_token(&form).unwrap());
        }
        site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        let mut visit = site.begin(&jar);
        assert!(!visit.is_csrf_token(&csrf).unwrap());
        assert!(!visit.use_form_token(&form).unwrap());
    }
}

#[test]
fn a_token_for_the_page_that_answers_a_login_belongs_to_the_new_id() {
    let site = Site::new();
    let mut jar = site.shopper();
    for renewal in [false, true] {
        let token = site.visit(&mut jar, |visit| {
            match renewal {
                true => visit.renew().unwrap(),
                false => drop(visit.login("ann").unwrap()),
            }
            visit.csrf_token().unwrap()
        });
        assert!(site.begin(&jar).is_csrf_token(&token).unwrap());
    }
}

#[test]
fn a_login_as_another_user_starts_from_an_empty_session() {
    let site = Site::new();
    let mut jar = site.login("ann");
    site.visit(&mut jar, |visit| put(visit, "secret", "ann's"));
    site.visit(&mut jar, |visit| visit.login("bob").unwrap());
    assert_eq!(site.user(&jar).as_deref(), Some("bob"));
    assert_eq!(site.value(&jar, "secret"), None);
}

#[test]
fn what_an_anonymous_visitor_put_into_the_cart_survives_the_login() {
    let site = Site::new();
    let mut jar = site.shopper();
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
    // And a second login of the same user keeps it, too.
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

#[test]
fn a_renewal_keeps_the_content_and_ends_the_old_id() {
    let site = Site::new();
    let mut jar = site.shopper();
    let old = jar.clone();
    site.visit(&mut jar, |visit| {
        visit.renew().unwrap();
        put(visit, "size", "tall");
    });
    assert_ne!(jar, old);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
    assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
    assert_eq!(site.value(&old, "cart"), None);
    let (_, answer) = site.ask(&Jar::default(), |visit| visit.renew().unwrap());
    assert_eq!(answer.set_cookie(), None, "there is nothing to renew");
}

#[test]
fn a_logout_deletes_the_session_and_revokes_the_cookie() {
    let site = Site::new();
    let jar = site.login("ann");
    let (had, answer) = site.ask(&jar, |visit| visit.logout().unwrap());
    assert!(had && answer.is_revoking());
    assert_eq!((answer.outcome, site.sessions()), (Outcome::Ended, 0));
    assert_eq!(site.user(&jar), None);
}

#[test]
fn a_logout_needs_no_look_and_is_done_before_anything_else_can_fail() {
    let site = Site::new();
    let jar = site.login("ann");
    site.store
        .fail(&["load", "save", "touch", "edit", "replaced"]);
    let mut visit = site.begin(&jar);
    assert!(visit.logout().unwrap());
    drop(visit); // the page failed
    site.store.fail(&[]);
    assert_eq!(site.sessions(), 0);
}

#[test]
fn a_logout_of_nobody_stores_and_sends_nothing() {
    let site = Site::new();
    for jar in [Jar::default(), Jar::of("__Host-id", UNKNOWN)] {
        let (had, answer) = site.ask(&jar, |visit| visit.logout().unwrap());
        assert_eq!(
            (had, answer.set_cookie(), site.sessions()),
            (false, None, 0)
        );
    }
}

#[test]
fn what_is_put_in_after_a_logout_is_a_new_session() {
    let site = Site::new();
    let old = site.login("ann");
    let mut jar = old.clone();
    site.visit(&mut jar, |visit| {
        visit.logout().unwrap();
        visit.flash("ok", "Goodbye.").unwrap();
    });
    assert!(jar != old && jar != Jar::default());
    assert_eq!(site.user(&jar), None);
    assert_eq!(site.begin(&jar).take_flashes().unwrap()[0].text, "Goodbye.");
    assert_eq!(site.user(&old), None);
}

#[test]
fn a_user_can_be_logged_out_everywhere_and_everywhere_else() {
    let site = Site::new();
    let jars: Vec<Jar> = (0..4).map(|_| site.login("ann")).collect();
    let bob = site.login("bob");
    let (ended, answer) = site.ask(&jars[0], |visit| visit.logout_elsewhere().unwrap());
    assert_eq!((ended, answer.set_cookie()), (3, None));
    let users: Vec<bool> = jars.iter().map(|jar| site.user(jar).is_some()).collect();
    assert_eq!(users, [true, false, false, false]);
    let more = site.login("ann");
    let (ended, answer) = site.ask(&jars[0], |visit| visit.logout_everywhere().unwrap());
    assert_eq!(ended, 2);
    assert!(answer.is_revoking());
    assert_eq!((site.user(&more), site.user(&jars[0])), (None, None));
    assert_eq!(site.user(&bob).as_deref(), Some("bob"));
    let nobody = Jar::default();
    assert_eq!(
        site.ask(&nobody, |visit| visit.logout_elsewhere().unwrap())
            .0,
        0
    );
    assert_eq!(
        site.ask(&nobody, |visit| visit.logout_everywhere().unwrap())
            .0,
        0
    );
}

#[test]
fn everywhere_else_can_be_logged_out_by_the_request_that_logs_in() {
    let site = Site::new();
    let elsewhere = site.login("ann");
    let mut jar = site.shopper();
    let ended = site.visit(&mut jar, |visit| {
        visit.login("ann").unwrap();
        visit.logout_elsewhere().unwrap()
    });
    assert_eq!((ended, site.user(&elsewhere)), (1, None));
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
}

#[test]
fn a_proof_of_who_the_user_is_grows_stale_and_can_be_given_again_without_a_new_id() {
    let site = Site::new();
    let mut jar = site.login("ann");
    let fresh = |jar: &Jar| site.begin(jar).is_fresh(10 * MINUTE).unwrap();
    assert!(fresh(&jar));
    site.advance(9 * MINUTE);
    site.visit(&mut jar, |visit| put(visit, "cart", "tea"));
    site.advance(MINUTE);
    assert!(!fresh(&jar), "to use a session proves nothing");
    let was = jar.clone();
    let (_, answer) = site.ask(&jar, |visit| {
        assert!(visit.confirm().unwrap());
        assert!(visit.is_fresh(10 * MINUTE).unwrap());
        assert!(!visit.is_fresh(Duration::ZERO).unwrap());
    });
    assert_eq!(answer.set_cookie(), None);
    assert!(fresh(&jar));
    // A login proves it as well, and gives a new id.
    site.advance(HOUR);
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    assert!(jar != was && fresh(&jar));
    let nobody = Jar::default();
    assert!(!fresh(&nobody) && !site.begin(&nobody).confirm().unwrap());
    assert!(!fresh(&site.shopper()));
}

#[test]
fn a_change_of_password_ends_the_other_sessions_at_their_next_look() {
    let site = Site::new();
    let login = |password: &[u8]| {
        let mut jar = Jar::default();
        site.visit(&mut jar, |visit| {
            visit.login("ann").unwrap();
            assert!(visit.set_credentials(password).unwrap());
        });
        jar
    };
    let (here, there, unmarked) = (login(b"old"), login(b"old"), site.login("ann"));
    for jar in [&here, &there] {
        assert!(
            site.ask(jar, |visit| visit.check_credentials(b"old").unwrap())
                .0
        );
    }
    let _ = site.ask(&here, |visit| visit.set_credentials(b"new").unwrap());
    assert!(
        site.ask(&here, |visit| visit.check_credentials(b"new").unwrap())
            .0
    );
    for jar in [&there, &unmarked] {
        let (holds, answer) = site.ask(jar, |visit| visit.check_credentials(b"new").unwrap());
        assert!(!holds && answer.is_revoking());
        assert_eq!(site.user(jar), None);
    }
    // A visitor whom nobody knows has none, and a second look in the request that ended the session says the same.
    let of_nobody = |visit: &mut Visit| visit.check_credentials(b"new").unwrap();
    assert!(!site.ask(&Jar::default(), of_nobody).0);
    let note = |visit: &mut Visit| visit.set_credentials(b"new").unwrap();
    assert!(!site.ask(&Jar::default(), note).0);
    let twice = login(b"other");
    assert!(
        !site
            .ask(&twice, |visit| of_nobody(visit) || of_nobody(visit))
            .0
    );
    // Another user with the same password has another stamp.
    let of = |user: &str| {
        let mut jar = Jar::default();
        site.visit(&mut jar, |visit| {
            visit.login(user).unwrap();
            visit.set_credentials(b"same").unwrap()
        });
        site.begin(&jar)
            .session()
            .unwrap()
            .credentials()
            .map(String::from)
            .unwrap()
    };
    assert_ne!(of("bob"), of("eve"));
}

#[test]
fn a_user_has_no_more_sessions_than_the_cap_allows() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_cap(Some(SessionCap::Refuse(2)));
        },
    );
    let mut jars = vec![];
    for n in 0..3 {
        let mut jar = site.shopper();
        let was = jar.clone();
        let done = site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        assert_eq!(done, n < 2);
        if n == 2 {
            assert_eq!(
                jar, was,
                "nobody was logged in, and the cart is still there"
            );
            assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
            assert_eq!(site.user(&jar), None);
        }
        jars.push(jar);
    }
    assert!(
        site.visit(&mut jars[0], |visit| visit.login("ann").unwrap()),
        "it replaces its own"
    );
    site.visit(&mut jars[1], |visit| visit.logout().unwrap());
    assert!(site.visit(&mut jars[2], |visit| visit.login("ann").unwrap()));

    let site = Site::with(
        |_| (),
        |it| {
            it.session_cap(Some(SessionCap::EndOldest(2)));
        },
    );
    let jars: Vec<Jar> = (0..4)
        .map(|_| {
            site.advance(MINUTE);
            site.login("ann")
        })
        .collect();
    let live: Vec<bool> = jars.iter().map(|jar| site.user(jar).is_some()).collect();
    assert_eq!(live, [false, false, true, true]);
}

#[test]
fn who_is_ended_by_another_login_under_the_cap_is_told_to_the_operator() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_cap(Some(SessionCap::EndOldest(1)));
        },
    );
    let first = site.login("ann");
    let ended = site.begin(&first).session().unwrap().handle().unwrap();
    site.events();
    site.login("ann");
    let events = site.events();
    let told = events
        .iter()
        .filter(|event| event.contains("ended"))
        .count();
    assert_eq!(told, 1, "{events:?}, of {ended}");
}

/// However the user of the session changes.
#[test]
fn an_update_that_logs_a_user_in_is_within_the_cap_and_a_login_like_others() {
    let by_update = |visit: &mut Visit| {
        visit
            .update(|session| {
                session.set_user(Some("ann"));
                Ok(())
            })
            .unwrap();
    };
    for cap in [SessionCap::Refuse(1), SessionCap::EndOldest(1)] {
        let site = Site::with(
            |_| (),
            |it| {
                it.session_cap(Some(cap));
            },
        );
        let first = site.login("ann");
        let mut second = site.shopper();
        let (user, answer) = site.ask(&second, |visit| {
            by_update(visit);
            visit.user().unwrap().map(String::from)
        });
        assert_eq!(
            site.store.store.sessions_of("ann").unwrap().len(),
            1,
            "{cap:?}"
        );
        second.receive(&answer);
        match cap {
            SessionCap::Refuse(_) => {
                assert_eq!(answer.outcome, Outcome::Lost(Lost::Refused));
                assert_eq!((user, site.user(&second)), (None, None));
                assert_eq!(site.user(&first).as_deref(), Some("ann"));
            }
            _ => {
                assert_eq!(answer.outcome, Outcome::Stored);
                assert_eq!(user.as_deref(), Some("ann"));
                assert_eq!(site.user(&second).as_deref(), Some("ann"));
                assert_eq!(site.user(&first), None);
                // And it does not end with the hour that a visitor has.
                site.advance(2 * HOUR);
                assert_eq!(site.user(&second).as_deref(), Some("ann"));
            }
        }
        assert_eq!(
            site.value(&second, "cart").as_deref(),
            Some("tea"),
            "{cap:?}"
        );
    }
}

#[test]
fn a_session_that_got_its_id_before_a_refused_login_stays_the_browsers() {
    let by_login = |visit: &mut Visit| assert!(!visit.login("ann").unwrap());
    let by_hand = |visit: &mut Visit| visit.session().unwrap().set_user(Some("ann"));
    let by_save = |visit: &mut Visit| {
        by_hand(visit);
        assert_eq!(visit.save().unwrap(), Outcome::Lost(Lost::Refused));
    };
    let by_update = |visit: &mut Visit| {
        let log_in = |session: &mut Session| {
            session.set_user(Some("ann"));
            Ok(())
        };
        visit.update(log_in).unwrap();
    };
    let before_update = |visit: &mut Visit| {
        by_hand(visit);
        let change = |session: &mut Session| session.insert("late", &"x");
        visit.update(change).unwrap();
    };
    type Handler<'a> = &'a dyn Fn(&mut Visit);
    let all: [(&str, Handler<'_>); 5] = [
        ("login", &by_login),
        ("by hand", &by_hand),
        ("save", &by_save),
        ("update", &by_update),
        ("before an update", &before_update),
    ];
    let renew = |visit: &mut Visit| {
        visit.renew().unwrap();
        visit.save().unwrap();
    };
    let make = |visit: &mut Visit| {
        put(visit, "cart", "tea");
        visit.save().unwrap();
    };
    let nothing = |_: &mut Visit| ();
    let looks = |(how, log_in)| [(how, log_in, false), (how, log_in, true)];
    for (how, log_in, looks) in all.into_iter().flat_map(looks) {
        // A user who was set by hand is refused by `finish` alone.
        if looks && how == "by hand" {
            continue;
        }
        for (first, begins, cart) in [
            (&nothing as Handler<'_>, "stranger", None),
            (&nothing, "shopper", Some("tea")),
            (&renew, "shopper", Some("tea")),
            (&make, "stranger", Some("tea")),
        ] {
            let site = Site::with(
                |_| (),
                |it| {
                    it.session_cap(Some(SessionCap::Refuse(1)));
                },
            );
            site.login("ann");
            let mut jar = match begins {
                "shopper" => site.shopper(),
                _ => Jar::default(),
            };
            let (user, answer) = site.ask(&jar, |visit| {
                first(visit);
                log_in(visit);
                let user = |visit: &mut Visit| visit.user().unwrap().map(String::from);
                looks.then(|| user(visit)).flatten()
            });
            jar.receive(&answer);
            let case = format!("{how}, {begins}, {cart:?}, looks: {looks}");
            assert_eq!(site.value(&jar, "cart").as_deref(), cart, "{case}");
            assert_eq!((user, site.user(&jar)), (None, None), "{case}");
            assert_eq!(site.value(&jar, "late"), None, "{case}");
            let is_told = answer.outcome == Outcome::Lost(Lost::Refused);
            assert_eq!(is_told, how != "login", "{case}: {:?}", answer.outcome);
        }
    }
}

#[test]
fn a_refused_login_leaves_all_else_of_the_request_as_it_was() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_cap(Some(SessionCap::Refuse(1)));
        },
    );
    site.login("ann");
    let mut jar = site.shopper();
    let old = jar.clone();
    let ((), answer) = site.ask(&jar, |visit| {
        put(visit, "size", "tall");
        assert!(!visit.login("ann").unwrap());
        assert_eq!(visit.user().unwrap(), None);
        visit.flash("error", "Too many devices.").unwrap();
    });
    assert_eq!(
        (answer.outcome, answer.set_cookie()),
        (Outcome::Stored, None)
    );
    assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
    assert_eq!(site.begin(&jar).take_flashes().unwrap().len(), 1);

    // A login without that call is told by the end, of a visitor with a session and without.
    type Login = fn(&mut Visit);
    let logins: [Login; 3] = [
        |visit| visit.session().unwrap().set_user(Some("ann")),
        |visit| {
            visit.session().unwrap().set_user(Some("ann"));
            assert!(visit.devices().unwrap().is_empty());
        },
        |visit| {
            let login = |session: &mut Session| {
                session.set_user(Some("ann"));
                Ok(())
            };
            visit.update(login).unwrap();
        },
    ];
    for login in logins {
        for jar in [&jar, &Jar::default()] {
            let (user, answer) = site.ask(jar, |visit| {
                login(visit);
                let is_stored = !visit.needs_io();
                visit.user().unwrap().filter(|_| is_stored).is_some()
            });
            assert!(!user);
            assert_eq!(answer.outcome, Outcome::Lost(Lost::Refused));
            assert_eq!(answer.set_cookie(), None);
        }
        // The session that the same request stored before is the visitor's.
        let mut fresh = Jar::default();
        site.visit(&mut fresh, |visit| {
            put(visit, "cart", "milk");
            let _ = visit.save().unwrap();
            login(visit);
        });
        assert_eq!(site.value(&fresh, "cart").as_deref(), Some("milk"));
        assert_eq!(site.user(&fresh), None);
    }
    // The cookie is given back for a session that ended before the refusal.
    site.visit(&mut jar, |visit| {
        visit.logout().unwrap();
        visit.session().unwrap().set_user(Some("ann"));
    });
    assert_eq!((jar, site.user(&old)), (Jar::default(), None));
}

#[test]
fn nobody_is_fresh_or_confirmed_who_was_logged_out_again_by_the_same_request() {
    let site = Site::new();
    site.visit(&mut Jar::default(), |visit| {
        visit.login("ann").unwrap();
        visit.session().unwrap().set_user(None);
        assert!(!visit.is_fresh(MINUTE).unwrap());
        assert!(!visit.confirm().unwrap());
    });
}

/// A refusal ends nothing: the session that was there before is found by all that follows in the same request.
#[test]
fn after_a_refusal_the_request_can_log_in_log_out_and_reload_the_session_that_is_there() {
    let by_hand = |session: &mut Session| {
        session.set_user(Some("ann"));
        Ok(())
    };
    for (by_update, is_renewed) in [(false, false), (false, true), (true, false), (true, true)] {
        for deed in ["login", "reload", "logout"] {
            let site = Site::with(
                |_| (),
                |it| {
                    it.session_cap(Some(SessionCap::Refuse(1)));
                },
            );
            site.login("ann");
            let mut jar = site.shopper();
            let mut visit = site.begin(&jar);
            if is_renewed {
                visit.renew().unwrap();
                assert_eq!(visit.save().unwrap(), Outcome::Stored);
            }
            match by_update {
                true => visit.update(by_hand).unwrap(),
                false => by_hand(visit.session().unwrap()).unwrap(),
            }
            assert_eq!(visit.save().unwrap(), Outcome::Lost(Lost::Refused));
            site.store.store.delete_user_sessions("ann").unwrap();
            match deed {
                "login" => assert!(visit.login("ann").unwrap()),
                "reload" => visit.reload().unwrap(),
                _ => assert!(visit.logout().unwrap()),
            }
            let case = format!("{deed}, by update: {by_update}, renewed: {is_renewed}");
            let value: Option<String> = visit.session().unwrap().get("cart").unwrap();
            let expected = Some("tea").filter(|_| deed != "logout");
            assert_eq!(value.as_deref(), expected, "{case}");
            let done = answer(visit.finish().unwrap());
            assert!(!matches!(done.outcome, Outcome::Lost(_)), "{case}");
            jar.receive(&done);
            assert_eq!(site.value(&jar, "cart").as_deref(), expected, "{case}");
            let user = Some("ann").filter(|_| deed == "login");
            assert_eq!(site.user(&jar).as_deref(), user, "{case}");
            let sessions = usize::from(deed != "logout");
            assert_eq!(
                (site.sessions(), jar.0.len()),
                (sessions, sessions),
                "{case}"
            );
        }
    }
}

#[test]
fn an_operator_is_told_the_same_of_a_user_who_is_set_by_hand_as_of_a_login() {
    let site = Site::new();
    for mut jar in [Jar::default(), site.shopper()] {
        site.events();
        for (user, event) in [
            (Some("ann"), "logged in"),
            (Some("bob"), "logged in"),
            (None, "renewed"),
        ] {
            site.visit(&mut jar, |visit| {
                put(visit, "cart", "tea");
                visit.session().unwrap().set_user(user);
            });
            assert_eq!(site.events(), [event], "{user:?}");
        }
        for (user, event) in [(Some("ann"), "logged in"), (None, "renewed")] {
            site.visit(&mut jar, |visit| {
                let change = |session: &mut Session| {
                    session.set_user(user);
                    Ok(())
                };
                visit.update(change).unwrap();
            });
            assert_eq!(site.events(), [event], "{user:?}, by an update");
        }
    }
}

#[test]
fn a_login_that_is_refused_after_another_tab_logged_in_is_told_like_others() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_cap(Some(SessionCap::Refuse(1)));
        },
    );
    let jar = site.shopper();
    let mut slow = site.begin(&jar);
    put(&mut slow, "size", "tall");
    let _ = site.ask(&jar, |visit| assert!(visit.login("ann").unwrap()));
    assert!(!slow.login("ann").unwrap());
    let done = slow.finish().unwrap();
    assert_eq!(done.outcome(), Outcome::Lost(Lost::Superseded));
    assert_eq!(answer(done).set_cookie(), None);
}
