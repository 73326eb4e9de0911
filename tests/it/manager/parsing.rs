//! How a `Cookie` field is read, each rule by itself, as a visitor sees it: he is known, or he is not.

use super::*;

/// A site whose cookie is called `id`, and the id of a user who is logged in.
struct Shop {
    site: Site,
    id: String,
}

impl Shop {
    fn new() -> Shop {
        Shop::named("id")
    }

    fn named(name: &str) -> Shop {
        let site = Site::with(
            |_| (),
            |it| {
                it.secure(false).cookie_name(name);
            },
        );
        let id = site.login("ann").id().unwrap().as_str().to_string();
        Shop { site, id }
    }

    /// Whether the user is known by these fields, in which `ID` stands for the id.
    fn knows(&self, fields: &[&[u8]]) -> bool {
        let filled = fields.iter().map(|field| {
            let mut bytes = Vec::new();
            let mut rest = *field;
            while let Some((first, others)) = rest.split_first() {
                match rest.strip_prefix(b"ID") {
                    Some(behind) => {
                        bytes.extend_from_slice(self.id.as_bytes());
                        rest = behind;
                    }
                    None => {
                        bytes.push(*first);
                        rest = others;
                    }
                }
            }
            bytes
        });
        self.site.manager.begin(filled).user().unwrap() == Some("ann")
    }

    fn knows_by_each(&self, fields: &[&str]) {
        for field in fields {
            assert!(self.knows(&[field.as_bytes()]), "{field:?}");
        }
    }

    fn knows_by_none(&self, fields: &[&str]) {
        for field in fields {
            assert!(!self.knows(&[field.as_bytes()]), "{field:?}");
        }
    }
}

#[test]
fn pairs_are_split_at_semicolons_alone_and_not_at_commas() {
    let shop = Shop::new();
    shop.knows_by_each(&["a=b;id=ID", "id=ID;a=b", "a=b,c;id=ID;d", ",;id=ID"]);
    shop.knows_by_none(&["a=b,id=ID", "a=b, id=ID", "id=ID,a=b", "id=ID, a=b"]);
}

#[test]
fn blanks_and_tabs_around_names_and_values_are_trimmed() {
    let shop = Shop::new();
    shop.knows_by_each(&[
        "id=ID",
        " id=ID ",
        "a=b; id=ID",
        "a=b;\t id \t=\t ID \t;c=d",
    ]);
    shop.knows_by_none(&["i d=ID", "id=I D", "id=\nID", "\rid=ID"]);
}

/// A sibling domain may set a cookie of such a name.
#[test]
fn unicode_whitespace_is_not_trimmed() {
    let shop = Shop::new();
    for blank in [
        '\u{85}', '\u{a0}', '\u{2000}', '\u{2028}', '\u{3000}', '\u{b}', '\u{c}',
    ] {
        for field in [
            format!("{blank}id=ID"),
            format!("id{blank}=ID"),
            format!("id={blank}ID"),
            format!("id=ID{blank}"),
        ] {
            assert!(!shop.knows(&[field.as_bytes()]), "{field:?}");
        }
    }
}

#[test]
fn the_first_equals_sign_splits_and_the_rest_belongs_to_the_value() {
    let shop = Shop::new();
    shop.knows_by_none(&["id==ID", "id=ID=", "x=id=ID", "id=x=ID"]);
    shop.knows_by_each(&["x=id=y;id=ID"]);
}

#[test]
fn a_pair_without_an_equals_sign_and_one_without_a_name_are_ignored() {
    let shop = Shop::new();
    shop.knows_by_none(&["ID", "id", "id ID", "=ID", " =ID", "=id=ID"]);
    shop.knows_by_each(&["id;id=ID", "=x;id=ID", "=;id=ID", ";;id=ID", "ID;id=ID"]);
}

#[test]
fn names_are_compared_byte_by_byte() {
    let shop = Shop::new();
    shop.knows_by_none(&["Id=ID", "iD=ID", "idd=ID", "i=ID", "id\0=ID", "\u{131}d=ID"]);
    shop.knows_by_each(&["Id=x;id=ID"]);
}

