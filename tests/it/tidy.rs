//! Rules that people forget: the direction of imports, a clean top level, and that a copied `src` still builds.

mod rooms;

use crate::plain;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lowest first: a module may use those before it, and those of its own line.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["store::disk"],
    &["sim"],
    &["store::format", "store::checksum", "store::hash"],
    &["store::log"],
    &["store::index"],
    &["store"],
    &["value"],
    &["shelf"],
    &["session"],
];

/// No files, no sockets, no clocks: these can be tested with bytes alone.
const PURE: &[&str] = &[
    "store::format",
    "store::checksum",
    "store::hash",
    "store::index",
    "value",
];

/// The layer of a path such as `store::disk::os`, by its longest known prefix.
fn layer(path: &str) -> Option<(usize, &'static str)> {
    let known = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(rank, names)| names.iter().map(move |name| (rank, *name)));
    known
        .filter(|(_, name)| is_within(path, name))
        .max_by_key(|(_, name)| name.len())
}

fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The library's modules: path and source, without comments and without the tests at the bottom.
fn modules() -> Vec<(String, String)> {
    let mut found = files();
    found.retain(|(module, _)| module != "main" && !is_within(module, "cli"));
    assert!(found.len() > 5, "found only {} modules", found.len());
    found
}

/// The same, of the program as well.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in sources(root().join("src")) {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let inside = inside.with_extension("");
        let module = inside.to_str().unwrap().replace('/', "::");
        found.push((module, code_of(&read(&path))));
    }
    found.retain(|(module, _)| !format!("{module}::").contains("::tests::"));
    found
}

fn code_of(source: &str) -> String {
    let code = source.split("\nmod tests {").next().unwrap();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path of the crate that `code` of `module` names: `crate::a::{b, c::d}` names `a::b` and `a::c::d`.
fn paths_named(module: &str, code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_macro_variable = code[..at].ends_with('$');
        if !is_macro_variable {
            expand("", &code[at + "crate::".len()..], &mut paths);
        }
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut base: Vec<&str> = module
            .split("::")
            .chain(inline_modules(&code[..at]))
            .collect();
        let mut rest = &code[at..];
        while let Some(next) = rest.strip_prefix("super::") {
            base.pop();
            rest = next;
        }
        let base: String = base.iter().map(|name| format!("{name}::")).collect();
        expand(&base, rest, &mut paths);
    }
    paths
}

/// The `mod name {` that are open at the end of `code`.
fn inline_modules(code: &str) -> Vec<&str> {
    // Until a brace too many closes.
    let is_open = |after: &str| {
        let mut depth = 0;
        let mut braces = after.chars().filter(|c| matches!(c, '{' | '}'));
        braces.all(|brace| {
            depth += if brace == '{' { 1 } else { -1 };
            depth >= 0
        })
    };
    let opened = code.match_indices("mod ").filter_map(|(at, _)| {
        let (name, after) = code[at + "mod ".len()..].split_once(" {")?;
        let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        (is_name && is_open(after)).then_some(name)
    });
    opened.collect()
}

