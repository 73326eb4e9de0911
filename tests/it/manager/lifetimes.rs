//! How long sessions live, and what the browser is told of it.

use super::*;

fn max_age(answer: &Answer) -> Option<u64> {
    let set = answer.set_cookie().unwrap();
    let attribute = set
        .split("; ")
        .find_map(|part| part.strip_prefix("Max-Age="));
    attribute.map(|seconds| seconds.parse().unwrap())
}

fn absolute(of: Duration) -> Lifetime {
    Lifetime {
        idle: None,
        absolute: Some(of),
    }
}

fn idle(of: Duration) -> Lifetime {
    Lifetime {
        idle: Some(of),
        absolute: None,
    }
}

#[test]
fn the_absolute_lifetime_starts_at_the_login() {
    let site = Site::with(
        |it| {
            it.absolute_lifetime(10 * HOUR);
        },
        |it| {
            it.anonymous_idle(None);
        },
    );
    for again in [false, true] {
        let mut jar = if again {
            site.login("ann")
        } else {
            site.shopper()
        };
        site.advance(9 * HOUR);
        site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        site.advance(9 * HOUR);
        assert_eq!(site.user(&jar).as_deref(), Some("ann"), "again: {again}");
        site.advance(HOUR);
        assert_eq!(site.user(&jar), None);
    }
}

#[test]
fn what_robots_leave_behind_ends_within_the_hour_and_a_login_lives_on() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(14 * DAY);
        },
        |_| (),
    );
    for _ in 0..100 {
        site.shopper();
    }
    let mut human = site.shopper();
    site.advance(30 * MINUTE);
    site.visit(&mut human, |visit| visit.login("ann").unwrap());
    site.advance(30 * MINUTE);
    assert_eq!(site.sessions(), 1, "the human's");
    site.advance(13 * DAY);
    assert_eq!(site.user(&human).as_deref(), Some("ann"));
    // A user who logs out by hand is a stranger again.
    site.visit(&mut human, |visit| {
        put(visit, "cart", "tea");
        visit.session().unwrap().set_user(None);
    });
    assert_eq!(site.value(&human, "cart").as_deref(), Some("tea"));
    site.advance(HOUR);
    assert_eq!(site.value(&human, "cart"), None);
}

#[test]
fn a_stranger_lives_unused_for_as_long_as_was_chosen() {
    for (chosen, lives) in [(Some(10 * MINUTE), 10 * MINUTE), (None, 14 * DAY)] {
        let site = Site::with(
            |it| {
                it.idle_lifetime(14 * DAY);
            },
            |it| {
                it.anonymous_idle(chosen);
            },
        );
        let jar = site.shopper();
        site.advance(lives - SECOND);
        assert!(site.value(&jar, "cart").is_some());
        site.advance(SECOND);
        assert!(site.value(&jar, "cart").is_none());
    }
}

#[test]
fn a_stranger_never_outlives_what_the_store_allows() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(10 * MINUTE).absolute_lifetime(20 * MINUTE);
        },
        |_| (),
    );
    let jar = site.shopper();
    site.advance(10 * MINUTE);
    assert_eq!(site.value(&jar, "cart"), None);
    let jar = site.shopper();
    for _ in 0..3 {
        site.advance(5 * MINUTE);
        let _ = site.ask(&jar, |_| ());
        assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
    }
    site.advance(5 * MINUTE);
    assert_eq!(site.value(&jar, "cart"), None);
}

#[test]
fn a_lifetime_that_the_application_gave_a_stranger_stays() {
    let site = Site::new();
    let mut jar = Jar::default();
    site.visit(&mut jar, |visit| {
        put(visit, "cart", "tea");
        visit.session().unwrap().set_lifetime(Some(idle(DAY)));
    });
    site.advance(23 * HOUR);
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

#[test]
fn remember_me_makes_one_session_outlive_the_browser_and_no_other() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(HOUR);
        },
        |_| (),
    );
    let mut remembered = site.shopper();
    let (_, told) = site.ask(&remembered, |visit| {
        visit.login_for("ann", absolute(30 * DAY)).unwrap()
    });
    remembered.receive(&told);
    let (_, other) = site.ask(&Jar::default(), |visit| visit.login("ann").unwrap());
    assert_eq!((max_age(&told), max_age(&other)), (Some(30 * 86_400), None));
    let mut plain = Jar::default();
    plain.receive(&other);
    site.advance(29 * DAY);
    assert_eq!(site.user(&remembered).as_deref(), Some("ann"));
    assert_eq!(site.user(&plain), None);
    site.advance(DAY);
    assert_eq!(site.user(&remembered), None, "the server enforces it");
    // The next plain login of the same browser is no longer remembered.
    let (_, again) = site.ask(&remembered, |visit| visit.login("ann").unwrap());
    assert_eq!(max_age(&again), None);
}

