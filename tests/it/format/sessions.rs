//! Sessions are read from the page alone, too: what the reader in Python tells of them is what the command line does.

use super::*;
use shelflife::{
    Lifetime, Saved, Session, SessionOptions, SessionStore, SessionStoreExt, ShelveSessionStore,
    Value,
};

const BIN: &str = env!("CARGO_BIN_EXE_shelflife");

fn lines_of(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(String::from).collect()
}

/// Sessions with all that one may have, some of which were changed, renewed or ended, beside keys of a shelf.
fn fill(path: &Path, hash_ids: bool) {
    let mut options = SessionOptions::new();
    options
        .hash_ids(hash_ids)
        .idle_lifetime(Duration::from_secs(3600));
    let mut file = Options::new();
    file.durability(Durability::Os)
        .compaction(Compaction::Manual);
    let store = file.open(path).unwrap();
    let mut others = Batch::new();
    others.insert_cbor("cart", [1]);
    others.insert("s 22 letters of an id", "no session");
    store.write(&others).unwrap();
    let sessions: ShelveSessionStore = options.with_store(store).unwrap();
    for nth in 0..180u32 {
        let mut session = Session::new();
        session.insert("nth", &nth).unwrap();
        session
            .insert("texts", &vec!["tea", "caf\u{e9}\n"])
            .unwrap();
        session
            .insert("more", &(true, -5, 0.25, None::<u8>))
            .unwrap();
        if nth % 10 > 0 {
            session.set_user(Some(if nth % 3 > 0 { "ann" } else { "bob" }));
            session.set_remote_address(Some("10.0.0.7"));
        }
        if nth % 7 == 0 {
            let day = Duration::from_secs(86_400);
            session.set_lifetime(Some(Lifetime {
                idle: None,
                absolute: Some(day),
            }));
        }
        if nth % 11 == 0 {
            session.set_lifetime(Some(Lifetime::default()));
        }
        session.create_form_token().unwrap();
        assert!(matches!(
            sessions.save_session(&mut session).unwrap(),
            Saved::Stored
        ));
        let id = session.id().unwrap().clone();
        match nth % 6 {
            0 => {
                let _ = sessions.regenerate_id(&mut session).unwrap();
            }
            1 => {
                let late = |session: &mut Session| session.insert("late", &nth);
                assert!(sessions.update_session(&id, late).unwrap().is_some());
            }
            2 => assert!(sessions.delete_session(&id).unwrap()),
            _ => {}
        }
    }
    sessions.close().unwrap();
}

#[test]
fn a_reader_in_python_finds_the_sessions_that_the_command_line_lists_and_shows() {
    let dir = fast_dir();
    for (hash_ids, kind) in [(false, "plain"), (true, "hashed")] {
        let path = dir.path().join(kind);
        fill(&path, hash_ids);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader.py");
        let mut command = Command::new("python3");
        command.arg(script).arg("--sessions").arg(&path);
        if Command::new("python3").arg("-V").output().is_err() {
            return skip("a reader in Python finds sessions", "there is no python3");
        }
        let mut read = || -> Vec<Value> {
            let lines = lines_of(&mut command);
            lines.iter().map(|line| line.parse().unwrap()).collect()
        };
        let found = read();
        let listed = lines_of(
            Command::new(BIN)
                .args(["session", "ls", "--json"])
                .arg(&path),
        );
        assert_eq!((found.len(), listed.len()), (150, 150));
        let of_ann = |session: &&Value| session.get("user") == Some(&"ann".into());
        // Ann's sessions are so many that their list has several parts.
        assert!(found.iter().filter(of_ann).count() > 64);
        for (nth, (found, listed)) in found.iter().zip(&listed).enumerate() {
            let listed: Value = listed.parse().unwrap();
            for field in [
                "handle",
                "user",
                "created",
                "accessed",
                "expires",
                "remote_address",
            ] {
                assert_eq!(found.get(field), listed.get(field), "{field} of {listed}");
            }
            assert_eq!(found.get("kind"), Some(&kind.into()));
            let has_user = found.get("user") != Some(&Value::Null);
            let named = if has_user {
                Value::from(true)
            } else {
                Value::Null
            };
            assert_eq!(found.get("listed"), Some(&named), "{found}");
            if nth % 10 != 0 {
                continue;
            }
            let Some(Value::Text(handle)) = found.get("handle") else {
                panic!("{found}")
            };
            let shown = lines_of(
                Command::new(BIN)
                    .args(["session", "show"])
                    .arg(&path)
                    .arg(handle),
            );
            let row = |name: &str| {
                let row = shown
                    .iter()
                    .find_map(|row| row.strip_prefix(&format!("{name}\t")));
                row.unwrap_or_else(|| panic!("no {name} in {shown:?}"))
                    .to_string()
            };
            for (name, field) in [("version", "version"), ("form tokens", "form_tokens")] {
                assert_eq!(row(name), found.get(field).unwrap().to_string());
            }
            let Some(Value::Map(data)) = found.get("data") else {
                panic!("{found}")
            };
            assert_eq!(
                data.len(),
                shown.iter().filter(|row| row.starts_with("data.")).count()
            );
            for (key, value) in data {
                let Value::Text(key) = key else {
                    panic!("{found}")
                };
                assert_eq!(
                    row(&format!("data.{key}")).parse::<Value>().unwrap(),
                    *value
                );
            }
        }
        // Nothing vouches for the lists any more.
        assert!(Store::open(&path).unwrap().remove(b"\xFFk").unwrap());
        let unvouched = read();
        assert_eq!(unvouched.len(), found.len());
        let listed = |session: &Value| session.get("listed") == Some(&true.into());
        assert!(found.iter().any(listed) && !unvouched.iter().any(listed));
    }
}
