//! The rooms of the engine and of the simulated disk: each file uses only those above it, by imports, by `impl`s and by
//! calls.

use super::{is_within, modules, paths_named, read};

/// The rooms of a part in the order of the table at the top of its file: of the engine (`store`) or the simulated disk
/// (`sim`).
fn rooms(part: &str) -> Vec<String> {
    let text = read(format!("src/{part}.rs"));
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let names = rows.skip(1).filter_map(|row| row.split(" | ").next());
    let named = names.flat_map(|names| names.split('`').skip(1).step_by(2));
    named.map(|name| name.replace('/', "::")).collect()
}

/// The files of a part: the room that each belongs to, and its code without comments and tests.
fn files_of(part: &str) -> Vec<(String, String)> {
    let rooms = rooms(part);
    let is_test = |module: &str| matches!(module, "held" | "collisions");
    let mut files = Vec::new();
    for (module, code) in modules() {
        let name = match module.strip_prefix(&format!("{part}::")) {
            // A child of the part's own file, whose other children are the rooms.
            Some(name) if rooms.contains(&format!("{part}::{name}")) => part,
            Some(name) if !is_test(name) => name,
            None if module == part => part,
            _ => continue,
        };
        // A child module of a room is part of it, unless it is a room itself.
        let is_room = |name: &str| rooms.iter().any(|room| room == name);
        let room = match name.split_once("::") {
            Some((parent, _)) if !is_room(name) => parent,
            _ => name,
        };
        assert!(is_room(room), "`{module}` is in no room of `{part}.rs`");
        files.push((room.to_string(), code));
    }
    files
}

/// The types that a file defines.
fn types_of(code: &str) -> Vec<&str> {
    let words = ["struct ", "enum ", "trait "];
    let found = words.iter().flat_map(|word| {
        code.match_indices(word).filter_map(move |(at, _)| {
            let is_word = code[..at].ends_with([' ', '\n', ')']) || at == 0;
            let name = &code[at + word.len()..];
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            (is_word && name.starts_with(char::is_uppercase)).then_some(&name[..end])
        })
    });
    found.collect()
}

/// The type that each `impl` of a file is for.
fn impls_of(code: &str) -> Vec<&str> {
    let heads = code
        .lines()
        .filter(|line| line.starts_with("impl"))
        .map(|line| line.rsplit(" for ").next().unwrap_or(line));
    let of = heads.filter_map(|head| {
        let head = head.trim_start_matches("impl").trim_start();
        let head = match head.starts_with('<') {
            true => head.split_once("> ").map_or(head, |(_, rest)| rest),
            false => head,
        };
        let name = head.trim_start_matches('&');
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(&name[..end])
    });
    of.collect()
}

/// The methods that a file defines, and those that it calls.
fn methods_of(code: &str) -> (Vec<&str>, Vec<&str>) {
    let word = |text: &'static str| {
        code.match_indices(text).map(move |(at, _)| {
            let name = &code[at + text.len()..];
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            (
                &name[..end.unwrap_or(name.len())],
                &name[end.unwrap_or(name.len())..],
            )
        })
    };
    let defined = word("fn ").filter(|(_, rest)| {
        let arguments = rest.split_once('(').map_or("", |(_, arguments)| arguments);
        let first = arguments.split([',', ')']).next().unwrap_or_default();
        first.trim().trim_start_matches("mut ").ends_with("self")
    });
    let called = word(".").filter(|(name, rest)| !name.is_empty() && rest.starts_with(['(', ':']));
    (
        defined.map(|(name, _)| name).collect(),
        called.map(|(name, _)| name).collect(),
    )
}

/// The uses that a file makes of files below it: an import, an `impl` of another file's type, or a call of a method
/// that one file alone defines.
fn upward(part: &str, files: &[(String, String)], order: &[String]) -> Vec<String> {
    let rank = |room: &str| order.iter().position(|other| other == room);
    let mut found = Vec::new();
    let mut types: Vec<(&str, &str)> = Vec::new();
    let mut methods: Vec<(&str, &str)> = Vec::new();
    for (room, code) in files {
        types.extend(types_of(code).into_iter().map(|name| (name, &**room)));
        methods.extend(methods_of(code).0.into_iter().map(|name| (name, &**room)));
    }
    let only_room_of = |name: &str| {
        let mut rooms = methods.iter().filter(|(other, _)| *other == name);
        let (_, first) = rooms.next()?;
        rooms.all(|(_, room)| room == first).then_some(*first)
    };
    for (room, code) in files {
        let own = rank(room);
        for path in paths_named(&format!("{part}::{room}"), code) {
            let Some(path) = path.strip_prefix(&format!("{part}::")) else {
                continue;
            };
            let used = order.iter().filter(|other| is_within(path, other));
            let used = used.max_by_key(|other| other.len());
            // A name with no room but its parent is the public face.
            if let Some(used) = used
                && rank(used) > own
            {
                found.push(format!("`{room}` imports `{path}` from below it"));
            }
        }
        for name in impls_of(code) {
            let mut homes = types.iter().filter(|(other, _)| *other == name);
            // A child module is part of its parent, also where it is a room of its own.
            if let Some((_, home)) = homes.next()
                && !is_within(room, home)
                && !homes.any(|(_, home)| home == room)
            {
                found.push(format!("`{room}` has an `impl {name}`, a type of `{home}`"));
            }
        }
        for name in methods_of(code).1 {
            if STD_METHODS.contains(&name) {
                continue;
            }
            if let Some(home) = only_room_of(name)
                && rank(home) > own
            {
                found.push(format!("`{room}` calls `{name}` of `{home}` below it"));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Methods of std's types whose name one room alone has given to a method of its own: a call tells nothing.
const STD_METHODS: &[&str] = &[
    "collect",
    "count",
    "create",
    "create_new",
    "entry",
    "find",
    "into_iter",
    "iter",
    "join",
    "lock",
    "mode",
    "replace",
    "resize",
    "seek",
    "truncate",
];

#[test]
fn each_room_of_the_engine_and_of_the_simulated_disk_uses_only_rooms_above_it() {
    for (part, least) in [("store", 30), ("sim", 15)] {
        let (files, order) = (files_of(part), rooms(part));
        assert!(
            order.len() > least && files.len() > least,
            "{part}: {order:?}"
        );
        let found = upward(part, &files, &order);
        assert!(found.is_empty(), "{part}: {}", found.join("\n"));
    }
}

#[test]
fn the_check_of_the_rooms_sees_an_import_an_impl_and_a_call() {
    let order = ["low".to_string(), "high".to_string()];
    let high = "pub(crate) struct High;\nimpl High {\n    pub(crate) fn decide(&self) {}\n}\n";
    let lows = [
        (
            "use super::high::High;\n",
            "`low` imports `high::High` from below it",
        ),
        (
            "impl High {\n}\n",
            "`low` has an `impl High`, a type of `high`",
        ),
        (
            "fn f(x: &X) { x.decide() }\n",
            "`low` calls `decide` of `high` below it",
        ),
    ];
    for (low, told) in lows {
        let files = [
            ("low".to_string(), low.to_string()),
            ("high".to_string(), high.to_string()),
        ];
        assert_eq!(upward("store", &files, &order), [told]);
    }
}
