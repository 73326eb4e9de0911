//! Claims of which others speak in one breath, each by itself.

use super::*;
use shelflife::manager::{Origin, SameSite};

/// The `Set-Cookie` of a login.
fn set(options: impl Fn(&mut ManagerOptions)) -> String {
    let site = Site::with(|_| (), options);
    let (_, answer) = site.ask(&Jar::default(), |visit| visit.login("ann").unwrap());
    answer.set_cookie().unwrap().to_string()
}

fn attributes(set: &str) -> Vec<&str> {
    set.split("; ").skip(1).collect()
}

fn refused(options: impl Fn(&mut ManagerOptions)) -> String {
    let mut chosen = ManagerOptions::new();
    options(&mut chosen);
    let error = chosen.manage(MemorySessionStore::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.to_string()
}

#[test]
fn the_name_of_the_cookie_does_not_tell_the_technology() {
    assert_eq!(set(|_| ()).split('=').next(), Some("__Host-id"));
}

#[test]
fn the_cookie_is_for_the_whole_site_by_default_and_says_so() {
    assert!(attributes(&set(|_| ())).contains(&"Path=/"));
}

#[test]
fn the_cookie_names_no_domain_by_default() {
    assert!(!set(|_| ()).contains("Domain"));
}

#[test]
fn the_cookie_is_out_of_reach_of_scripts_by_default() {
    assert!(attributes(&set(|_| ())).contains(&"HttpOnly"));
    let open = set(|it| _ = it.http_only(false));
    assert!(!open.contains("HttpOnly"));
}

#[test]
fn the_cookie_is_secure_by_default() {
    assert!(attributes(&set(|_| ())).contains(&"Secure"));
}

#[test]
fn the_cookie_is_same_site_lax_by_default_and_always_says_which() {
    assert!(attributes(&set(|_| ())).contains(&"SameSite=Lax"));
    for (chosen, said) in [
        (SameSite::Strict, "SameSite=Strict"),
        (SameSite::Lax, "SameSite=Lax"),
        (SameSite::None, "SameSite=None"),
    ] {
        assert!(attributes(&set(|it| _ = it.same_site(chosen))).contains(&said));
    }
}

#[test]
fn the_cookie_ends_with_the_browser_unless_asked_otherwise() {
    let cookie = set(|_| ());
    assert!(!cookie.contains("Max-Age") && !cookie.contains("Expires"));
}

#[test]
fn the_name_can_be_set_and_an_invalid_one_is_refused_at_the_start() {
    assert!(set(|it| _ = it.cookie_name("shop")).starts_with("__Host-shop="));
    for name in [
        "",
        "a b",
        "a=b",
        "a;b",
        "a,b",
        "\"a\"",
        "é",
        "a\r\nX: y",
        &"n".repeat(65),
    ] {
        assert!(
            refused(|it| _ = it.cookie_name(name)).contains("name"),
            "{name:?}"
        );
    }
}

#[test]
fn path_and_domain_can_be_set_and_what_could_inject_attributes_is_refused() {
    let cookie = set(|it| _ = it.path("/app").domain(".example.org"));
    assert_eq!(
        attributes(&cookie)[..2],
        ["Path=/app", "Domain=example.org"]
    );
    for path in [
        "",
        "app",
        "/; Domain=evil.example",
        "/\r\nX: y",
        "/\0",
        "/é",
        "/\x7f",
    ] {
        assert!(refused(|it| _ = it.path(path)).contains("path"), "{path:?}");
    }
    for domain in [
        "",
        ".",
        "a; Secure",
        "a b",
        "a\n",
        "é.example",
        "a,b",
        "a:80",
        "a/b",
        // Browsers drop these without a word.
        "..example.org",
        "example..org",
        "example.org.",
        &format!("{}example.org", "a.".repeat(122)),
    ] {
        assert!(
            refused(|it| _ = it.domain(domain)).contains("domain"),
            "{domain:?}"
        );
    }
}

#[test]
fn a_domain_may_have_253_bytes() {
    let longest = format!("{}org", "a.".repeat(125));
    let cookie = set(|it| _ = it.domain(&longest));
    assert!(attributes(&cookie).contains(&format!("Domain={longest}").as_str()));
    refused(|it| _ = it.domain(&format!("a{longest}")));
}

#[test]
fn same_site_none_without_secure_is_refused() {
    refused(|it| _ = it.same_site(SameSite::None).secure(false));
    set(|it| _ = it.same_site(SameSite::None));
}

#[test]
fn partitioned_without_secure_is_refused() {
    refused(|it| _ = it.partitioned(true).secure(false));
    assert!(set(|it| _ = it.partitioned(true)).ends_with("; Partitioned"));
}

#[test]
fn the_prefix_is_chosen_by_the_attributes_and_not_typed() {
    assert!(set(|_| ()).starts_with("__Host-id="));
    assert!(set(|it| _ = it.path("/app")).starts_with("__Secure-id="));
    assert!(set(|it| _ = it.domain("example.org")).starts_with("__Secure-id="));
    assert!(set(|it| _ = it.secure(false)).starts_with("id="));
}

#[test]
fn a_prefix_with_attributes_that_browsers_reject_cannot_be_configured() {
    for name in ["__Host-id", "__Secure-id", "__host-id", "__Http-id", "__"] {
        refused(|it| _ = it.cookie_name(name));
    }
}

#[test]
fn revoking_sends_a_max_age_of_0_and_an_end_in_1970() {
    let site = Site::new();
    let jar = site.login("ann");
    let (_, answer) = site.ask(&jar, |visit| visit.logout().unwrap());
    let cookie = answer.set_cookie().unwrap();
    assert!(cookie.starts_with("__Host-id=; "));
    for part in ["Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
        assert!(attributes(cookie).contains(&part), "{cookie}");
    }
}

#[test]
fn max_age_is_never_negative_in_whole_seconds_rounded_up_and_at_most_400_days() {
    let site = Site::new();
    for (lives, seconds) in [
        (Duration::from_nanos(1), "1"),
        (Duration::from_millis(999), "1"),
        (Duration::from_millis(1_001), "2"),
        (400 * DAY, "34560000"),
        (Duration::MAX, "34560000"),
    ] {
        let lifetime = Lifetime {
            idle: None,
            absolute: Some(lives),
        };
        let (_, answer) = site.ask(&Jar::default(), |visit| {
            visit.login_for("ann", lifetime).unwrap()
        });
        let said = format!("Max-Age={seconds}");
        assert!(
            attributes(answer.set_cookie().unwrap()).contains(&said.as_str()),
            "{lives:?}"
        );
    }
}

#[test]
fn a_change_of_content_alone_sends_no_cookie() {
    let site = Site::new();
    let jar = site.login("ann");
    let (_, answer) = site.ask(&jar, |visit| put(visit, "cart", "tea"));
    assert_eq!(
        (answer.set_cookie(), answer.outcome),
        (None, Outcome::Stored)
    );
}

#[test]
fn after_an_explicit_save_the_end_saves_nothing_again() {
    let site = Site::new();
    let jar = site.login("ann");
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "tea");
    let _ = visit.save().unwrap();
    site.calls();
    let _ = visit.finish().unwrap();
    assert!(site.calls().is_empty());
}