/// Reads one path, or a group in braces, from the start of `text`; returns how much of it that was.
fn expand(base: &str, text: &str, paths: &mut Vec<String>) -> usize {
    let word = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let path = format!("{base}{}", &text[..word]);
    if text[word..].starts_with("::") && word > 0 {
        return word + 2 + expand(&format!("{path}::"), &text[word + 2..], paths);
    }
    if word > 0 || !text.starts_with('{') {
        paths.push(path);
        return word;
    }
    let mut at = 1;
    while at < text.len() && !text[at..].starts_with('}') {
        let is_name = text[at..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        at += if is_name {
            expand(base, &text[at..], paths)
        } else {
            1
        };
    }
    at + 1
}

/// Where the names that `lib.rs` re-exports come from, so that `crate::Error` counts as `error`.
fn origin_of(path: &str, exports: &[String]) -> String {
    let (name, _) = path.split_once("::").unwrap_or((path, ""));
    let export = exports
        .iter()
        .find(|export| export.rsplit("::").next() == Some(name));
    match layer(path) {
        Some(_) => path.to_string(),
        None => export.cloned().unwrap_or_else(|| path.to_string()),
    }
}

fn exports() -> Vec<String> {
    let code = code_of(&read("src/lib.rs"));
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("pub use ") {
        expand("", &code[at + "pub use ".len()..], &mut paths);
    }
    paths
}

#[test]
fn each_layer_knows_only_those_above_it() {
    let exports = exports();
    let mut checked = 0;
    for (module, code) in modules() {
        let Some((rank, _)) = layer(&module) else {
            assert_eq!(module, "lib", "module `{module}` is in no layer");
            continue;
        };
        for path in paths_named(&module, &code) {
            let origin = origin_of(&path, &exports);
            let Some((used, name)) = layer(&origin) else {
                continue;
            };
            checked += 1;
            assert!(
                used <= rank,
                "`{module}` uses `{path}`, of the layer `{name}` below it"
            );
        }
    }
    assert!(
        checked > 10,
        "only {checked} imports were found: is the test blind?"
    );
}

/// Files of one folder that import each other round a circle, so that none can be read before the others.
fn circles(modules: &[(String, String)]) -> Vec<String> {
    let folder = |module: &str| {
        module
            .rsplit_once("::")
            .map(|(folder, _)| folder.to_string())
    };
    let uses = |module: &str, code: &str| -> Vec<String> {
        let paths = paths_named(module, code);
        let siblings = modules.iter().map(|(other, _)| other);
        siblings
            .filter(|other| folder(other) == folder(module) && *other != module)
            .filter(|other| paths.iter().any(|path| is_within(path, other)))
            .cloned()
            .collect()
    };
    let mut left: Vec<(&str, Vec<String>)> = modules
        .iter()
        .map(|(module, code)| (module.as_str(), uses(module, code)))
        .collect();
    // A file that uses none of those that are left can be read first.
    loop {
        let names: Vec<String> = left.iter().map(|(name, _)| name.to_string()).collect();
        left.iter_mut()
            .for_each(|(_, uses)| uses.retain(|used| names.contains(used)));
        left.retain(|(_, uses)| !uses.is_empty());
        if left.len() == names.len() {
            return names;
        }
    }
}

#[test]
fn no_files_of_a_folder_import_each_other_round_a_circle() {
    // The rooms of the store and of the simulated disk have a check of their own.
    let mut modules = files();
    modules.retain(|(module, _)| !is_within(module, "store") && !is_within(module, "sim"));
    assert_eq!(circles(&modules), [""; 0]);
    let module = |name: &str, code: &str| (name.to_string(), code.to_string());
    let round = [
        module("a::b", "use super::c::C;"),
        module("a::c", "use crate::a::{d, e::E};"),
        module("a::d", "use super::b;"),
        module("a::e", "use super::f::F;"),
        module("a::f", ""),
    ];
    assert_eq!(circles(&round), ["a::b", "a::c", "a::d"]);
}

#[test]
fn the_check_of_imports_sees_every_way_to_write_one() {
    let code = "use crate::store::{self, log::{Log, Tail as T}, index};\nfn f() -> crate::Error { super::super::x::y() }\n\
                use super::z;\nmod c {}\nmod d { use super::super::w; }\nmacro_rules! m { () => { $crate::session::S } }";
    let mut paths = paths_named("a::b::c", code);
    paths.sort();
    let named = [
        "Error",
        "T",
        "a::b::w",
        "a::b::z",
        "a::x::y",
        "store::index",
        "store::log::Log",
        "store::log::Tail",
        "store::self",
    ];
    assert!(
        named
            .iter()
            .filter(|path| **path != "T")
            .all(|path| paths.contains(&path.to_string())),
        "{paths:?}"
    );
    assert_eq!(layer("store::disk::os"), Some((1, "store::disk")));
    assert_eq!(layer("store::commit"), Some((6, "store")));
    assert_eq!(layer("storefront"), None);
}

#[test]
fn pure_layers_touch_no_file_and_no_clock() {
    for (module, code) in modules() {
        let is_pure = layer(&module).is_some_and(|(_, name)| PURE.contains(&name));
        for word in [
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "::now()",
            "File::",
        ] {
            assert!(
                !is_pure || !code.contains(word),
                "`{module}` is pure and names `{word}`"
            );
        }
    }
}

#[test]
fn the_operating_system_is_reached_in_one_place() {
    for (module, code) in modules() {
        let is_seam = is_within(&module, "store::disk");
        let is_simulated = is_within(&module, "sim");
        for word in [
            "std::fs",
            "fs::",
            "File::open",
            "SystemTime::now",
            "Instant::now",
            "thread::sleep",
        ] {
            let named = code
                .match_indices(word)
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            let is_its_own = is_simulated && word == "fs::" && !code.contains("std::fs");
            assert!(
                is_seam || is_its_own || !named,
                "`{module}` names `{word}` and is not the disk"
            );
        }
    }
}

#[test]
fn the_command_line_uses_the_public_face_only() {
    let mut files = sources(root().join("src/cli"));
    files.push(root().join("src/main.rs"));
    assert!(files.len() > 3);
    for file in files {
        let code = read(&file);
        for path in paths_named("cli::x", &code) {
            assert!(
                is_within(&path, "cli"),
                "{}: names `{path}`",
                file.display()
            );
        }
        assert!(!code.contains("#[path"), "{}", file.display());
    }
}

#[test]
fn the_top_level_holds_what_was_agreed() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "src",
        "tests",
        ".ci",
        ".gitignore",
        ".gitattributes",
        ".git",
        "target",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_store = name.contains(".shelf");
        assert!(
            is_store || agreed.contains(&name.as_str()),
            "`{name}` at the top level"
        );
    }
}

