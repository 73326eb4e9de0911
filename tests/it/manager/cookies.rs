//! Cookies and the headers beside them. How a `Cookie` field is read, byte by byte, is tested where that is done.

use super::*;
use shelflife::manager::SameSite;

#[test]
fn the_revoking_cookie_repeats_every_attribute_and_lies_in_the_past() {
    let site = Site::with(
        |_| (),
        |it| {
            it.cookie_name("shop").path("/app").domain("example.org");
            it.same_site(SameSite::None).partitioned(true);
        },
    );
    let mut jar = Jar::default();
    let (_, set) = site.ask(&jar, |visit| visit.login("ann").unwrap());
    jar.receive(&set);
    let (_, revoked) = site.ask(&jar, |visit| visit.logout().unwrap());
    let attributes = |answer: &Answer| {
        let set = answer.set_cookie().unwrap().to_string();
        let (pair, rest) = set.split_once("; ").unwrap();
        (
            pair.split_once('=').unwrap().0.to_string(),
            rest.to_string(),
        )
    };
    let (name, given) = attributes(&set);
    let (same, taken) = attributes(&revoked);
    assert_eq!(
        (name.as_str(), same.as_str()),
        ("__Secure-shop", "__Secure-shop")
    );
    let lifetime = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; ";
    assert_eq!(taken.replace(lifetime, ""), given);
    assert!(taken.contains(lifetime));
    assert_eq!(
        given,
        "Path=/app; Domain=example.org; Secure; HttpOnly; SameSite=None; Partitioned"
    );
}