/// A handler or its server's glue gives the visit up, and the page is answered all the same.
#[test]
fn a_request_that_abandons_its_session_stores_nothing_though_it_was_changed() {
    let site = Site::new();
    let jar = site.login("ann");
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "tea");
    visit.flash("ok", "Saved.").unwrap();
    visit.renew().unwrap();
    site.calls();
    drop(visit);
    assert!(site.calls().is_empty());
    assert_eq!(site.value(&jar, "cart"), None);
    assert_eq!(
        site.user(&jar).as_deref(),
        Some("ann"),
        "under the id that it has"
    );
}

#[test]
fn a_login_gives_a_new_id_and_the_old_one_is_dead() {
    let site = Site::new();
    for mut jar in [site.shopper(), site.login("ann"), site.login("bob")] {
        let old = jar.id().unwrap();
        site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        assert_ne!(jar.id().unwrap(), old);
        assert!(!site.store.store.has_session(&old).unwrap());
    }
}

/// Begun before the login or after it, whatever it does.
fn late(deed: impl Fn(&mut Visit)) {
    for began_before in [false, true] {
        let site = Site::new();
        let old = site.shopper();
        let mut jar = old.clone();
        let mut visit = site.begin(&old);
        if began_before {
            visit.user().unwrap();
        }
        site.visit(&mut jar, |visit| visit.login("ann").unwrap());
        deed(&mut visit);
        let logged_in = jar.clone();
        jar.receive(&answer(visit.finish().unwrap()));
        assert_eq!(jar, logged_in, "began before: {began_before}");
        assert_eq!(site.user(&jar).as_deref(), Some("ann"));
        assert_eq!(site.sessions(), 1);
    }
}