#[test]
fn a_copied_src_takes_its_licence_along_and_needs_nothing_of_cargo() {
    assert!(read("src/LICENSE").starts_with("MIT License"));
    assert!(read("Cargo.toml").contains("license = \"MIT\""));
    for (module, code) in modules() {
        assert!(
            !code.contains("CARGO_"),
            "`{module}` reads a variable that only Cargo sets"
        );
    }
    for (module, source) in modules() {
        for (at, _) in source.match_indices("include_str!(") {
            let argument = source[at..].split('"').nth(1).unwrap();
            assert!(!argument.contains(".."), "`{module}` includes `{argument}`");
        }
    }
}

/// The code that knows whether it is tested: fingerprints so short that they collide, stretches so short that a test has
/// many, a search that a test compares with a shorter one.
const KNOW_OF_TESTS: &[&str] = &[
    "sim::schedule",
    "store::generation",
    "store::generation::read_ahead",
];

#[test]
fn the_code_has_no_hooks_for_tests() {
    for (module, code) in files() {
        // The module of a file's own tests is cut off already.
        let asks = code.split("cfg(test)]\n").skip(1).filter(|rest| {
            let item = rest.split_once([';', '{']);
            item.is_some_and(|(item, _)| !item.contains("mod "))
        });
        let asks = asks.count();
        let is_known = KNOW_OF_TESTS.contains(&&*module);
        assert!(
            is_known || asks + code.matches("cfg!(test)").count() == 0,
            "`{module}` asks whether it is tested"
        );
        assert!(
            !code.contains("tests/"),
            "`{module}` reaches into the tests"
        );
    }
}

/// A longer file holds more than one idea.
const LINES_MAX: usize = 700;

#[test]
fn nothing_is_left_undone_and_no_file_is_too_long() {
    for (module, code) in modules() {
        for mark in ["TODO", "FIXME", "unimplemented!", "todo!("] {
            assert!(!code.contains(mark), "`{module}`: {mark}");
        }
    }
    let sources = ["src", "tests"].map(|folder| sources(root().join(folder)));
    for path in sources.concat() {
        let lines = read(&path).lines().count();
        assert!(lines <= LINES_MAX, "{}: {lines} lines", path.display());
    }
}

