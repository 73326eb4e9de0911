//! Requests that another site makes a browser send, and forms that are sent twice.

use super::*;
use shelflife::manager::Origin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn post<'a>(site: Option<&'a str>, origin: Option<&'a str>) -> Origin<'a> {
    Origin {
        method: "POST",
        sec_fetch_site: site.map(str::as_bytes),
        origin: origin.map(str::as_bytes),
        host: Some(b"shop.example"),
    }
}

#[test]
fn a_form_of_another_site_is_refused_without_a_token_a_session_or_a_look() {
    let site = Site::new();
    for (fetch_site, origin, refused) in [
        (Some("cross-site"), None, true),
        (Some("same-site"), None, true),
        (Some("never-heard-of"), None, true),
        (Some("same-origin"), None, false),
        (Some("none"), None, false),
        (None, Some("https://evil.example"), true),
        (None, Some("null"), true),
        (None, Some("https://shop.example"), false),
        (None, None, false),
    ] {
        let request = post(fetch_site, origin);
        assert_eq!(
            site.manager.is_cross_origin(&request),
            refused,
            "{request:?}"
        );
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!site.manager.is_cross_origin(&Origin { method, ..request }));
        }
    }
    assert!(site.calls().is_empty());
    assert_eq!(
        site.sessions(),
        0,
        "a stranger's login form is protected without storing anything"
    );
}

#[test]
fn a_token_is_good_for_its_own_session_on_every_page_and_in_every_tab() {
    let site = Site::new();
    let jar = site.login("ann");
    let version = || site.begin(&jar).session().unwrap().version();
    let before = version();
    let tokens: Vec<String> = (0..40)
        .map(|_| site.ask(&jar, |visit| visit.csrf_token().unwrap()).0)
        .collect();
    assert_eq!(version(), before, "none of them is stored");
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(token.len(), 86);
        assert!(!tokens[..n].contains(token), "another text on each page");
        for _ in 0..2 {
            assert!(site.begin(&jar).is_csrf_token(token).unwrap());
        }
    }
    for other in [site.login("ann"), site.shopper(), Jar::default()] {
        assert!(!site.begin(&other).is_csrf_token(&tokens[0]).unwrap());
    }
    for wrong in [
        "",
        "x",
        &tokens[0][1..],
        &tokens[0].replace(&tokens[0][50..51], "~"),
    ] {
        assert!(!site.begin(&jar).is_csrf_token(wrong).unwrap());
    }
}

#[test]
fn a_token_for_a_visitor_without_a_session_makes_one() {
    let site = Site::new();
    let mut jar = Jar::default();
    let token = site.visit(&mut jar, |visit| visit.csrf_token().unwrap());
    assert_eq!(site.sessions(), 1);
    assert!(site.begin(&jar).is_csrf_token(&token).unwrap());
}

#[test]
fn a_get_never_brings_a_token_that_counts() {
    let site = Site::new();
    let jar = site.login("ann");
    let (csrf, form) = site
        .ask(&jar, |visit| {
            let csrf = visit.csrf_token().unwrap();
            (csrf, visit.session().unwrap().create_form_token().unwrap())
        })
        .0;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let mut visit = site.begin(&jar);
        visit.set_method(method);
        assert!(!visit.is_csrf_token(&csrf).unwrap(), "{method}");
        assert!(!visit.use_form_token(&form).unwrap(), "{method}");
    }
    let mut visit = site.begin(&jar);
    visit.set_method("POST");
    assert!(visit.is_csrf_token(&csrf).unwrap());
    assert!(visit.use_form_token(&form).unwrap());
}

#[test]
fn a_form_that_is_sent_twice_counts_once_at_once_or_one_after_the_other() {
    let site = Site::new();
    let jar = site.login("ann");
    for _ in 0..50 {
        let token = site
            .ask(&jar, |visit| {
                visit.session().unwrap().create_form_token().unwrap()
            })
            .0;
        let taken = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (is_first, _) =
                        site.ask(&jar, |visit| visit.use_form_token(&token).unwrap());
                    taken.fetch_add(usize::from(is_first), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(taken.into_inner(), 1);
        assert!(
            !site
                .ask(&jar, |visit| visit.use_form_token(&token).unwrap())
                .0
        );
    }
}

#[test]
fn beyond_thirty_two_form_tokens_the_oldest_is_forgotten() {
    let site = Site::new();
    let jar = site.login("ann");
    let make = || {
        site.ask(&jar, |visit| {
            visit.session().unwrap().create_form_token().unwrap()
        })
        .0
    };
    let tokens: Vec<String> = (0..33).map(|_| make()).collect();
    assert!(
        !site
            .ask(&jar, |visit| visit.use_form_token(&tokens[0]).unwrap())
            .0
    );
    assert!(
        site.ask(&jar, |visit| visit.use_form_token(&tokens[1]).unwrap())
            .0
    );
    assert!(
        site.ask(&jar, |visit| visit.use_form_token(&tokens[32]).unwrap())
            .0
    );
}

#[test]
fn a_form_token_of_a_session_that_went_counts_for_nothing() {
    let site = Site::new();
    let jar = site.login("ann");
    let token = site
        .ask(&jar, |visit| {
            visit.session().unwrap().create_form_token().unwrap()
        })
        .0;
    let mut slow = site.begin(&jar);
    assert!(slow.user().unwrap().is_some());
    let _ = site.ask(&jar, |visit| visit.logout().unwrap());
    assert!(!slow.use_form_token(&token).unwrap());
}

#[test]
fn a_token_ends_with_the_session_and_with_its_id() {
    let site = Site::new();
    let ends: [fn(&mut Visit); 3] = [
        |visit| assert!(visit.logout().unwrap()),
        |visit| visit.renew().unwrap(),
        |visit| assert!(visit.login("ann").unwrap()),
    ];
    for end in ends {
        let old = site.login("ann");
        let (token, _) = site.ask(&old, |visit| visit.csrf_token().unwrap());
        let mut jar = old.clone();
        site.visit(&mut jar, end);
        for jar in [&old, &jar] {
            assert!(!site.begin(jar).is_csrf_token(&token).unwrap());
        }
    }
}