#[test]
fn a_late_request_that_reads_or_logs_out_does_not_revoke_the_logins_cookie() {
    late(|_| ());
    late(|visit| _ = visit.user().unwrap());
    late(|visit| visit.session().unwrap().clear());
    late(|visit| assert!(!visit.logout().unwrap()));
}

#[test]
fn a_late_request_that_writes_does_not_replace_the_logins_cookie_by_a_new_sessions() {
    late(|visit| put(visit, "cart", "coffee"));
    late(|visit| _ = visit.update(|session| session.insert("n", &1u64)).unwrap());
    late(|visit| visit.flash("ok", "late").unwrap());
    late(|visit| _ = visit.csrf_token().unwrap());
}

#[test]
fn a_slow_request_does_not_revive_a_session_that_was_logged_out() {
    let site = Site::new();
    let jar = site.login("ann");
    let deeds: [fn(&mut Visit); 3] = [
        |visit| put(visit, "cart", "tea"),
        |visit| _ = visit.update(|session| session.insert("n", &1u64)).unwrap(),
        |visit| visit.renew().unwrap(),
    ];
    let mut slow = deeds.map(|deed| {
        let mut visit = site.begin(&jar);
        assert_eq!(visit.user().unwrap(), Some("ann"));
        (visit, deed)
    });
    let _ = site.ask(&jar, |visit| visit.logout().unwrap());
    for (visit, deed) in &mut slow {
        deed(visit);
    }
    for (visit, _) in slow {
        assert_eq!(answer(visit.finish().unwrap()).set_cookie(), None);
        assert_eq!((site.user(&jar), site.sessions()), (None, 0));
    }
}

#[test]
fn a_live_second_cookie_is_not_deleted_because_the_first_is_dead() {
    let site = Site::new();
    let jar = site.login("ann");
    let fields = [vec![format!("__Host-id={UNKNOWN}")], jar.field()].concat();
    for looks in [false, true] {
        let mut visit = site.manager.begin(&fields);
        if looks {
            assert_eq!(visit.user().unwrap(), Some("ann"));
        }
        assert_eq!(answer(visit.finish().unwrap()).set_cookie(), None);
    }
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
}

#[test]
fn a_response_does_not_vary_by_the_cookie_if_the_session_was_not_looked_at() {
    let site = Site::new();
    for jar in [Jar::default(), site.login("ann")] {
        let (_, answer) = site.ask(&jar, |visit| visit.set_method("GET"));
        assert_eq!(answer.get("Vary"), None);
    }
}

#[test]
fn a_response_that_sets_or_revokes_a_cookie_varies_by_it() {
    let site = Site::new();
    let mut jar = Jar::default();
    let (_, set) = site.ask(&jar, |visit| visit.login("ann").unwrap());
    jar.receive(&set);
    let (_, revoked) = site.ask(&jar, |visit| visit.logout().unwrap());
    assert!(revoked.is_revoking());
    assert_eq!(
        (set.get("Vary"), revoked.get("Vary")),
        (Some("Cookie"), Some("Cookie"))
    );
}

