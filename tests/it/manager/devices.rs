//! A user's devices, and the end of a session told to a handler that waits for it.

use super::*;
use std::thread;
use std::time::Instant;

fn login_from(site: &Site, user: &str, address: &str, agent: &str) -> Jar {
    let mut jar = Jar::default();
    site.visit(&mut jar, |visit| {
        visit.set_client(address, agent);
        visit.login(user).unwrap()
    });
    jar
}

#[test]
fn a_user_sees_his_devices_the_last_used_first_and_which_is_this() {
    let site = Site::new();
    let phone = login_from(&site, "ann", "10.0.0.1", "Phone");
    site.advance(HOUR);
    let mut desk = login_from(&site, "ann", "10.0.0.2", "Desk");
    login_from(&site, "bob", "10.0.0.3", "Bob's");
    site.advance(HOUR);
    let _ = site.ask(&phone, |visit| {
        visit.set_client("192.0.2.1", "Phone");
        visit.set_device_label(Some("my phone")).unwrap();
    });
    let devices = site.visit(&mut desk, |visit| visit.devices().unwrap());
    let shown: Vec<_> = devices
        .iter()
        .map(|it| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (
                it.agent.as_str(),
                text(&it.first_address),
                text(&it.last_address),
                text(&it.label),
                it.is_this,
            )
        })
        .collect();
    let text = str::to_string;
    assert_eq!(
        shown,
        [
            (
                "Phone",
                text("10.0.0.1"),
                text("192.0.2.1"),
                text("my phone"),
                false
            ),
            ("Desk", text("10.0.0.2"), text("10.0.0.2"), text(""), true),
        ]
    );
    assert_eq!(devices[0].session, phone.id().unwrap().handle());
    assert!(devices[0].created < devices[0].accessed);
    assert!(site.begin(&Jar::default()).devices().unwrap().is_empty());
}

#[test]
fn a_device_says_nothing_of_the_user_who_was_logged_in_on_it_before() {
    let site = Site::new();
    let login = |visit: &mut Visit| assert!(visit.login("bob").unwrap());
    let by_hand = |visit: &mut Visit| visit.session().unwrap().set_user(Some("bob"));
    for become_bob in [login, by_hand] {
        let mut jar = login_from(&site, "ann", "10.0.0.1", "Phone");
        site.visit(&mut jar, |visit| {
            visit.set_device_label(Some("ann's phone")).unwrap();
        });
        site.visit(&mut jar, |visit| {
            visit.set_client("192.0.2.1", "Phone");
            become_bob(visit);
        });
        let devices = site.visit(&mut jar, |visit| visit.devices().unwrap());
        let device = devices.iter().find(|device| device.is_this).unwrap();
        assert_eq!(device.label, None);
        assert_eq!(device.first_address.as_deref(), Some("192.0.2.1"));
        assert_eq!(device.last_address.as_deref(), Some("192.0.2.1"));
    }
}

#[test]
fn one_device_can_be_logged_out_from_another_and_nobody_elses() {
    let site = Site::new();
    let (phone, desk, bob) = (site.login("ann"), site.login("ann"), site.login("bob"));
    let handle = |jar: &Jar| jar.id().unwrap().handle();
    let out =
        |jar: &Jar, there: &Jar| site.ask(jar, |visit| visit.logout_device(handle(there)).unwrap());
    assert!(!out(&desk, &bob).0, "bob's is not ann's to end");
    assert!(!out(&Jar::default(), &bob).0);
    assert_eq!(site.user(&bob).as_deref(), Some("bob"));
    site.events();
    assert!(out(&desk, &phone).0);
    assert_eq!(site.events(), ["ended"]);
    assert!(!out(&desk, &phone).0, "it is gone already");
    assert_eq!(site.events(), [""; 0]);
    assert_eq!(
        (site.user(&phone), site.user(&desk).as_deref()),
        (None, Some("ann"))
    );
    let (had, answer) = out(&desk, &desk);
    assert!(had && answer.is_revoking(), "its own is a logout");
}

