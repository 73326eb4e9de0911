use super::*;
use crate::error::ErrorKind;

const A: &str = "AAECAwQFBgcICQoLDA0ODw";
const B: &str = "AQECAwQFBgcICQoLDA0ODw";

fn cookie(set: impl Fn(&mut Attributes)) -> Result<Cookie> {
    let mut attributes = Attributes::default();
    set(&mut attributes);
    Cookie::new(&attributes)
}

fn id() -> SessionId {
    A.parse().unwrap()
}

/// A cookie by the name of `foo`, as the cases of http-state have it.
fn foo() -> Cookie {
    cookie(|it| {
        it.name = "foo".to_string();
        it.secure = false;
    })
    .unwrap()
}

fn ids(cookie: &Cookie, field: &[u8]) -> Vec<String> {
    let found = cookie.read([field]);
    found.ids.iter().map(|id| id.as_str().to_string()).collect()
}

#[test]
fn the_text_of_a_cookie_is_this_byte_for_byte() {
    let plain = cookie(|_| ()).unwrap();
    assert_eq!(
        plain.set(&id(), None),
        "__Host-id=AAECAwQFBgcICQoLDA0ODw; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(
        plain.set(&id(), Some(60)),
        "__Host-id=AAECAwQFBgcICQoLDA0ODw; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(
        plain.revoke(),
        "__Host-id=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Lax"
    );
    let all = cookie(|it| {
        it.name = "sid".to_string();
        it.path = "/app".to_string();
        it.domain = Some(".example.org".to_string());
        it.http_only = false;
        it.same_site = SameSite::None;
        it.partitioned = true;
    })
    .unwrap();
    assert_eq!(
        all.set(&id(), Some(1)),
        "__Secure-sid=AAECAwQFBgcICQoLDA0ODw; Path=/app; Domain=example.org; Max-Age=1; Secure; SameSite=None; Partitioned"
    );
    assert_eq!(
        all.revoke(),
        "__Secure-sid=; Path=/app; Domain=example.org; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; \
         SameSite=None; Partitioned"
    );
}

#[test]
fn the_prefix_is_chosen_by_what_browsers_demand_of_it() {
    for (secure, path, domain, name) in [
        (true, "/", None, "__Host-id"),
        (true, "/app", None, "__Secure-id"),
        (true, "/", Some("example.org"), "__Secure-id"),
        (false, "/", None, "id"),
        (false, "/app", Some("example.org"), "id"),
    ] {
        let cookie = cookie(|it| {
            it.secure = secure;
            it.path = path.to_string();
            it.domain = domain.map(str::to_string);
        })
        .unwrap();
        assert_eq!(cookie.name(), name);
    }
}

#[test]
fn what_a_browser_would_drop_or_what_adds_an_attribute_is_refused() {
    let refused = |set: &dyn Fn(&mut Attributes)| {
        let error = cookie(set).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    };
    let long = "n".repeat(65);
    for name in [
        "",
        "a b",
        "a;b",
        "a=b",
        "a,b",
        "a\"b",
        "a\r\nb",
        "é",
        "a/b",
        "a\0b",
        "__Host-id",
        "__x",
        &long,
    ] {
        refused(&|it| it.name = name.to_string());
    }
    let long = format!("/{}", "p".repeat(1024));
    for path in ["", "app", "/a;b", "/\r\n", "/é", "/\0", "/\x7F", &long] {
        refused(&|it| it.path = path.to_string());
    }
    for domain in [
        "",
        ".",
        "a b",
        "a;b",
        "ex ample",
        "exämple.org",
        "a\r\n",
        "[::1]",
    ] {
        refused(&|it| it.domain = Some(domain.to_string()));
    }
    refused(&|it| (it.same_site, it.secure) = (SameSite::None, false));
    refused(&|it| (it.partitioned, it.secure) = (true, false));
    for name in ["id", &"n".repeat(64), "!#$%&'*+-.^_`|~09azAZ"] {
        assert!(cookie(|it| it.name = name.to_string()).is_ok(), "{name}");
    }
    assert!(cookie(|it| it.path = format!("/{}", "p".repeat(1023))).is_ok());
}

