//! Keys that `ls` prints can be given back, whatever they are made of; and many keys go in one step.

use super::*;
use crate::support::{Random, fast_dir};

/// A store with keys of every byte, and of several that mislead the reader of a list.
fn store_of_odd_keys(shell: &Shell, with_nul: bool) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = vec![
        b"plain".to_vec(),
        b"".to_vec(),
        b"two\nlines".to_vec(),
        b"tab\tand \\ and \"quotes\"".to_vec(),
        b"--long".to_vec(),
        b"-0".to_vec(),
        b"\xff\xfe not UTF-8".to_vec(),
        "\u{2028}\u{202e}\u{feff}".as_bytes().to_vec(),
        b"\x1b[31mred".to_vec(),
        b"{\"k\":1}".to_vec(),
    ];
    let first = u8::from(!with_nul);
    keys.extend((first..=255).map(|byte| vec![b'b', byte]));
    let store = Store::open(shell.path("n.shelf")).unwrap();
    let mut batch = Batch::new();
    for key in &keys {
        batch.insert(key, b"value of it");
    }
    store.write(&batch).unwrap();
    store.close().unwrap();
    keys
}

#[test]
fn every_key_that_ls_prints_is_read_back_by_get_and_rm() {
    for (form, with_nul) in [("-0", false), ("--json", true)] {
        let shell = Shell::new();
        let keys = store_of_odd_keys(&shell, with_nul);
        let mut list = Command::new(BIN);
        let list = list
            .args(["ls", "n.shelf", form])
            .current_dir(shell.dir.path())
            .output()
            .unwrap();
        assert_eq!(list.status.code(), Some(0), "{form}");
        let got = shell
            .pipe(&list.stdout, &format!("get n.shelf {form}"))
            .ok();
        match form {
            "-0" => assert_eq!(got, "value of it\0".repeat(keys.len())),
            // The lines of dump, which load takes.
            _ => {
                assert_eq!(got, shell.run("dump n.shelf").ok());
                shell.pipe(got.as_bytes(), "load copy.shelf").ok();
                assert_eq!(shell.run("dump copy.shelf").ok(), got);
            }
        }
        // A key that has gone meanwhile is told, and the others are removed.
        shell.run("rm n.shelf plain").ok();
        assert_eq!(
            shell
                .pipe(&list.stdout, &format!("rm n.shelf {form}"))
                .failed(1),
            "shelflife: no such key: plain\n"
        );
        assert_eq!(shell.run("ls n.shelf").ok(), "", "{form}");
    }
}

#[test]
fn a_list_that_was_cut_off_removes_nothing() {
    let shell = Shell::new();
    shell.run("set n.shelf te v").ok();
    shell.run("set n.shelf tea v").ok();
    let said = shell.pipe(b"te\0te", "rm n.shelf -0").failed(2);
    assert!(said.contains("does not end with a NUL byte"), "{said}");
    let said = shell
        .pipe(b"\"te\"\n{\"k\":", "rm n.shelf --json")
        .failed(2);
    assert!(
        said.starts_with("shelflife: standard input, line 2: "),
        "{said}"
    );
    let said = shell
        .pipe(b"{\"key\":\"te\"}", "rm n.shelf --json")
        .failed(2);
    assert!(said.contains("no text, and no object with \"k\""), "{said}");
    assert_eq!(shell.run("ls n.shelf").ok(), "te\ntea\n");
    // A list of nothing is a list.
    shell.pipe(b"", "rm n.shelf -0").ok();
    // And -0 can't hold a key that has a NUL byte in it.
    let store = Store::open(shell.path("n.shelf")).unwrap();
    store.insert(b"a\0b", "v").unwrap();
    drop(store);
    let said = shell.run("ls n.shelf -0").err;
    assert!(
        said.contains("holds a NUL byte") && said.contains("--json"),
        "{said}"
    );
    let before = now_and_bytes(&shell.path("n.shelf"));
    for words in [
        "rm n.shelf k -0",
        "rm n.shelf te --json",
        "rm n.shelf -0 --json",
        "rm n.shelf --prefix t te --yes",
        "rm n.shelf --prefix t -0 --yes",
        "rm n.shelf --prefix t --json --yes",
    ] {
        shell.pipe(b"", words).failed(2);
    }
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);
}