/// Rustfmt leaves comments alone, and a window that is narrower breaks them anew. A row of a table can't be broken.
const COMMENT_COLUMNS_MAX: usize = 122;

#[test]
fn no_line_of_a_comment_is_too_long() {
    let is_too_long = |line: &&str| {
        let text = line.trim_start();
        let is_row = text.trim_start_matches(['/', '!', ' ']).starts_with('|');
        text.starts_with("//") && !is_row && line.chars().count() > COMMENT_COLUMNS_MAX
    };
    let sources = ["src", "tests"].map(|folder| sources(root().join(folder)));
    for path in sources.concat() {
        let long = read(&path).lines().find(is_too_long).map(str::to_string);
        assert_eq!(long, None, "{}", path.display());
    }
}

/// The files with Rust in a folder and in those within it.
fn sources(folder: PathBuf) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Whether a line declares a field that several threads use.
fn is_shared_field(line: &str) -> bool {
    let kinds = ["Atomic", "Mutex<", "RwLock<", "Condvar", "OnceLock<"];
    let declared = line
        .strip_prefix("    ")
        .and_then(|line| line.split_once(": "));
    declared.is_some_and(|(name, kind)| {
        !name.starts_with([' ', '/'])
            && kind.ends_with(',')
            && !kind.contains(['(', '&'])
            && kinds.iter().any(|known| kind.contains(known))
    })
}

#[test]
fn each_field_that_threads_share_says_in_a_line_who_writes_it() {
    let mut fields = 0;
    for (module, _) in files() {
        let file = format!("src/{}.rs", module.replace("::", "/"));
        let Ok(source) = fs::read_to_string(root().join(&file)) else {
            continue;
        };
        let lines: Vec<&str> = source.lines().collect();
        for (line, (before, field)) in lines.iter().zip(lines.iter().skip(1)).enumerate() {
            if is_shared_field(field) {
                fields += 1;
                assert!(
                    before.trim_start().starts_with("///"),
                    "{file}:{}: who writes `{}`, under what, and who may read it stale?",
                    line + 2,
                    field.trim()
                );
            }
        }
    }
    assert!(fields > 40, "found only {fields}");
}

/// The files that make errors of a kind: the one of all constructors, and the one in which a server tells the kind.
const ERRORS_OF_THEIR_OWN: &[&str] = &["error", "session::redis::connection"];

#[test]
fn each_kind_of_error_is_made_by_a_constructor() {
    for (module, code) in modules() {
        let made = code.match_indices("Error::new(");
        let own = made
            .filter(|(at, _)| !code[..*at].ends_with("io::"))
            .count();
        assert!(
            own == 0 || ERRORS_OF_THEIR_OWN.contains(&&*module),
            "`{module}` makes {own} errors without a constructor of `error`"
        );
    }
}

/// The page of the suites is what a stranger has to find a test by.
#[test]
fn the_page_of_the_suites_names_each_of_them_and_each_seed() {
    let main = read("tests/it/main.rs");
    let (page, modules) = main.split_once("\n\n").unwrap();
    let modules: Vec<&str> = (modules.lines())
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert!(modules.len() > 30, "found only {modules:?}");
    for module in &modules {
        assert!(page.contains(&format!("`{module}`")), "`{module}`");
    }
    let rows = page.lines().filter(|line| line.starts_with("//! | `"));
    let suites = rows.flat_map(|row| {
        row.split(" | ")
            .next()
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
    });
    for suite in suites {
        assert!(modules.contains(&suite), "there is no suite `{suite}`");
    }
    for path in sources(root().join("tests/it")) {
        let code = read(&path);
        for setting in code.split("setting(\"SHELF_").skip(1) {
            let name = format!("SHELF_{}", setting.split('"').next().unwrap());
            let file = path.display();
            assert!(
                page.contains(&name),
                "{file} reads `{name}`, which the page does not name"
            );
        }
    }
}

/// Where the toolchain that runs the tests is; Cargo tells its tests.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    format!("{}{text}", String::from_utf8_lossy(&output.stdout))
}