/// Of the public cases of http-state those twenty in which a reader could do otherwise: the first pair of what was
/// set is read as what their authors say that a browser sends.
#[test]
fn the_cases_of_http_state_are_read_as_their_authors_say() {
    for (case, field, name, value) in [
        ("CHROMIUM0002", "aBc=\"zzz \"   ;", "aBc", "\"zzz \""),
        ("CHROMIUM0003", "aBc=\"zzz \" ;", "aBc", "\"zzz \""),
        ("CHROMIUM0004", "aBc=\"zz;pp\" ; ;", "aBc", "\"zz"),
        ("CHROMIUM0005", "aBc=\"zz ;", "aBc", "\"zz"),
        (
            "CHROMIUM0006",
            "aBc=\"zzz \"   \"ppp\"  ;",
            "aBc",
            "\"zzz \"   \"ppp\"",
        ),
        (
            "CHROMIUM0007",
            "aBc=\"zzz \"   \"ppp\" ;",
            "aBc",
            "\"zzz \"   \"ppp\"",
        ),
        ("CHROMIUM0008", "aBc=A\"B ;", "aBc", "A\"B"),
        ("CHROMIUM0011", "a=\"B", "a", "\"B"),
        ("CHROMIUM0015", "  A=== BC  ;foo;;;   bar", "A", "== BC"),
        (
            "CHROMIUM0016",
            "foo=\"zohNumRKgI0oxyhSsV3Z7D\"  ; expires=Sun, 18-Apr-2027 21:06:29 GMT ; path=/  ;  ",
            "foo",
            "\"zohNumRKgI0oxyhSsV3Z7D\"",
        ),
        ("COMMA0001", "foo=bar, baz=qux", "foo", "bar, baz=qux"),
        (
            "COMMA0002",
            "foo=\"bar, baz=qux\"",
            "foo",
            "\"bar, baz=qux\"",
        ),
        (
            "COMMA0006",
            "foo=bar; Expires=Fri, 07 Aug 2019 08:04:19 GMT",
            "foo",
            "bar",
        ),
        (
            "COMMA0007",
            "foo=bar; Expires=Fri 07 Aug 2019 08:04:19 GMT, baz=qux",
            "foo",
            "bar",
        ),
        ("NAME0020", "\"a=b\"=bar", "\"a", "b\"=bar"),
        ("VALUE0002", "foo=\"bar\"", "foo", "\"bar\""),
        ("VALUE0003", "foo=\"  bar \"", "foo", "\"  bar \""),
        ("VALUE0004", "foo=\"bar;baz\"", "foo", "\"bar"),
        ("VALUE0005", "foo=\"bar=baz\"", "foo", "\"bar=baz\""),
        (
            "CHARSET0004",
            "foo=\"春节回家路·春运完全手册\"",
            "foo",
            "\"春节回家路·春运完全手册\"",
        ),
    ] {
        let first = field.split(';').next().unwrap();
        let read = pair(first.as_bytes());
        assert_eq!(
            read,
            Some((name.as_bytes(), value.as_bytes())),
            "{case}: {field:?}"
        );
    }
}