#[test]
fn nothing_is_percent_decoded() {
    let shop = Shop::new();
    let first = shop.id.as_bytes()[0];
    let spelled = format!("id=%{first:02X}{}", &shop.id[1..]);
    shop.knows_by_none(&["%69d=ID", "i%64=ID", "id=ID%20", "id%3DID", &spelled]);
    shop.knows_by_each(&["a=%3Bid%3D;id=ID"]);
}

#[test]
fn quotes_protect_nothing_and_are_not_stripped() {
    let shop = Shop::new();
    shop.knows_by_none(&["id=\"ID\"", "\"id\"=ID", "id=\"ID", "id=ID\""]);
    shop.knows_by_each(&["a=\"b;id=ID;c\"", "a=\"\\\";id=ID"]);
}

#[test]
fn version_and_path_with_a_dollar_have_no_meaning() {
    let shop = Shop::new();
    shop.knows_by_each(&[
        "$Version=1; id=ID; $Path=/; $Domain=x",
        "id=ID;$Version=\"1",
    ]);
    shop.knows_by_none(&["$Version=1; $id=ID", "$Version=1, id=ID"]);
}

/// HTTP/2 sends them one by one.
#[test]
fn several_cookie_fields_count_as_one() {
    let shop = Shop::new();
    assert!(shop.knows(&[&b"a=b"[..], b"id=ID"]) && shop.knows(&[&b"id=ID"[..], b"a=b"]));
    assert!(shop.knows(&[&b""[..], b"id=x", b"id=ID"]));
    assert!(!shop.knows(&[&b"id="[..], b"ID"]), "a field ends a pair");
}

#[test]
fn bytes_that_are_not_utf_8_in_another_cookie_lock_nobody_out() {
    let shop = Shop::new();
    for field in [
        &b"a=\xFF\xFE;id=ID"[..],
        b"\x80=x;id=ID",
        b"id=ID;\xC3",
        b"id=\xFF;id=ID",
    ] {
        assert!(shop.knows(&[field]), "{}", field.escape_ascii());
    }
    for control in 0..=255u8 {
        if control != b';' {
            let field = [&b"a="[..], &[control], b";id=ID"].concat();
            assert!(shop.knows(&[&field]), "{control}");
        }
    }
}

#[test]
fn names_like_those_of_objects_in_javascript_are_ordinary() {
    let others = "__proto__=x; constructor=x; hasOwnProperty=x; toString=x; ";
    assert!(Shop::new().knows(&[format!("{others}id=ID").as_bytes()]));
    for name in ["constructor", "hasOwnProperty", "toString", "valueOf"] {
        let shop = Shop::named(name);
        assert!(
            shop.knows(&[format!("id=x; {name}=ID").as_bytes()]),
            "{name}"
        );
        assert!(!shop.knows(&[b"id=ID"]), "{name}");
    }
}

/// That it takes one pass, and no memory, is tested by a program that counts allocations.
#[test]
fn a_hundred_thousand_semicolons_hide_no_id() {
    let shop = Shop::new();
    let many = ";".repeat(100_000);
    shop.knows_by_each(&[&format!("{many}id=ID"), &format!("id=ID{many}")]);
    shop.knows_by_none(&[&many]);
}

#[test]
fn twelve_kilobytes_of_other_cookies_hide_no_id() {
    let shop = Shop::new();
    let others: String = (0..400)
        .map(|n| format!("other{n}={}; ", "x".repeat(30)))
        .collect();
    assert!(others.len() > 12 << 10);
    shop.knows_by_each(&[&format!("{others}id=ID"), &format!("id=ID; {others}")]);
}

#[test]
fn a_value_with_stray_characters_behind_a_valid_id_is_no_id() {
    let shop = Shop::new();
    shop.knows_by_none(&[
        "id=IDx",
        "id=ID.",
        "id=ID.c2ln",
        "id=ID=",
        "id=ID/",
        "id=ID\0",
        "id=IDID",
    ]);
}