#[test]
fn an_address_or_an_agent_that_stays_the_same_is_no_change() {
    let site = Site::new();
    let jar = login_from(&site, "ann", "10.0.0.1", &"x".repeat(1_000));
    let come = |address: &str| {
        site.ask(&jar, |visit| {
            visit.set_client(address, &"x".repeat(1_000));
            visit.user().unwrap().is_some()
        })
        .1
        .outcome
    };
    assert_eq!(come("10.0.0.1"), Outcome::Touched);
    assert_eq!(come("10.0.0.2"), Outcome::Stored);
    assert_eq!(come("10.0.0.2"), Outcome::Touched);
    assert_eq!(site.begin(&jar).devices().unwrap()[0].agent.len(), 256);
    // A stranger's address does not make a session, and is not noted in one.
    let mut shopper = site.shopper();
    site.visit(&mut shopper, |visit| {
        visit.set_client("10.0.0.9", "Robot");
        put(visit, "cart", "milk");
    });
    assert_eq!(
        site.begin(&shopper).session().unwrap().remote_address(),
        None
    );
}

#[test]
fn the_end_of_a_session_is_told_to_whoever_waits_for_it() {
    let site = Site::new();
    type End<'a> = (&'a str, &'a dyn Fn(&Jar));
    let ends: [End<'_>; 5] = [
        ("a logout", &|jar| {
            drop(site.ask(jar, |visit| visit.logout().unwrap()))
        }),
        ("everywhere", &|jar| {
            drop(site.ask(jar, |visit| visit.logout_everywhere().unwrap()))
        }),
        ("from elsewhere", &|_| {
            drop(site.ask(&site.login("ann"), |visit| {
                visit.logout_elsewhere().unwrap()
            }))
        }),
        ("a new id", &|jar| {
            drop(site.ask(jar, |visit| visit.renew().unwrap()))
        }),
        ("emptied", &|jar| {
            let _ = site.ask(jar, |visit| {
                visit.session().unwrap().set_user(None);
            });
        }),
    ];
    for (name, end) in ends {
        let jar = site.login("ann");
        let watch = site.begin(&jar).watch().unwrap().unwrap();
        assert!(watch.is_live().unwrap(), "{name}");
        assert!(!watch.wait(Duration::ZERO).unwrap(), "{name}");
        let told = thread::spawn(move || watch.wait(100 * SECOND).unwrap());
        end(&jar);
        assert!(told.join().unwrap(), "{name}");
    }
    assert!(site.begin(&Jar::default()).watch().unwrap().is_none());
}

#[test]
fn a_watch_stores_a_session_that_is_new_and_leaves_the_changes_of_one_that_is_there() {
    let site = Site::new();
    let mut visit = site.begin(&Jar::default());
    put(&mut visit, "cart", "tea");
    let watch = visit.watch().unwrap().unwrap();
    assert!(watch.is_live().unwrap());
    assert_eq!(visit.finish().unwrap().outcome(), Outcome::Stored);
    let mut visit = site.begin(&site.shopper());
    put(&mut visit, "cart", "milk");
    site.calls();
    assert!(visit.watch().unwrap().is_some());
    assert_eq!(site.calls(), [""; 0]);
    assert_eq!(visit.finish().unwrap().outcome(), Outcome::Stored);
}

#[test]
fn an_end_behind_the_managers_back_is_noticed_by_looking() {
    let site = Site::with(
        |it| {
            it.idle_lifetime(HOUR);
        },
        |_| (),
    );
    let by_age = site.login("ann");
    let watch = site.begin(&by_age).watch().unwrap().unwrap();
    site.advance(HOUR);
    assert!(watch.wait(100 * SECOND).unwrap());
    let deleted = site.login("ann");
    let watch = site.begin(&deleted).watch().unwrap().unwrap();
    site.calls();
    let begun = Instant::now();
    let told = thread::spawn(move || watch.wait(600 * SECOND).unwrap());
    while !site.calls().contains(&"has") {
        thread::yield_now();
    }
    // It has looked, and waits.
    site.store
        .store
        .delete_session(&deleted.id().unwrap())
        .unwrap();
    assert!(told.join().unwrap());
    assert!(begun.elapsed() < 300 * SECOND, "it looks once a second");
}