#[test]
fn stray_letters_at_an_id_make_it_none_and_separate_nothing() {
    let foo = foo();
    let one: &[&str] = &[A];
    let none: &[&str] = &[];
    for (field, expected) in [
        (format!("foo={A}"), one),
        (format!("foo = {A}"), one),
        (format!("foo=\"{A}\""), none),
        (format!("foo=\"{A}; foo={B}\""), none),
        (format!("foo=\x0b{A}"), none),
        ("foo=".to_string(), none),
        ("foo; =foo".to_string(), none),
        (format!("foo={A}, baz=qux"), none),
        (format!("baz=qux, foo={A}"), none),
        (format!("baz=q,u,x; foo={A}"), one),
        (format!("fo o={A}; f=o=o; FOO={A}; foo={A}"), one),
        (format!("foo={A}=x"), none),
        (format!("x=foo={A}; foo={A}"), one),
        (format!("foo={A}x; foo=x{A}"), none),
        (format!("foo=%41{}", &A[1..]), none),
        (format!("x=\u{e4}\u{6e29}; foo={A}"), one),
    ] {
        assert_eq!(ids(&foo, field.as_bytes()), expected, "{field:?}");
    }
}

#[test]
fn nothing_but_sp_and_htab_is_trimmed() {
    let foo = foo();
    for blank in [" ", "\t", " \t \t", ""] {
        for field in [
            format!("{blank}foo={A}"),
            format!("foo{blank}={A}"),
            format!("foo={blank}{A}"),
            format!("foo={A}{blank}"),
            format!("x=y;{blank}foo={A};{blank}"),
        ] {
            assert_eq!(ids(&foo, field.as_bytes()), [A], "{field:?}");
        }
    }
    for other in [
        "\u{85}", "\u{a0}", "\u{2000}", "\u{2028}", "\u{3000}", "\u{feff}", "\x0b", "\x0c", "\r",
        "\n", "\0",
    ] {
        for field in [
            format!("{other}foo={A}"),
            format!("foo{other}={A}"),
            format!("foo={other}{A}"),
            format!("foo={A}{other}"),
        ] {
            assert!(ids(&foo, field.as_bytes()).is_empty(), "{field:?}");
        }
    }
}

#[test]
fn old_attributes_quotes_and_names_of_javascript_mean_nothing() {
    let foo = foo();
    for (field, expected) in [
        (format!("$Version=1; foo={A}; $Path=/; $Domain=x"), vec![A]),
        (format!("$foo={A}"), vec![]),
        (
            format!("__proto__=1; toString=2; hasOwnProperty=3; foo={A}"),
            vec![A],
        ),
        (format!("x=\"a; foo={A}; b\""), vec![A]),
        (format!("={A}; {A}; foo; foo={A}"), vec![A]),
        (format!("Foo={A}; FOO={B}"), vec![]),
        (format!("fo%6f={A}; foo={B}"), vec![B]),
        (format!("__Host-foo={A}"), vec![]),
    ] {
        assert_eq!(ids(&foo, field.as_bytes()), expected, "{field:?}");
    }
}

#[test]
fn ids_come_in_order_each_once_and_four_at_most_over_all_fields() {
    let foo = foo();
    let id = |n: u8| format!("{}AECAwQFBgcICQoLDA0ODw", char::from(b'A' + n));
    let all: Vec<String> = (0..6).map(id).collect();
    let fields = [
        format!("foo={}; foo={}; foo=x; foo={}", all[0], all[1], all[0]),
        String::new(),
        format!(
            "foo={};foo={};foo={};foo={}",
            all[1], all[2], all[3], all[4]
        ),
    ];
    let found = foo.read(&fields);
    let found_ids: Vec<&str> = found.ids.iter().map(SessionId::as_str).collect();
    assert_eq!(found_ids, &all[..4]);
    assert!(found.malformed, "`foo=x` is told");
    assert!(!foo.read([&fields[2]]).malformed);
    assert!(foo.read::<&[u8]>([]).ids.is_empty());
}

