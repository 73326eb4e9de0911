//! The rooms of the engine, of sessions and of the simulated disk: each file uses only those above it, by imports, by
//! `impl`s and by calls.

use super::{expand, is_within, modules, paths_named, read};

/// The rooms of a part in the order of the table at the top of its file: of the engine (`store`), of sessions
/// (`session`) or the simulated disk (`sim`).
fn rooms(part: &str) -> Vec<String> {
    let text = read(format!("src/{part}.rs"));
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let names = rows.skip(1).filter_map(|row| row.split(" | ").next());
    let named = names.flat_map(|names| names.split('`').skip(1).step_by(2));
    named.map(|name| name.replace('/', "::")).collect()
}

/// A file of a part.
#[derive(Clone)]
struct File {
    room: String,
    module: String,
    /// Without comments and tests.
    code: String,
}

fn files_of(part: &str) -> Vec<File> {
    let rooms = rooms(part);
    let is_test = |module: &str| matches!(module, "held" | "collisions");
    let mut files = Vec::new();
    for (module, code) in modules() {
        let name = match module.strip_prefix(&format!("{part}::")) {
            // A child of the part's own file, whose other children are the rooms.
            Some(name) if rooms.contains(&format!("{part}::{name}")) => &*module,
            Some(name) if !is_test(name) => name,
            None if module == part => part,
            _ => continue,
        };
        // A child module of a room is part of it, unless it is a room itself.
        let room = longest(&rooms, name);
        let room = room.unwrap_or_else(|| panic!("`{module}` is in no room of `{part}.rs`"));
        let room = room.clone();
        files.push(File { room, module, code });
    }
    files
}

/// The room that a path leads into.
fn longest<'a>(rooms: &'a [String], path: &str) -> Option<&'a String> {
    let rooms = rooms.iter().filter(|room| is_within(path, room));
    rooms.max_by_key(|room| room.len())
}

/// The paths that a file names: those from the crate's root or a parent on, and those of its own children that it uses
/// and does not only hand on.
fn paths_of(module: &str, code: &str) -> Vec<String> {
    let mut paths = paths_named(module, code);
    for (at, _) in code.match_indices("\nuse ") {
        let path = &code[at + "\nuse ".len()..];
        let child = path
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        if child.is_some_and(|child| code.contains(&format!("mod {child};\n"))) {
            expand(&format!("{module}::"), path, &mut paths);
        }
    }
    paths
}