#[test]
fn a_header_for_the_id_whose_name_is_no_token_is_refused_at_the_start() {
    let mut options = ManagerOptions::new();
    options.id_header("no token");
    let error = options.manage(MemorySessionStore::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// A cookie that browsers drop on plain HTTP is still sent: a developer who sees it in the answer finds out why it
/// never comes back.
#[test]
fn a_secure_cookie_is_sent_whatever_the_request_came_over() {
    let site = Site::new();
    let (_, answer) = site.ask(&Jar::default(), |visit| visit.login("ann").unwrap());
    assert!(answer.set_cookie().unwrap().contains("; Secure; "));
    let site = Site::with(
        |_| (),
        |it| {
            it.secure(false);
        },
    );
    assert_eq!(site.manager.cookie_name(), "id");
    let (_, answer) = site.ask(&Jar::default(), |visit| visit.login("ann").unwrap());
    assert!(!answer.set_cookie().unwrap().contains("Secure"));
}

#[test]
fn at_most_one_cookie_is_set_whatever_a_request_does() {
    let site = Site::new();
    let jar = site.shopper();
    let (_, answer) = site.ask(&jar, |visit| {
        visit.login("ann").unwrap();
        let _ = visit.save().unwrap();
        visit.logout().unwrap();
        visit.login("bob").unwrap();
        visit.renew().unwrap();
        put(visit, "cart", "coffee");
    });
    assert!(answer.sets_an_id(), "the last deed counts");
    let mut jar = jar;
    jar.receive(&answer);
    assert_eq!(site.user(&jar).as_deref(), Some("bob"));
    assert_eq!(site.sessions(), 1);
}

/// A login that overtook it has given the browser another one.
#[test]
fn a_request_with_a_dead_id_that_makes_a_session_and_ends_it_revokes_no_cookie() {
    let ends: [fn(&mut Visit); 3] = [
        |visit| visit.session().unwrap().clear(),
        |visit| _ = visit.update(|session| Ok(session.remove("cart"))).unwrap(),
        |visit| assert!(visit.logout().unwrap()),
    ];
    let finds: [fn(&Site, &Jar); 3] = [
        |site, _| {
            // A sweep, or the logout would end what has expired.
            site.advance(DAY);
            let _ = site.store.store.delete_old_sessions(DAY).unwrap();
        },
        |site, old| _ = site.ask(old, |visit| visit.logout().unwrap()),
        |site, old| _ = site.ask(old, |visit| visit.renew().unwrap()),
    ];
    // The slow request has not looked before; it has, and does not look again; it has, and stores; it looks again.
    let meets: [fn(&mut Visit); 4] = [
        |_| {},
        |_| {},
        |visit| {
            put(visit, "cart", "1");
            assert!(matches!(visit.save().unwrap(), Outcome::Lost(_)));
        },
        |visit| visit.reload().unwrap(),
    ];
    for end in ends {
        for (how, find) in finds.iter().enumerate() {
            for (nth, meet) in meets.iter().enumerate() {
                let site = Site::new();
                let old = site.shopper();
                let mut slow = site.begin(&old);
                if nth > 0 {
                    assert!(slow.peek().unwrap().is_some());
                }
                find(&site, &old);
                let mut jar = old;
                site.visit(&mut jar, |visit| visit.login("ann").unwrap());
                meet(&mut slow);
                slow.login("bob").unwrap();
                assert_eq!(slow.save().unwrap(), Outcome::Stored);
                slow.session().unwrap().set_user(None);
                end(&mut slow);
                let late = answer(slow.finish().unwrap());
                assert_eq!((late.outcome, late.set_cookie()), (Outcome::Ended, None));
                jar.receive(&late);
                assert_eq!(site.user(&jar).as_deref(), Some("ann"), "{how} {nth}");
            }
        }
    }
}

#[test]
fn attributes_do_not_leak_from_one_response_to_the_next() {
    let site = Site::new();
    let month = Lifetime {
        idle: None,
        absolute: Some(30 * DAY),
    };
    let (_, first) = site.ask(&Jar::default(), |visit| {
        visit.login_for("ann", month).unwrap()
    });
    let (_, second) = site.ask(&Jar::default(), |visit| visit.login("bob").unwrap());
    assert!(first.set_cookie().unwrap().contains("Max-Age=2592000"));
    assert!(!second.set_cookie().unwrap().contains("Max-Age"));
}

#[test]
fn malformed_empty_and_dead_cookies_of_our_name_are_passed_over() {
    let site = Site::new();
    let jar = site.login("ann");
    let live = &jar.field()[0];
    let dead = format!("__Host-id={UNKNOWN}");
    for fields in [
        vec![format!("__Host-id=; __Host-id=x; {dead}; {live}")],
        vec![dead.clone(), live.clone()],
        vec![live.clone(), dead.clone()],
        vec!["x=y".to_string(), format!("{live}; z=\u{e4}")],
    ] {
        let mut visit = site.manager.begin(&fields);
        assert_eq!(visit.user().unwrap(), Some("ann"), "{}", fields.len());
        let answer = answer(visit.finish().unwrap());
        assert_eq!(
            answer.set_cookie(),
            None,
            "a live second one is not deleted because the first is dead"
        );
        let blind = site.manager.begin(&fields).finish().unwrap();
        assert_eq!(blind.outcome(), Outcome::Touched);
    }
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
}

#[test]
fn at_most_four_ids_are_looked_up() {
    let site = Site::new();
    let jar = site.login("ann");
    let id = |n: u8| format!("__Host-id={}AECAwQFBgcICQoLDA0ODw", char::from(b'B' + n));
    let mut fields: Vec<String> = (0..4).map(id).collect();
    fields.extend(jar.field());
    site.calls();
    let mut visit = site.manager.begin(&fields);
    assert_eq!(visit.user().unwrap(), None);
    let loads = site.calls().iter().filter(|call| **call == "load").count();
    assert_eq!(loads, 4);
}

#[test]
fn of_two_live_sessions_the_first_counts_and_the_operator_is_told() {
    let site = Site::new();
    let (ann, bob) = (site.login("ann"), site.login("bob"));
    let fields = [ann.field(), bob.field()].concat();
    site.events();
    let mut visit = site.manager.begin(&fields);
    assert_eq!(visit.user().unwrap(), Some("ann"));
    assert_eq!(site.events(), ["duplicate"]);
    // Of three it is told once.
    let mut cleo = site.login("cleo");
    site.events();
    let three = [fields.clone(), cleo.field()].concat();
    assert_eq!(site.manager.begin(three).user().unwrap(), Some("ann"));
    assert_eq!(site.events(), ["duplicate"]);
    site.visit(&mut cleo, |visit| visit.logout().unwrap());
    // A logout ends both: the visitor must not find himself in the other one afterwards.
    assert!(visit.logout().unwrap());
    assert!(answer(visit.finish().unwrap()).is_revoking());
    assert_eq!(site.sessions(), 0);
}

#[test]
fn a_response_varies_by_the_cookie_if_and_only_if_the_session_was_looked_at() {
    let site = Site::new();
    let jar = site.shopper();
    let vary = |jar: &Jar, handler: &dyn Fn(&mut Visit)| {
        let (_, answer) = site.ask(jar, handler);
        answer.get("Vary").map(str::to_string)
    };
    let cookie = Some("Cookie".to_string());
    for jar in [&jar, &Jar::default(), &Jar::of("__Host-id", UNKNOWN)] {
        assert_eq!(vary(jar, &|_| ()), None);
        assert_eq!(
            vary(jar, &|visit| {
                let _ = visit.user().unwrap().is_some();
            }),
            cookie
        );
        assert_eq!(
            vary(jar, &|visit| {
                let _ = visit.take_flashes().unwrap();
            }),
            cookie
        );
        assert_eq!(
            vary(jar, &|visit| {
                let _ = visit.peek().unwrap().is_some();
            }),
            cookie
        );
    }
    assert_eq!(
        vary(&Jar::default(), &|visit| put(visit, "cart", "tea")),
        cookie
    );
    assert_eq!(
        vary(&jar, &|visit| {
            let _ = visit.logout().unwrap();
        }),
        cookie,
        "a revoking one, too"
    );
}

#[test]
fn shared_caches_keep_no_response_of_somebody_who_has_a_session() {
    let site = Site::new();
    let cache = |jar: &Jar, handler: &dyn Fn(&mut Visit)| {
        let (_, answer) = site.ask(jar, handler);
        answer.get("Cache-Control").map(str::to_string)
    };
    let no_store = Some("no-store".to_string());
    assert_eq!(
        cache(&Jar::default(), &|visit| put(visit, "cart", "tea")),
        no_store
    );
    let jar = site.shopper();
    let look = |visit: &mut Visit| {
        let _ = visit.user().unwrap();
    };
    assert_eq!(cache(&jar, &look), Some("private".to_string()));
    assert_eq!(
        cache(&jar, &|visit| put(visit, "cart", "milk")),
        Some("private".to_string())
    );
    assert_eq!(cache(&jar, &|_| ()), None);
    assert_eq!(
        cache(&Jar::default(), &look),
        None,
        "pages for strangers stay cacheable"
    );
    assert_eq!(
        cache(&jar, &|visit| {
            let _ = visit.logout().unwrap();
        }),
        no_store
    );
}

#[test]
fn the_headers_are_its_own_alone_and_good_for_a_response_without_a_body() {
    let site = Site::new();
    let (_, answer) = site.ask(&Jar::default(), |visit| visit.login("ann").unwrap());
    let names: Vec<&str> = answer
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["Set-Cookie", "Vary", "Cache-Control"]);
    for (name, value) in &answer.headers {
        assert!(
            name.bytes()
                .chain(value.bytes())
                .all(|byte| (0x20..0x7F).contains(&byte)),
            "{name}"
        );
    }
}

#[test]
fn a_cookie_that_the_application_sets_stays_beside_the_sessions() {
    let site = Site::new();
    let theme = "theme=dark; Path=/";
    let responds = |jar: &Jar, page: &dyn Fn(&mut Visit)| -> Vec<(String, String)> {
        let (_, answer) = site.ask(jar, page);
        // As a server's glue does: what the application said comes first, and the headers are added.
        let mut headers = vec![("Set-Cookie".to_string(), theme.to_string())];
        headers.extend(answer.headers);
        headers
    };
    let cookies = |headers: &[(String, String)]| -> Vec<String> {
        let set = headers.iter().filter(|(name, _)| name == "Set-Cookie");
        set.map(|(_, value)| value.clone()).collect()
    };
    let mut jar = Jar::default();
    let set = cookies(&responds(&jar, &|visit| _ = visit.login("ann").unwrap()));
    assert_eq!((set.len(), set[0].as_str()), (2, theme));
    let (id, _) = set[1].split_once(';').unwrap();
    let (name, id) = id.split_once('=').unwrap();
    assert_eq!(name, "__Host-id");
    // The browser keeps both, and brings both.
    jar.0.insert("theme".to_string(), "dark".to_string());
    jar.0.insert(name.to_string(), id.to_string());
    let reads = |visit: &mut Visit| assert_eq!(visit.user().unwrap(), Some("ann"));
    assert_eq!(cookies(&responds(&jar, &reads)), [theme]);
    let set = cookies(&responds(&jar, &|visit| _ = visit.logout().unwrap()));
    assert_eq!((set.len(), set[0].as_str()), (2, theme));
    assert!(set[1].starts_with("__Host-id=; ") && !set[1].contains("theme"));
}

#[test]
fn an_id_can_be_carried_by_a_header_in_place_of_a_cookie() {
    let site = Site::with(
        |_| (),
        |it| {
            it.id_header("X-Session");
        },
    );
    assert_eq!(site.manager.cookie_name(), "X-Session");
    let mut visit = site.manager.begin::<&str>([]);
    visit.login("ann").unwrap();
    let done = answer(visit.finish().unwrap());
    let id = done.get("X-Session").unwrap().to_string();
    assert_eq!(
        (done.set_cookie(), done.get("Vary")),
        (None, Some("X-Session"))
    );
    let mut visit = site.manager.begin([&id]);
    assert_eq!(visit.user().unwrap(), Some("ann"));
    assert!(visit.logout().unwrap());
    assert_eq!(answer(visit.finish().unwrap()).get("X-Session"), Some(""));
    assert_eq!(
        site.manager
            .begin([format!("__Host-id={id}")])
            .user()
            .unwrap(),
        None
    );
    let forged = shelflife::manager::Origin {
        method: "POST",
        sec_fetch_site: Some(b"cross-site"),
        ..Default::default()
    };
    assert!(
        !site.manager.is_cross_origin(&forged),
        "no browser sends this header by itself"
    );
}