#[test]
fn hostile_fields_are_read_in_one_pass_and_hide_no_id() {
    let foo = foo();
    let megabyte = vec![b'x'; 1 << 20];
    let pairs = "a=b;".repeat(100_000);
    let empties = ";".repeat(100_000);
    let equals = "=".repeat(100_000);
    let blanks = " ".repeat(1 << 20);
    let controls: Vec<u8> = (0..=255)
        .cycle()
        .take(1 << 16)
        .filter(|b| *b != b';')
        .collect();
    for hostile in [
        megabyte.as_slice(),
        pairs.as_bytes(),
        empties.as_bytes(),
        equals.as_bytes(),
        blanks.as_bytes(),
        &controls,
    ] {
        let before = [hostile, b";foo=", A.as_bytes()].concat();
        let behind = [b"foo=", A.as_bytes(), b";", hostile].concat();
        for field in [&before, &behind] {
            assert_eq!(ids(&foo, field), [A]);
        }
        assert!(foo.read([hostile]).ids.is_empty());
    }
}

/// The plainest reader there is: every place where an id stands as `;foo=id;`, blanks aside.
fn by_hand(field: &[u8]) -> Vec<Vec<u8>> {
    let mut text = vec![b';'];
    text.extend_from_slice(field);
    text.push(b';');
    let mut found = Vec::new();
    for start in 0..text.len() {
        let Some(end) = text[start + 1..].iter().position(|b| *b == b';') else {
            break;
        };
        if text[start] != b';' {
            continue;
        }
        let pair = &text[start + 1..start + 1 + end];
        let pair: Vec<u8> = {
            let Some(at) = pair.iter().position(|b| *b == b'=') else {
                continue;
            };
            let strip = |part: &[u8]| {
                let mut part = part.to_vec();
                while part.last().is_some_and(|b| b" \t".contains(b)) {
                    part.pop();
                }
                while part.first().is_some_and(|b| b" \t".contains(b)) {
                    part.remove(0);
                }
                part
            };
            [strip(&pair[..at]), b"=".to_vec(), strip(&pair[at + 1..])].concat()
        };
        if let Some(value) = pair.strip_prefix(b"foo=")
            && std::str::from_utf8(value).is_ok_and(|value| value.parse::<SessionId>().is_ok())
            && !found.contains(&value.to_vec())
            && found.len() < CANDIDATES_MAX
        {
            found.push(value.to_vec());
        }
    }
    found
}

/// Random fields out of the pieces that matter: what is found is what stands there, and nothing panics.
#[test]
fn whatever_bytes_come_an_id_is_found_only_where_it_stands_between_separators() {
    let pieces: [&[u8]; 18] = [
        A.as_bytes(),
        B.as_bytes(),
        A.as_bytes(),
        b"foo",
        b"foo=",
        b";foo=",
        b"; foo=",
        b"=",
        b";",
        b";",
        b" ",
        b"\"",
        b",",
        b"\xC2\xA0",
        b"\xFF",
        b"\0",
        b"%3D",
        b"FOO=",
    ];
    let foo = foo();
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut hits = 0;
    for run in 0..100_000 {
        let len = next() % 12;
        let field = (0..len)
            .map(|_| pieces[next() % pieces.len()])
            .collect::<Vec<_>>()
            .concat();
        let found: Vec<Vec<u8>> = ids(&foo, &field)
            .into_iter()
            .map(String::into_bytes)
            .collect();
        assert_eq!(
            found,
            by_hand(&field),
            "run {run}: {}",
            field.escape_ascii()
        );
        hits += usize::from(!found.is_empty());
    }
    assert!(
        hits > 1_000,
        "only {hits} fields had an id: is the test blind?"
    );
}

#[test]
fn max_age_is_whole_seconds_rounded_up_from_one_second_to_400_days() {
    for (left, seconds) in [
        (Some(Duration::ZERO), 1),
        (Some(Duration::from_millis(1)), 1),
        (Some(Duration::from_secs(60)), 60),
        (Some(Duration::from_millis(60_001)), 61),
        (Some(Duration::from_secs(34_560_000)), 34_560_000),
        (Some(Duration::from_secs(34_560_001)), 34_560_000),
        (Some(Duration::MAX), 34_560_000),
        (None, 34_560_000),
    ] {
        assert_eq!(max_age(left), seconds, "{left:?}");
    }
}