#[test]
fn rm_prefix_wants_a_yes_says_what_it_would_do_and_takes_no_session() {
    let shell = Shell::new();
    let sessions = ShelveSessionStore::open(shell.path("n.shelf")).unwrap();
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let _ = sessions.save_session(&mut session).unwrap();
    for key in ["cart:1", "cart:2", "card", "CART:3"] {
        shell.run(&format!("set n.shelf {key} v")).ok();
    }
    let before = now_and_bytes(&shell.path("n.shelf"));
    let said = shell.run("rm n.shelf --prefix cart:").failed(2);
    assert!(
        said.starts_with("shelflife: this removes many keys: add --yes; usage: "),
        "{said}"
    );
    assert_eq!(
        shell.run("rm n.shelf --prefix cart: --dry-run").ok(),
        "cart:1\ncart:2\n"
    );
    assert_eq!(
        shell.run("rm n.shelf --prefix nix --yes").failed(1),
        "shelflife: no key begins with `nix`\n"
    );
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);
    assert_eq!(shell.run("rm n.shelf --prefix cart: --yes").ok(), "");
    assert_eq!(shell.run("rm n.shelf --prefix= --yes").ok(), "");
    assert!(sessions.has_session(session.id().unwrap()).unwrap());
    assert_eq!(sessions.iter_sessions().count(), 1);
}

#[test]
fn rm_prefix_goes_on_past_what_cannot_be_read_and_tells_it() {
    let shell = Shell::new();
    for key in ["cart:1", "cart:2", "cart:3"] {
        shell.run(&format!("set n.shelf {key} value-of-{key}")).ok();
    }
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    let value = b"value-of-cart:2";
    let place = bytes
        .windows(value.len())
        .position(|window| window == value);
    bytes[place.unwrap()] ^= 1;
    fs::write(shell.path("n.shelf"), bytes).unwrap();
    let ran = shell.run("rm n.shelf --prefix cart: --yes");
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{}", ran.err);
    assert!(ran.err.contains("is damaged at offset"), "{}", ran.err);
    for key in ["cart:1", "cart:3"] {
        shell.run(&format!("get n.shelf {key}")).failed(1);
    }
    // By its name it can be removed.
    shell.run("rm n.shelf cart:2").ok();
    shell.run("get n.shelf cart:2").failed(1);
}

/// Killed at any moment of a removal of many keys, the store has all of them or none.
#[test]
fn a_removal_of_many_keys_that_is_killed_happened_or_did_not() {
    let dir = fast_dir();
    let path = dir.path().join("n.shelf");
    let store = Store::open(&path).unwrap();
    let keys: usize = 20_000;
    let mut random = Random::new(7);
    let (mut none, mut all) = (0, 0);
    for round in 0..12 {
        let mut batch = Batch::new();
        for i in 0..keys {
            batch.insert(format!("cart:{i}"), b"v");
        }
        store.write(&batch).unwrap();
        let mut child = Command::new(BIN)
            .args(["rm", "n.shelf", "--prefix", "cart:", "--yes"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // Somewhere in what it takes, or at its end.
        let until = std::time::Instant::now() + Duration::from_micros(random.below(60_000));
        while std::time::Instant::now() < until && round % 4 != 0 {
            std::thread::yield_now();
        }
        match round % 4 {
            0 => _ = child.wait().unwrap(),
            _ => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        match store.len().unwrap() {
            0 => all += 1,
            left => {
                assert_eq!(left, keys, "seed 7, round {round}");
                none += 1;
            }
        }
    }
    assert!(all >= 3, "{all} done, {none} not");
}