#[test]
fn the_use_of_a_session_is_written_once_per_resolution() {
    let site = Site::with(|it| _ = it.access_resolution(MINUTE), |_| ());
    let jar = site.login("ann");
    let accessed = || site.begin(&jar).session().unwrap().accessed().unwrap();
    let login = accessed();
    for _ in 0..59 {
        site.advance(SECOND);
        let _ = site.ask(&jar, |_| ());
        assert_eq!(accessed(), login);
    }
    site.advance(SECOND);
    let _ = site.ask(&jar, |_| ());
    assert_eq!(accessed(), login + MINUTE);
}

fn post<'a>(fetch_site: Option<&'a [u8]>, origin: Option<&'a [u8]>) -> Origin<'a> {
    Origin {
        method: "POST",
        sec_fetch_site: fetch_site,
        origin,
        host: Some(b"shop.example"),
    }
}

#[test]
fn a_post_of_another_site_is_refused_without_tokens() {
    let site = Site::new();
    let by_site = post(Some(b"cross-site"), None);
    let by_origin = post(None, Some(b"https://evil.example"));
    assert!(site.manager.is_cross_origin(&by_site) && site.manager.is_cross_origin(&by_origin));
}

#[test]
fn a_post_of_the_same_site_and_another_origin_is_refused() {
    let site = Site::new();
    let by_site = post(Some(b"same-site"), Some(b"https://blog.shop.example"));
    let by_origin = post(None, Some(b"https://blog.shop.example"));
    assert!(site.manager.is_cross_origin(&by_site) && site.manager.is_cross_origin(&by_origin));
}

#[test]
fn a_post_without_both_headers_comes_from_no_browser_and_is_let_through() {
    assert!(!Site::new().manager.is_cross_origin(&post(None, None)));
}

#[test]
fn safe_methods_always_pass_and_unknown_words_for_the_site_are_refused() {
    let site = Site::new();
    let evil = post(Some(b"cross-site"), Some(b"https://evil.example"));
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert!(!site.manager.is_cross_origin(&Origin { method, ..evil }));
    }
    for word in [&b"x"[..], b"", b"Same-Origin", b"same-origin,none"] {
        assert!(site.manager.is_cross_origin(&post(Some(word), None)));
    }
}

#[test]
fn the_login_form_of_a_stranger_is_protected_without_a_session() {
    let site = Site::new();
    assert!(
        site.manager
            .is_cross_origin(&post(Some(b"cross-site"), None))
    );
    let (_, page) = site.ask(&Jar::default(), |visit| visit.user().unwrap().is_some());
    assert_eq!((page.set_cookie(), site.sessions()), (None, 0));
}

#[test]
fn a_csrf_token_is_good_for_the_same_session_only() {
    let site = Site::new();
    let jar = site.login("ann");
    let token = site.ask(&jar, |visit| visit.csrf_token().unwrap()).0;
    assert!(site.begin(&jar).is_csrf_token(&token).unwrap());
    for other in [
        site.login("ann"),
        site.login("bob"),
        site.shopper(),
        Jar::default(),
    ] {
        assert!(!site.begin(&other).is_csrf_token(&token).unwrap());
    }
    let mut renewed = jar;
    site.visit(&mut renewed, |visit| visit.renew().unwrap());
    assert!(!site.begin(&renewed).is_csrf_token(&token).unwrap());
}

#[test]
fn a_request_in_the_background_swallows_no_message() {
    let site = Site::new();
    let mut jar = site.login("ann");
    site.visit(&mut jar, |visit| visit.flash("ok", "Saved.").unwrap());
    for _ in 0..3 {
        site.visit(&mut jar, |visit| {
            visit.set_quiet(true);
            visit.user().unwrap().is_some()
        });
        site.visit(&mut jar, |visit| put(visit, "cart", "tea"));
    }
    let taken = site.visit(&mut jar, |visit| visit.take_flashes().unwrap());
    assert_eq!((taken.len(), taken[0].text.as_str()), (1, "Saved."));
}

