//! One entry: stored only where it is new, and printed in one form by every command.

use super::*;

#[test]
fn of_many_who_set_a_new_key_at_once_one_does_and_the_others_are_told() {
    let shell = Shell::new();
    let set = |value: usize| shell.run(&format!("set n.shelf lock {value} --new --wait 60"));
    let ran: Vec<Ran> = std::thread::scope(|scope| {
        let set = &set;
        let started: Vec<_> = (0..6)
            .map(|value| scope.spawn(move || set(value)))
            .collect();
        started.into_iter().map(|set| set.join().unwrap()).collect()
    });
    let winners: Vec<usize> = (0..6).filter(|nth| ran[*nth].code == 0).collect();
    assert_eq!(winners.len(), 1, "{ran:?}");
    assert_eq!(
        shell.run("get n.shelf lock").ok(),
        format!("{}\n", winners[0])
    );
    let others = ran.into_iter().filter(|ran| ran.code != 0);
    for said in others.map(|ran| ran.failed(1)) {
        assert_eq!(said, "shelflife: the key is there already: lock\n");
    }
    // Once it is gone it is new again, in each form that a value has.
    for (words, dumped) in [
        ("tea", "\"v\":\"tea\"}"),
        ("tea --raw", "\"v\":{\"$b64\":\"dGVh\"}}"),
        ("[1] --json-value", "\"v\":[1]}"),
        (
            "tea --expires 2100-01-01T00:00:00Z",
            "\"v\":\"tea\",\"expires\":4102444800000}",
        ),
        (
            "tea --raw --expires 2100-01-01T00:00:00Z",
            "\"v\":{\"$b64\":\"dGVh\"},\"expires\":4102444800000}",
        ),
    ] {
        shell.run("rm n.shelf lock").ok();
        shell.run(&format!("set n.shelf lock --new {words}")).ok();
        let line = format!("{{\"k\":\"lock\",{dumped}\n");
        assert_eq!(shell.run("dump n.shelf").ok(), line);
        shell.run("set n.shelf lock --new w").failed(1);
        assert_eq!(shell.run("dump n.shelf").ok(), line);
    }
}

/// The object of a line is one level more than the value in it has.
#[test]
fn a_value_as_deep_as_can_be_stored_is_dumped_and_loaded_and_a_deeper_one_is_refused() {
    for (open, close) in [
        ("[", "]"),
        (r#"{"a":"#, "}"),
        (r#"{"$map":[[0,"#, "]]}"),
        (r#"{"$map":[["#, ",0]]}"),
        (r#"{"$tag":[1,"#, "]}"),
    ] {
        let shell = Shell::new();
        let nested = |levels| {
            let (open, close) = (open.repeat(levels), close.repeat(levels));
            format!("{open}{{\"$b64\":\"/w==\"}}{close}")
        };
        let value: shelflife::Value = nested(64).parse().unwrap();
        let value = shelflife::to_cbor(&value).unwrap();
        let mut batch = Batch::new();
        batch.insert_cbor("deep", &value);
        let store = Store::open(shell.path("a.shelf")).unwrap();
        store.write(&batch).unwrap();
        let dumped = shell.run("dump a.shelf").ok();
        shell.pipe(dumped.as_bytes(), "load b.shelf").ok();
        let loaded = Store::open(shell.path("b.shelf")).unwrap();
        assert_eq!(loaded.get("deep").unwrap(), Some(value));

        let deeper = format!("{{\"k\":\"deeper\",\"v\":{}}}", nested(65));
        let said = shell.pipe(deeper.as_bytes(), "load b.shelf").failed(2);
        assert!(said.contains("nesting deeper than can be stored"), "{said}");
    }
}

/// A program that reads an entry in one form of JSON reads it in all.
#[test]
fn every_json_of_an_entry_has_the_members_that_dump_gives_it() {
    let shell = Shell::new();
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(4_102_444_800_123);
    let mut batch = Batch::new();
    batch.insert_until("plain", b"tea", end);
    batch.insert_cbor("text", b"\x63tea");
    batch.insert_cbor_until("bytes", b"\x43tea", end);
    let store = Store::open(shell.path("n.shelf")).unwrap();
    let from = store.position().unwrap();
    store.write(&batch).unwrap();
    drop(store);
    let values = |text: &str| -> Vec<shelflife::Value> {
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    let dumped = values(&shell.run("dump n.shelf").ok());
    assert_eq!(dumped.len(), 3);
    assert_eq!(
        dumped[0].get("expires"),
        Some(&4_102_444_800_123_u64.into())
    );
    assert_eq!(dumped[2].get("cbor"), Some(&true.into()));
    let members = ["k", "v", "cbor", "expires"];
    let history = shell.run("history n.shelf --json").out;
    let watch = format!("$B watch n.shelf --json --from {from} | head -n 3");
    let mut shell_of_watch = Command::new("sh");
    shell_of_watch.args(["-c", &watch]).env("B", BIN);
    // It ends when it has something to say to nobody.
    let over = std::sync::atomic::AtomicBool::new(false);
    let watched = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                shell.run("set n.shelf other v").ok();
            }
        });
        let watched = shell.finish(b"", &mut shell_of_watch).ok();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        watched
    });
    for (name, told) in [("history", history), ("watch", watched)] {
        for (line, dumped) in values(&told).iter().zip(&dumped) {
            for member in members {
                assert_eq!(line.get(member), dumped.get(member), "{name}: {line}");
            }
        }
        assert_eq!(told.lines().count(), 3, "{name}");
    }
    shell.run("rm n.shelf other").ok();
    let listed = values(&shell.run("ls n.shelf --json --long").ok());
    assert_eq!(listed.len(), dumped.len());
    let null = shelflife::Value::Null;
    for (line, dumped) in listed.iter().zip(&dumped) {
        assert_eq!(line.get("k"), dumped.get("k"), "{line}");
        let end = dumped.get("expires").unwrap_or(&null);
        assert_eq!(line.get("expires"), Some(end), "{line}");
        assert!(line.get("size").is_some() && line.get("written").is_some());
    }
}

#[test]
fn a_key_before_the_store_makes_no_store_of_its_name() {
    let shell = Shell::new();
    shell.run("set n.shelf tea green").ok();
    for words in ["set tea n.shelf black", "set tea n.shelf"] {
        let said = shell.run(words).failed(2);
        assert!(said.contains("F comes before KEY"), "{said}");
        assert!(!said.contains("black"), "{said}");
        assert!(!shell.path("tea").exists());
    }
    // Where F is a path, or is there, or no store has the name of the key.
    fs::write(shell.path("text"), "text").unwrap();
    for words in [
        "set ./tea n.shelf black",
        "set tea n.shelf black",
        "set stores.shelf n.shelf black",
        "set names text black",
        "set other none black",
    ] {
        shell.run(words).ok();
    }
    assert_eq!(shell.run("get n.shelf tea").ok(), "green\n");
}