#[test]
fn the_cookie_never_ends_before_the_session_does() {
    let site = Site::new();
    for (lifetime, seconds) in [
        (absolute(DAY), 86_400),
        (absolute(Duration::from_millis(1_500)), 2),
        (absolute(Duration::from_millis(1)), 1),
        (absolute(1_000 * DAY), 34_560_000),
        // Each use begins it anew, so that no moment can be named.
        (idle(DAY), 34_560_000),
        (Lifetime::default(), 34_560_000),
        (
            Lifetime {
                idle: Some(HOUR),
                absolute: Some(DAY),
            },
            86_400,
        ),
    ] {
        let (_, answer) = site.ask(&Jar::default(), |visit| {
            visit.login_for("ann", lifetime).unwrap()
        });
        assert_eq!(max_age(&answer), Some(seconds), "{lifetime:?}");
    }
}

#[test]
fn a_remembered_session_with_a_new_id_tells_the_cookie_what_is_left() {
    let site = Site::new();
    let mut jar = Jar::default();
    site.visit(&mut jar, |visit| {
        visit.login_for("ann", absolute(10 * DAY)).unwrap()
    });
    site.advance(4 * DAY);
    let (_, answer) = site.ask(&jar, |visit| visit.renew().unwrap());
    assert_eq!(max_age(&answer), Some(6 * 86_400));
}

#[test]
fn a_session_with_an_end_of_its_own_tells_the_cookie_the_same() {
    let site = Site::new();
    let (_, answer) = site.ask(&Jar::default(), |visit| {
        visit.login("ann").unwrap();
        visit.session().unwrap().set_lifetime(Some(absolute(DAY)));
    });
    assert_eq!(max_age(&answer), None, "a login decides for itself");
    let (_, answer) = site.ask(&Jar::default(), |visit| {
        let session = visit.session().unwrap();
        session.set_user(Some("ann"));
        session.set_lifetime(Some(absolute(DAY)));
    });
    assert_eq!(max_age(&answer), Some(86_400));
}

#[test]
fn time_left_is_that_of_the_session_and_of_nobody_without_one() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(HOUR);
        },
        |_| (),
    );
    let jar = site.login("ann");
    assert_eq!(site.begin(&jar).time_left().unwrap(), Some(HOUR));
    site.advance(MINUTE);
    assert_eq!(site.begin(&jar).time_left().unwrap(), Some(59 * MINUTE));
    assert_eq!(site.begin(&Jar::default()).time_left().unwrap(), None);
}

#[test]
fn a_lifetime_that_comes_with_a_change_of_user_stays() {
    let site = Site::new();
    let days = |days: u32| Lifetime {
        idle: None,
        absolute: Some(days * DAY),
    };
    let mut jar = site.shopper();
    for (user, lifetime) in [(Some("ann"), days(7)), (None, days(8))] {
        site.visit(&mut jar, |visit| {
            let session = visit.session().unwrap();
            session.insert("cart", "tea").unwrap();
            session.set_user(user);
            session.set_lifetime(Some(lifetime));
        });
        let left = site.begin(&jar).time_left().unwrap();
        assert_eq!(left, lifetime.absolute, "{user:?}");
    }
}

#[test]
fn what_is_put_in_after_an_update_that_ended_a_long_session_lives_as_a_strangers() {
    let site = Site::new();
    let mut jar = Jar::default();
    let month = Lifetime {
        idle: None,
        absolute: Some(30 * DAY),
    };
    site.visit(&mut jar, |visit| visit.login_for("ann", month).unwrap());
    site.visit(&mut jar, |visit| {
        let logout = |session: &mut Session| {
            session.set_user(None);
            Ok(())
        };
        visit.update(logout).unwrap();
        visit.flash("ok", "Goodbye.").unwrap();
    });
    let left = site.begin(&jar).time_left().unwrap();
    assert_eq!(left, Some(HOUR));
}

#[test]
fn a_login_that_the_same_request_takes_back_by_hand_leaves_nothing_of_its_own() {
    let site = Site::new();
    for (mut jar, event) in [(Jar::default(), "created"), (site.shopper(), "renewed")] {
        site.events();
        site.visit(&mut jar, |visit| {
            visit.login_for("ann", absolute(30 * DAY)).unwrap();
            put(visit, "size", "tall");
            visit.session().unwrap().set_user(None);
        });
        assert_eq!(site.value(&jar, "size").as_deref(), Some("tall"));
        assert_eq!(site.begin(&jar).time_left().unwrap(), Some(HOUR));
        assert_eq!(site.events(), [event]);
    }
}

#[test]
fn a_lifetime_that_comes_with_a_change_of_user_stays_also_where_a_stranger_had_the_same() {
    let site = Site::new();
    let meanwhile: [fn(&mut Visit); 2] = [|_| (), |visit| put(visit, "size", "tall")];
    for other_request in meanwhile {
        let mut jar = site.shopper();
        let other = jar.clone();
        site.visit(&mut jar, |visit| {
            let session = visit.session().unwrap();
            session.set_user(Some("ann"));
            session.set_lifetime(Some(idle(HOUR)));
            let _ = site.ask(&other, other_request);
        });
        assert_eq!(site.user(&jar).as_deref(), Some("ann"));
        assert_eq!(site.begin(&jar).time_left().unwrap(), Some(HOUR));
    }
}