const APP: &str = r#"
fn main() -> shelflife::Result<()> {
    let store = shelflife::Options::new().open("app.shelf")?;
    store.insert("tea", "green")?;
    println!("{:?}", store.get("tea")?);
    Ok(())
}
"#;

const SIMULATED_APP: &str = r#"
fn main() -> shelflife::Result<()> {
    let sim = shelflife::sim::SimDisk::new(1);
    let store = shelflife::Options::new().disk(sim.disk()).open("app.shelf")?;
    store.insert("tea", "green")?;
    println!("{:?}", store.get("tea")?);
    Ok(())
}
"#;

#[test]
fn a_copied_folder_is_a_path_dependency_offline() {
    let dir = tempfile::tempdir().unwrap();
    plain::copy(
        &root().join("src"),
        &dir.path().join("vendor/shelflife/src"),
    );
    let readme = read("README.md");
    let manifest = readme.split("```toml\n").nth(1).unwrap();
    let manifest = manifest.split("```").next().unwrap();
    fs::write(dir.path().join("vendor/shelflife/Cargo.toml"), manifest).unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    let in_app = |words: &[&str]| {
        let mut run = cargo();
        run.args(words).current_dir(dir.path());
        // Without debug information and the notes for a next build, which nobody looks at and which take half the time.
        run.env("CARGO_TARGET_DIR", dir.path().join("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("RUSTFLAGS");
        succeeds(&mut run)
    };
    // With the simulated disk it is checked only, which takes half the time.
    let ways = [
        ("", APP, "run", "Some([103, 114, 101, 101, 110])\n"),
        ("sim", SIMULATED_APP, "check", ""),
    ];
    for (features, app, command, expected) in ways {
        let features = features.split_whitespace().collect::<Vec<_>>();
        let manifest = format!(
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [workspace]\n\n\
             [dependencies]\nshelflife = {{ path = \"vendor/shelflife\", features = {features:?} }}\n"
        );
        fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        fs::write(dir.path().join("src/main.rs"), app).unwrap();
        let said = in_app(&[command, "--offline", "--quiet"]);
        assert_eq!(said, expected, "{features:?}: a warning, or worse");
    }
    // The crate's own tests need what the app has not, and the app's workspace is tested without them.
    let said = in_app(&["check", "--workspace", "--tests", "--offline", "--quiet"]);
    assert_eq!(said, "", "a warning, or worse");
}

#[test]
fn a_copied_src_compiles_with_one_plain_rustc() {
    let readme = read("README.md");
    assert!(readme.contains(&format!("`rustc {}`", plain::LIBRARY)));
    let dir = tempfile::tempdir().unwrap();
    plain::copy(&root().join("src"), &dir.path().join("src"));
    fs::copy(plain::library(), dir.path().join(plain::FILE)).unwrap();
    fs::copy(
        root().join("tests/examples/quickstart.rs"),
        dir.path().join("main.rs"),
    )
    .unwrap();
    for words in ["main.rs", "-o shelflife src/main.rs"] {
        let words = format!("--edition 2024 --extern shelflife=libshelflife.rlib {words}");
        assert!(readme.contains(&format!("`rustc {words}`")));
        plain::compile(dir.path(), &words);
    }
    let said = succeeds(
        Command::new("./shelflife")
            .arg("-V")
            .current_dir(dir.path()),
    );
    assert_eq!(said, concat!("shelflife ", env!("CARGO_PKG_VERSION"), "\n"));
    let said = succeeds(Command::new("./main").current_dir(dir.path()));
    assert!(said.contains("run 1: "), "{said}");
}

#[test]
fn the_page_for_maintainers_names_files_that_exist() {
    let page = read("src/HACKING.md");
    let words = page.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| word.contains('/') && !word.contains(' ') && !word.contains("::");
    let mut checked = 0;
    for path in words.filter(is_path) {
        let path = path.trim_end_matches('/');
        assert!(root().join(path).exists(), "src/HACKING.md names `{path}`");
        checked += 1;
    }
    assert!(checked > 20, "only {checked} paths were found");
}
