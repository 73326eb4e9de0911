//! The compiler's words where `record!` or a type is used in a way that cannot work: what to write instead.

use crate::plain::{library, rustc};
use std::fs;

/// Definitions, and a part of what is said about each.
const WRONG: &[(&str, &str)] = &[
    (
        "record! { struct S { a } }",
        "write a field of a `record!` as `name: Type`, with a default as",
    ),
    (
        "record! { struct S { a: u8, b = 3 } }",
        "write a field of a `record!` as `name: Type`, with a default as",
    ),
    (
        "record! { struct S { #[allow(unused)] a: u8; b: u8 } }",
        "write a field of a `record!` as",
    ),
    (
        "record! { struct S { ..rest, a: u8 } }",
        "`..rest` comes last in a `record!`",
    ),
    (
        "record! { struct S { a: u8, ..rest: BTreeMap<String, u8> } }",
        "`..rest` comes last in a `record!`",
    ),
    (
        "record! { struct S { a: u8, pub ..rest } }",
        "write `..pub rest` to make it public",
    ),
    (
        "record! { struct S(u8, #[cfg(any())] u8); }",
        "a `#[cfg]` in a `record!` stands before a field with a name or a variant",
    ),
    (
        "record! { enum E { A, #[allow(unused)] B(u8, #[allow(unused)] #[cfg(all())] u8) } }",
        "a `#[cfg]` in a `record!` stands before a field with a name or a variant",
    ),
    (
        "record! { enum E { A = 1, B = 2 } }",
        "write a variant of a `record!` as `Name`, `Name(Type, ...)`",
    ),
    (
        "record! { enum E { A { ..rest, a: u8 } } }",
        "`..rest` comes last in a `record!`",
    ),
    (
        "record! { #[cfg(all())] struct S { a: u8 } }",
        "a `#[cfg]` for a whole type stands before its `record!`",
    ),
    (
        "record! { struct A; /** Documented. */ #[derive(Debug)] #[cfg(any())] enum E { A } }",
        "a `#[cfg]` for a whole type stands before its `record!`",
    ),
    (
        "record! { struct A(u8); #[derive(Debug)] #[allow(unused)] #[cfg(any())] pub struct S { a: u8 } }",
        "a `#[cfg]` for a whole type stands before its `record!`",
    ),
    (
        "record! { #[must_use] #[cfg(any())] pub struct S(u8); }",
        "a `#[cfg]` for a whole type stands before its `record!`",
    ),
    (
        "record! { #[repr(u8)] #[cfg(any())] enum E { A } struct S; }",
        "a `#[cfg]` for a whole type stands before its `record!`",
    ),
    (
        "record! { #[allow(unused)] #[cfg(any())] struct S; }",
        "a `#[cfg]` for a whole type stands before its `record!`",
    ),
    (
        "record! { struct S<'a> { a: &'a str } }",
        "a `record!` owns what is in it: write `String` for `&str`",
    ),
    (
        "record! { struct S<const N: usize> { a: [u8; N] } }",
        "write structs and enums in a `record!`, as `struct Name",
    ),
    (
        "record! { struct S<T> where T: Copy { a: T } }",
        "with type parameters as `Name<T>` or `Name<T: Bound>`, without constants and without `where`",
    ),
    (
        "record! { union U { a: u8 } }",
        "write structs and enums in a `record!`",
    ),
    (
        "record! { struct S(u8) }",
        "write structs and enums in a `record!`",
    ),
    (
        "record! { struct S(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8); }",
        "a tuple in a `record!` has at most 12 items; give them names",
    ),
    (
        "record! { struct S { a: u8, b as \"a\": u8 } }",
        "two fields or variants of a `record!` have the same key",
    ),
    (
        "record! { enum E { A, B as \"A\" } }",
        "two fields or variants of a `record!` have the same key",
    ),
    (
        "record! { enum E<T> { A(T), B as \"A\" } }",
        "two fields or variants of a `record!` have the same key",
    ),
    (
        "struct Plain; record! { struct S { a: Plain } }",
        "`Plain` cannot be stored: it does not implement `Encode`",
    ),
    (
        "struct Plain; pub fn f() -> shelflife::Result<Vec<u8>> { shelflife::to_cbor(&vec![Plain]) }",
        "for a type of yours write `shelflife::record! { struct Name { field: Type } }` around its definition",
    ),
    (
        "struct Plain; pub fn f() { let _ = shelflife::from_cbor::<Option<Plain>>(b\"\"); }",
        "`Plain` cannot be read back: it does not implement `Decode`",
    ),
    (
        "pub fn f(shelf: &shelflife::Shelf) { let _ = shelf.get::<&str>(\"key\"); }",
        "what borrows, such as `&str`, can be stored and not read back: read a `String`",
    ),
];

/// Whether this compiles, and what is said about it.
fn compile(code: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let code = format!("#![allow(dead_code, unused_imports)]\nuse shelflife::record;\n{code}\n");
    fs::write(dir.path().join("wrong.rs"), code).unwrap();
    let words = "--edition 2024 --crate-type lib --emit metadata wrong.rs --extern";
    let external = format!("shelflife={}", library().display());
    let words: Vec<&str> = words.split(' ').chain([&*external]).collect();
    let output = rustc(dir.path(), &words);
    let said = String::from_utf8(output.stderr).unwrap();
    // As one line, however the compiler breaks it.
    let words: Vec<&str> = said
        .split_whitespace()
        .filter(|word| *word != "=")
        .collect();
    (output.status.success(), words.join(" "))
}

fn is_refused(wrong: &str, expected: &str) {
    let (compiled, said) = compile(wrong);
    assert!(!compiled && said.contains(expected), "{wrong}\n{said}");
}

fn is_right(code: &str) {
    let (right, said) = compile(code);
    assert!(right && said.is_empty(), "{code}\n{said}");
}

#[test]
fn wrong_use_is_an_error_that_says_what_to_write() {
    is_right("record! { struct S { a: u8 = 3 } }");
    for (wrong, expected) in WRONG {
        is_refused(wrong, expected);
    }
}

#[test]
fn a_session_cannot_be_changed_after_its_visit_is_finished() {
    let program = |end: &str| {
        format!(
            "pub fn f(mut visit: shelflife::manager::Visit) {{ let _ = visit.{end}; let _ = visit.session(); }}"
        )
    };
    is_right(&program("save()"));
    is_refused(&program("finish()"), "borrow of moved value: `visit`");
}

#[test]
fn a_value_of_another_type_under_a_typed_key_does_not_compile() {
    let program = |signature: &str, body: &str| {
        format!(
            "const CART: shelflife::Key<Vec<String>> = shelflife::Key::new(\"cart\"); \
             pub fn f(session: &mut shelflife::Session) -> {signature} {{ {body} }}"
        )
    };
    let put = |value: &str| program("bool", &format!("session.insert(CART, &{value}).unwrap()"));
    is_right(&put("vec![String::new()]"));
    is_refused(&put("7u64"), "expected `&Vec<String>`, found `&u64`");
    let get = |of: &str| program(of, "session.get(CART).unwrap().unwrap_or_default()");
    is_right(&get("Vec<String>"));
    is_refused(&get("u64"), "expected `u64`, found `Vec<String>`");
}