#[test]
fn an_address_that_is_noted_after_an_update_is_announced_as_io() {
    let site = Site::new();
    let mut jar = Jar::default();
    for (address, is_quiet) in [
        ("10.0.0.7", false),
        ("192.0.2.1", false),
        ("10.0.0.8", true),
    ] {
        site.visit(&mut jar, |visit| {
            visit.set_client(address, "Firefox");
            visit.set_quiet(is_quiet);
            visit.login("ann").unwrap();
            let _ = visit.save().unwrap();
        });
        let mut visit = site.begin(&jar);
        visit.set_client("192.0.2.9", "Firefox");
        visit.set_quiet(is_quiet);
        visit.update(|session| session.insert("n", &1_u64)).unwrap();
        site.calls();
        let needs_io = visit.needs_io();
        let _ = visit.finish().unwrap();
        assert_eq!(needs_io, !site.calls().is_empty(), "{address}");
        assert_eq!(needs_io, !is_quiet, "{address}");
    }
}

#[test]
fn a_logout_everywhere_leaves_the_cookie_of_a_login_that_overtook_it() {
    let site = Site::new();
    let logout = |visit: &mut Visit| visit.logout();
    // Bob logs in over ann's session, or after somebody logged out.
    for first in [None, Some(logout)] {
        let (mut jar, elsewhere) = (site.login("ann"), site.login("ann"));
        let mut late = site.begin(&jar);
        assert_eq!(late.user().unwrap(), Some("ann"));
        if let Some(logout) = first {
            assert!(site.visit(&mut jar, logout).unwrap());
        }
        site.visit(&mut jar, |visit| visit.login("bob").unwrap());
        site.events();
        assert_eq!(late.logout_everywhere().unwrap(), 1);
        let done = answer(late.finish().unwrap());
        assert_eq!((done.outcome, done.set_cookie()), (Outcome::Ended, None));
        assert_eq!(site.events(), [""; 0]);
        assert_eq!(site.user(&elsewhere), None);
        assert_eq!(site.user(&jar).as_deref(), Some("bob"));
    }
}

#[test]
fn a_logout_everywhere_tells_that_the_visitors_own_session_ended() {
    let site = Site::new();
    let (jar, _elsewhere) = (site.login("ann"), site.login("ann"));
    site.events();
    let (ended, _) = site.ask(&jar, |visit| visit.logout_everywhere().unwrap());
    assert_eq!((ended, site.events()), (2, vec!["ended".to_string()]));
    // Also where a sibling domain gave the browser another's cookie, which goes too.
    let (jar, bobs) = (site.login("ann"), site.login("bob"));
    let mut visit = site.manager.begin([jar.field(), bobs.field()].concat());
    assert_eq!(visit.user().unwrap(), Some("ann"));
    site.events();
    assert_eq!(visit.logout_everywhere().unwrap(), 2);
    assert_eq!(site.events(), ["ended", "ended"]);
    // And once, where it was nobody's yet.
    let mut visit = site.begin(&site.shopper());
    visit.session().unwrap().set_user(Some("ann"));
    site.events();
    assert_eq!(visit.logout_everywhere().unwrap(), 1);
    assert_eq!(site.events(), ["ended"]);
}

#[test]
fn a_page_that_only_reads_works_where_the_new_address_has_no_room_in_the_session() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_bytes_max(1_000);
        },
    );
    let jar = login_from(&site, "ann", "10.0.0.7", "Firefox");
    let mut visit = site.begin(&jar);
    let left = 1_000 - visit.session().unwrap().size_bytes().unwrap();
    put(&mut visit, "text", &"x".repeat(left - 20));
    let _ = visit.finish().unwrap();
    let (user, answer) = site.ask(&jar, |visit| {
        visit.set_client("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "Firefox");
        visit.user().unwrap().map(String::from)
    });
    assert_eq!(user.as_deref(), Some("ann"));
    assert_eq!(answer.outcome, Outcome::Touched);
}

#[test]
fn each_text_of_a_device_is_cut_and_a_stranger_has_none() {
    let site = Site::new();
    let long = "x".repeat(1_000);
    let mut jar = login_from(&site, "ann", &long, &long);
    site.visit(&mut jar, |visit| {
        visit.set_device_label(Some(&long)).unwrap();
    });
    let device = site.begin(&jar).devices().unwrap().remove(0);
    let addresses = [device.first_address, device.last_address];
    let texts = addresses
        .into_iter()
        .chain([Some(device.agent), device.label]);
    assert!(texts.flatten().map(|text| text.len()).eq([256; 4]));
    let mut shopper = site.shopper();
    site.visit(&mut shopper, |visit| {
        visit.set_device_label(Some("mine")).unwrap();
    });
    assert_eq!(site.begin(&shopper).session().unwrap().label(), None);
}