/// The room of a name that the part's own file hands on or defines.
fn room_of_name<'a>(part: &str, own: &str, order: &'a [String], name: &str) -> Option<&'a String> {
    let mut handed_on = Vec::new();
    for line in own.split(';') {
        if let Some((_, paths)) = line
            .split_once(" use ")
            .filter(|(to, _)| to.contains("pub"))
        {
            expand("", paths, &mut handed_on);
        }
    }
    let path = handed_on
        .iter()
        .find(|path| path.rsplit("::").next() == Some(name));
    match path {
        Some(path) => longest(order, path),
        None => {
            let is_own = ["trait ", "struct ", "enum ", "fn "]
                .iter()
                .any(|word| own.contains(&format!("{word}{name}")));
            order.iter().find(|room| is_own && *room == part)
        }
    }
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
/// that one file alone defines. A method that a layer below the part defines as well tells nothing.
fn upward(part: &str, files: &[File], order: &[String], below: &[String]) -> Vec<String> {
    let own_file = files.iter().find(|file| file.module == part);
    let own_file = own_file.map_or("", |file| &file.code);
    let rank = |room: &str| order.iter().position(|other| other == room);
    let mut found = Vec::new();
    let mut types: Vec<(&str, &str)> = Vec::new();
    let mut methods: Vec<(&str, &str)> = Vec::new();
    for File { room, code, .. } in files {
        types.extend(types_of(code).into_iter().map(|name| (name, &**room)));
        methods.extend(methods_of(code).0.into_iter().map(|name| (name, &**room)));
    }
    let only_room_of = |name: &str| {
        let mut rooms = methods.iter().filter(|(other, _)| *other == name);
        let (_, first) = rooms.next()?;
        rooms.all(|(_, room)| room == first).then_some(*first)
    };
    for File { room, module, code } in files {
        let own = rank(room);
        let paths = paths_of(module, code);
        for path in &paths {
            let Some(path) = path.strip_prefix(&format!("{part}::")) else {
                continue;
            };
            let name = path.split("::").next().unwrap_or_default();
            let used = longest(order, path).or_else(|| room_of_name(part, own_file, order, name));
            if let Some(used) = used
                && rank(used) > own
            {
                found.push(format!("`{room}` imports `{path}` from below it"));
            }
        }
        for name in impls_of(code) {
            let mut homes = types.iter().filter(|(other, _)| *other == name);
            let of_another_part = paths
                .iter()
                .any(|path| path.rsplit("::").next() == Some(name) && !is_within(path, part));
            // A child module is part of its parent, also where it is a room of its own.
            if let Some((_, home)) = homes.next()
                && !of_another_part
                && !is_within(room, home)
                && !homes.any(|(_, home)| home == room)
            {
                found.push(format!("`{room}` has an `impl {name}`, a type of `{home}`"));
            }
        }
        for name in methods_of(code).1 {
            if STD_METHODS.contains(&name) || below.iter().any(|below| below == name) {
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

/// Methods of std's types, and one of Lua, whose name one room alone has given to a method of its own: a call tells
/// nothing.
const STD_METHODS: &[&str] = &[
    "call",
    "collect",
    "count",
    "create",
    "create_new",
    "entry",
    "fill",
    "find",
    "into_iter",
    "iter",
    "join",
    "lock",
    "mode",
    "or",
    "remove",
    "replace",
    "resize",
    "seek",
    "truncate",
];

/// The methods that the modules of these layers define.
fn methods_in(layers: &[&str]) -> Vec<String> {
    let is_in = |module: &str| layers.iter().any(|layer| is_within(module, layer));
    let modules = modules().into_iter().filter(|(module, _)| is_in(module));
    let methods = modules.flat_map(|(_, code)| {
        let (defined, _) = methods_of(&code);
        defined.into_iter().map(String::from).collect::<Vec<_>>()
    });
    methods.collect()
}

#[test]
fn each_room_uses_only_rooms_above_it() {
    for (part, least, below) in [
        ("store", 30, &[][..]),
        ("sim", 15, &[]),
        ("session", 50, &["error", "store", "value"]),
    ] {
        let (files, order) = (files_of(part), rooms(part));
        assert!(
            order.len() > least && files.len() > least,
            "{part}: {order:?}"
        );
        let found = upward(part, &files, &order, &methods_in(below));
        assert!(found.is_empty(), "{part}: {}", found.join("\n"));
    }
}

/// The file of a room of the engine.
fn file(room: &str, code: &str) -> File {
    let module = match room {
        "store" => "store".to_string(),
        _ => format!("store::{room}"),
    };
    let (room, code) = (room.to_string(), code.to_string());
    File { room, module, code }
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
        let files = [file("low", low), file("high", high)];
        assert_eq!(upward("store", &files, &order, &[]), [told]);
        assert_eq!(
            upward("store", &files, &order, &["decide".into()]).is_empty(),
            told.contains("calls")
        );
    }
}

#[test]
fn the_check_of_the_rooms_sees_children_and_names_that_are_handed_on() {
    let order = ["id", "engine", "store", "engine::walk", "late"].map(String::from);
    let store = file(
        "store",
        "\npub use id::Id;\npub use late::{Late, Later};\npub trait Keep {}\n",
    );
    for (room, code, told) in [
        (
            "id",
            "use super::Keep;\n",
            "`id` imports `Keep` from below it",
        ),
        (
            "engine",
            "use crate::store::{Id, Later};\n",
            "`engine` imports `Later` from below it",
        ),
        (
            "engine",
            "mod walk;\n\nuse walk::Walk;\n",
            "`engine` imports `engine::walk::Walk` from below it",
        ),
        (
            "engine::walk",
            "use super::super::late;\n",
            "`engine::walk` imports `late` from below it",
        ),
    ] {
        let files = [store.clone(), file(room, code)];
        assert_eq!(upward("store", &files, &order, &[]), [told]);
    }
    let files = [
        store,
        file(
            "late",
            "use super::{Id, Keep};\nuse super::engine::walk::Walk;\n",
        ),
    ];
    assert_eq!(upward("store", &files, &order, &[]), [""; 0]);
}