#[test]
fn each_event_names_the_session_that_it_is_about() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let site = Site::with(
        |_| (),
        |it| {
            let sink = Arc::clone(&told);
            it.session_cap(Some(SessionCap::EndOldest(2)));
            it.on_event(move |event| {
                let (session, from) = match *event {
                    Event::LoggedIn { session, from } => (session, from),
                    Event::Renewed { session, from } => (session, Some(from)),
                    Event::Created { session }
                    | Event::Ended { session }
                    | Event::Superseded { session }
                    | Event::Duplicate { session }
                    | Event::Lost {
                        session: Some(session),
                        ..
                    }
                    | Event::TouchFailed { session, .. } => (session, None),
                    _ => panic!("{event:?}"),
                };
                sink.lock().unwrap().push((name_of(event), session, from));
            });
        },
    );
    let handle = |jar: &Jar| jar.id().unwrap().handle();
    let mut jar = site.shopper();
    let shopper = jar.clone();
    site.visit(&mut jar, |visit| visit.login("ann").unwrap());
    let ann = jar.clone();
    site.visit(&mut jar, |visit| visit.renew().unwrap());
    site.ask(&ann, |visit| put(visit, "late", "x"));
    let log_in = || {
        site.advance(MINUTE);
        site.login("ann")
    };
    let [second, third] = [(); 2].map(|()| log_in());
    let out = |visit: &mut Visit| visit.logout_device(handle(&second)).unwrap();
    assert!(site.ask(&third, out).0);
    let fourth = log_in();
    let both = [fourth.field(), third.field()].concat();
    site.manager.begin(&both).user().unwrap();
    site.store.fail(&["touch"]);
    site.ask(&third, |_| ());
    site.store.fail(&[]);
    site.ask(&fourth, |visit| visit.logout().unwrap());
    let expected = [
        ("created", &shopper, None),
        ("logged in", &ann, Some(&shopper)),
        ("renewed", &jar, Some(&ann)),
        ("superseded", &ann, None),
        ("lost", &ann, None),
        ("logged in", &second, None),
        ("logged in", &third, None),
        ("ended", &jar, None),
        ("ended", &second, None),
        ("logged in", &fourth, None),
        ("duplicate", &fourth, None),
        ("touch failed", &third, None),
        ("ended", &fourth, None),
    ];
    let expected = expected.map(|(name, jar, from)| (name, handle(jar), from.map(handle)));
    assert_eq!(*told.lock().unwrap(), expected);
}

/// A sibling domain gave the browser another cookie of that name, which comes first.
#[test]
fn a_loss_is_told_of_the_session_that_had_it_and_a_refused_login_also_of_who_has_none() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let site = Site::with(
        |_| (),
        |it| {
            let sink = Arc::clone(&told);
            it.session_cap(Some(SessionCap::Refuse(1)));
            it.on_event(move |event| {
                let of = match *event {
                    Event::Superseded { session } => Some(session),
                    Event::Lost { session, .. } => session,
                    Event::LoggedIn { from, .. } => from,
                    _ => return,
                };
                sink.lock().unwrap().push((name_of(event), of));
            });
        },
    );
    let begin = |jar: &Jar| {
        let fields = [vec![format!("__Host-id={UNKNOWN}")], jar.field()].concat();
        site.manager.begin(fields)
    };
    let handle = |jar: &Jar| Some(jar.id().unwrap().handle());
    let events = || std::mem::take(&mut *told.lock().unwrap());

    let ann = site.login("ann");
    events();
    for mut jar in [Jar::default(), site.shopper()] {
        let of = jar.id().map(|id| id.handle());
        assert!(!site.visit(&mut jar, |visit| visit.login("ann").unwrap()));
        assert_eq!(events(), [("lost", of)]);
    }
    let mut gone = begin(&ann);
    assert_eq!(gone.user().unwrap(), Some("ann"));
    site.ask(&ann, |visit| visit.logout().unwrap());
    assert!(gone.login("ann").unwrap());
    assert_eq!(events(), [("logged in", handle(&ann))]);

    let old = site.shopper();
    site.ask(&old, |visit| visit.renew().unwrap());
    let mut late = begin(&old);
    put(&mut late, "cart", "coffee");
    assert!(late.finish().unwrap().is_lost());
    let of = handle(&old);
    assert_eq!(events(), [("superseded", of), ("lost", of)]);
}
