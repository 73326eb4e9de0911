//! Values and form tokens come back as they were put in.

use super::*;
use crate::SessionStoreExt;
use crate::error::{Error, ErrorKind};
use crate::value::Value;
use std::collections::{BTreeMap, HashSet};

/// Loading an unknown id is no error.
pub fn loading_an_unknown_id_is_absent_and_no_error(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    assert_absent(&*store, &UNKNOWN.parse().unwrap());
}

/// User and values are loaded as they were stored.
pub fn a_stored_session_is_found_with_what_was_put_in(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("cart", &vec!["tea".to_string()]).unwrap();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_eq!(loaded.user(), Some("ann"));
    assert_eq!(loaded.get::<Vec<String>>("cart").unwrap().unwrap(), ["tea"]);
}

/// A second save replaces what the first stored.
pub fn saving_again_replaces_the_values(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    for colour in ["green", "black"] {
        session.insert("colour", colour).unwrap();
        save(&*store, &mut session);
        let loaded = load(&*store, &id(&session));
        assert_eq!(loaded.get::<String>("colour").unwrap().unwrap(), colour);
    }
}

/// Asking for what is not there leaves nothing behind.
pub fn loading_or_probing_an_unknown_id_stores_nothing(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    assert_absent(&*store, &UNKNOWN.parse().unwrap());
    assert!(!store.delete_session(&UNKNOWN.parse().unwrap()).unwrap());
    assert_eq!(count(&*store), 0);
}

fn is_no_id(text: &str) -> bool {
    text.parse::<SessionId>()
        .is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
}

/// An empty text is no id.
pub fn an_empty_id_is_no_id(_: &dyn Subject) {
    assert!(is_no_id(""));
}

/// An id has 22 letters.
pub fn an_id_that_is_too_short_or_too_long_is_no_id(_: &dyn Subject) {
    for len in (0..100).filter(|len| *len != UNKNOWN.len()) {
        assert!(is_no_id(&"A".repeat(len)), "{len}");
    }
}

/// No path is an id.
pub fn an_id_with_path_characters_is_no_id(_: &dyn Subject) {
    for path in [
        "../../../../etc/passwd",
        "AAECAwQFBgcICQoLDA0O/w",
        r"AAECAwQFBgcICQoLDA0O\w",
        "AAECAwQFBgcICQoLDA0O.w",
    ] {
        assert!(is_no_id(path), "{path}");
    }
}

/// The alphabet is that of base64url.
pub fn an_id_in_another_alphabet_is_no_id(_: &dyn Subject) {
    for letter in ["+", "/", "=", " ", "\t", "\0", "é", "\u{FF21}", "%"] {
        let text = format!("{}{letter}", &UNKNOWN[..22 - letter.len()]);
        assert!(is_no_id(&text), "{text}");
        assert!(is_no_id(&format!("{letter}{}", &UNKNOWN[letter.len()..])));
    }
}

/// No two texts are the same id.
pub fn an_id_has_one_text_only(_: &dyn Subject) {
    let parsed = (0u8..128).filter(|last| {
        let text = format!("{}{}", &UNKNOWN[..21], char::from(*last));
        text.parse::<SessionId>().is_ok()
    });
    assert_eq!(parsed.collect::<Vec<_>>(), b"AQgw");
}

/// Both say the same at every moment of a session.
pub fn has_session_agrees_with_load_session(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let agree = |id: &SessionId| {
        let has = store.has_session(id).unwrap();
        assert_eq!(has, store.load_session(id).unwrap().is_some());
        has
    };
    let old = id(&session);
    assert!(agree(&old));
    renew(&*store, &mut session);
    assert!(!agree(&old) && agree(&id(&session)));
    store.delete_session(&id(&session)).unwrap();
    assert!(!agree(&id(&session)));
}

/// A session that holds nothing is not stored.
pub fn a_new_session_without_content_is_not_stored(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = Session::new();
    session.set_remote_address(Some("10.0.0.7"));
    session.set_agent(Some("browser"));
    let saved = store.save_session(&mut session).unwrap();
    assert!(matches!(saved, Saved::Empty) && session.id().is_none());
    assert_eq!(count(&*store), 0);
}

/// Each session has an id of its own.
pub fn two_new_sessions_get_two_ids(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    assert_ne!(login(&*store, "ann").id(), login(&*store, "ann").id());
}

/// Ids do not repeat, and no bit of them is always the same.
pub fn a_thousand_ids_have_no_collision_and_all_bits_of_them_vary(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let ids: Vec<SessionId> = (0..1_000).map(|_| id(&login(&*store, "ann"))).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    // Each bit is set in half of them; twelve standard deviations from that chance does not come.
    for at in 0..128 {
        let is_set = |id: &&SessionId| id.bits()[at / 8] >> (at % 8) & 1 == 1;
        let count = ids.iter().filter(is_set).count();
        assert!((310..690).contains(&count), "bit {at}: set in {count}");
    }
}

/// The store draws the id.
pub fn the_id_of_a_new_session_is_the_stores(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = Session::new();
    assert!(session.id().is_none());
    session.set_user(Some("ann"));
    save(&*store, &mut session);
    assert!(store.has_session(session.id().unwrap()).unwrap());
}

/// A copy is stored under the id that it was loaded by.
pub fn the_id_of_a_session_cannot_be_set_by_the_application(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let (ann, bob) = (login(&*store, "ann"), login(&*store, "bob"));
    let updated = store.update_session(&id(&ann), |session| {
        *session = bob.clone();
        session.insert("n", &1u64).map(drop)
    });
    assert!(updated.unwrap().is_some());
    assert_eq!(load(&*store, &id(&ann)).user(), Some("bob"));
    assert!(!load(&*store, &id(&bob)).contains_key("n"));
}

/// An id that a visitor sends makes no session.
pub fn an_unknown_but_well_formed_id_is_never_adopted(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let sent: SessionId = UNKNOWN.parse().unwrap();
    let mut session = store.load_session(&sent).unwrap().unwrap_or_default();
    session.set_user(Some("ann"));
    save(&*store, &mut session);
    assert_ne!(session.id(), Some(&sent));
    assert!(!store.has_session(&sent).unwrap());
}

/// The copy in memory stays what it was.
pub fn saving_leaves_the_copys_values_as_they_are(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    assert_eq!(
        (session.user(), session.get::<u64>("n").unwrap()),
        (Some("ann"), Some(7))
    );
}

/// 1 MiB is no problem.
pub fn a_large_value_comes_back(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let large: Vec<u8> = (0..1 << 20)
        .map(|n: u32| n as u8 ^ (n >> 8) as u8)
        .collect();
    session.insert("large", &large).unwrap();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert!(loaded.get::<Vec<u8>>("large").unwrap().unwrap() == large);
}

/// A user alone is worth a session.
pub fn a_session_with_only_a_user_can_be_found(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let session = login(&*store, "");
    assert_eq!(load(&*store, &id(&session)).user(), Some(""));
}

/// Texts are kept as they are.
pub fn unicode_controls_and_empty_texts_survive_in_keys_and_values(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann ☕\0");
    for text in ["", "\0", "\u{1F375}", "\r\n\x1b[31m", "e\u{301}", "é"] {
        session.insert(text, text).unwrap();
    }
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_eq!((loaded.user(), loaded.len()), (Some("ann ☕\0"), 6));
    for key in loaded.keys() {
        assert_eq!(loaded.get::<String>(key).unwrap().unwrap(), key);
    }
}

/// `a` and `A` are two keys.
pub fn keys_are_case_sensitive(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("a", &1u64).unwrap();
    session.insert("A", &2u64).unwrap();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_eq!(loaded.get::<u64>("a").unwrap(), Some(1));
    assert_eq!(loaded.get::<u64>("A").unwrap(), Some(2));
}

/// No name is taken.
pub fn keys_named_like_fields_of_the_record_are_ordinary_keys(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let names = [
        "user",
        "version",
        "created",
        "accessed",
        "contents",
        "data",
        "replaced",
        "idle",
        "__proto__",
    ];
    for name in names {
        session.insert(name, &7u64).unwrap();
    }
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_eq!(
        (loaded.user(), loaded.version(), loaded.len()),
        (Some("ann"), 2, names.len())
    );
}

/// Nor is anything noted by asking.
pub fn get_of_an_absent_key_is_none_and_no_modification(_: &dyn Subject) {
    let session = Session::new();
    assert_eq!(session.get::<u64>("n").unwrap(), None);
    assert!(!session.is_modified());
}

/// Nothing was done to it.
pub fn a_new_session_is_unmodified(_: &dyn Subject) {
    assert!(!Session::new().is_modified());
}

/// Not even once.
pub fn reading_keys_and_values_modifies_nothing(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    let _ = (
        loaded.get::<u64>("n"),
        loaded.keys().count(),
        loaded.contains_key("n"),
        loaded.has_form_token("x"),
    );
    assert!(!loaded.is_modified());
}

/// It stays removed.
pub fn a_removed_value_is_absent_after_the_next_load(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    let mut loaded = load(&*store, &id(&session));
    assert_eq!(loaded.take::<u64>("n").unwrap(), Some(7));
    save(&*store, &mut loaded);
    assert!(load(&*store, &id(&session)).is_empty());
}

/// There was nothing to remove.
pub fn removing_what_is_not_there_modifies_nothing(_: &dyn Subject) {
    let mut session = Session::new();
    assert!(!session.remove("n") && !session.remove_form_token("x"));
    session.clear();
    session.clear_form_tokens();
    assert_eq!(session.take::<u64>("n").unwrap(), None);
    assert!(!session.is_modified());
}

/// It is told, and the value stays.
pub fn a_value_of_another_type_is_an_error_and_no_default(_: &dyn Subject) {
    let mut session = Session::new();
    session.insert("n", &7u64).unwrap();
    assert_eq!(
        session.get::<String>("n").unwrap_err().kind(),
        ErrorKind::Decode
    );
    assert!(session.take::<String>("n").is_err() && session.contains_key("n"));
}

/// Values of each type come back.
pub fn values_of_every_type_come_back(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let map = BTreeMap::from([
        ("a".to_string(), vec![1.5f64, -0.0]),
        ("b".to_string(), vec![]),
    ]);
    session.insert("bool", &true).unwrap();
    session
        .insert("ints", &[u64::MAX as i128, -(1i128 << 63)])
        .unwrap();
    session.insert("bytes", &vec![0u8, 255]).unwrap();
    session.insert("map", &map).unwrap();
    session.insert("none", &None::<u8>).unwrap();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_eq!(loaded.get::<bool>("bool").unwrap(), Some(true));
    assert_eq!(
        loaded.get::<Vec<i128>>("ints").unwrap().unwrap(),
        [u64::MAX as i128, -(1i128 << 63)]
    );
    assert_eq!(loaded.get::<Vec<u8>>("bytes").unwrap().unwrap(), [0, 255]);
    assert_eq!(
        loaded
            .get::<BTreeMap<String, Vec<f64>>>("map")
            .unwrap()
            .unwrap(),
        map
    );
    assert_eq!(loaded.get::<Option<u8>>("none").unwrap(), Some(None));
}

/// A page that puts in what is there already costs no write.
pub fn putting_in_what_is_there_already_is_no_modification(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let lifetime = Some(Lifetime::default());
    let put_in = |session: &mut Session| {
        session.insert("n", &7u64).unwrap();
        session.set_user(Some("ann"));
        session.set_remote_address(Some("::1"));
        session.set_agent(Some("browser"));
        session.set_label(Some("phone"));
        session.set_credentials(Some("stamp"));
        session.set_lifetime(lifetime);
    };
    put_in(&mut session);
    save(&*store, &mut session);
    put_in(&mut session);
    assert!(!session.is_modified());
    let mut loaded = load(&*store, &id(&session));
    put_in(&mut loaded);
    assert!(!loaded.is_modified());
}

/// The others can be read.
pub fn one_value_of_an_unexpected_type_does_not_spoil_the_others(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session
        .insert("odd", &Value::Tag(99, Box::new(Value::Simple(0))))
        .unwrap();
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert!(loaded.get::<String>("odd").is_err());
    assert_eq!(loaded.get::<u64>("n").unwrap(), Some(7));
}

/// Only its time is noted.
pub fn saving_an_unmodified_session_does_not_raise_its_version(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    save(&*store, &mut session);
    assert_eq!(
        (session.version(), load(&*store, &id(&session)).version()),
        (1, 1)
    );
}

/// Nor its touch.
pub fn a_request_that_only_read_rolls_back_nobodys_change(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut reader = login(&*store, "ann");
    let mut writer = load(&*store, &id(&reader));
    writer.insert("n", &7u64).unwrap();
    save(&*store, &mut writer);
    subject.advance(HOUR);
    save(&*store, &mut reader);
    assert!(store.touch_session(&id(&reader)).unwrap());
    assert_eq!(
        load(&*store, &id(&reader)).get::<u64>("n").unwrap(),
        Some(7)
    );
}

/// And is given what the first stored.
pub fn the_second_of_two_overlapping_changes_is_told(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut first = login(&*store, "ann");
    let mut second = load(&*store, &id(&first));
    first.insert("n", &1u64).unwrap();
    save(&*store, &mut first);
    second.insert("n", &2u64).unwrap();
    for is_renewed in [false, true] {
        let saved = match is_renewed {
            false => store.save_session(&mut second),
            true => store.regenerate_id(&mut second),
        };
        let Saved::Conflict(current) = saved.unwrap() else {
            panic!("it was not told");
        };
        assert_eq!(current.get::<u64>("n").unwrap(), Some(1));
        assert_eq!(load(&*store, &id(&first)).get::<u64>("n").unwrap(), Some(1));
    }
}

/// By `rebase`, which refuses to carry them over to another user.
pub fn changes_of_different_keys_by_overlapping_requests_can_both_be_kept(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("shared", &0u64).unwrap();
    session.insert("old", &0u64).unwrap();
    let token = session.create_form_token().unwrap();
    save(&*store, &mut session);
    let (mut first, mut second) = (load(&*store, &id(&session)), load(&*store, &id(&session)));
    first.insert("one", &1u64).unwrap();
    first.insert("shared", &1u64).unwrap();
    let added = first.create_form_token().unwrap();
    save(&*store, &mut first);
    second.insert("two", &2u64).unwrap();
    second.insert("shared", &2u64).unwrap();
    second.remove("old");
    assert!(second.remove_form_token(&token));
    let Saved::Conflict(current) = store.save_session(&mut second).unwrap() else {
        panic!("it was not told");
    };
    let mut both = second.rebase(*current).expect("the user is the same");
    save(&*store, &mut both);
    let stored = load(&*store, &id(&session));
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["one", "shared", "two"]);
    assert_eq!(
        stored.get::<u64>("shared").unwrap(),
        Some(2),
        "the later one counts"
    );
    assert!(stored.has_form_token(&added) && !stored.has_form_token(&token));

    first = load(&*store, &id(&session));
    second = load(&*store, &id(&session));
    first.set_user(Some("bob"));
    save(&*store, &mut first);
    second.insert("late", &1u64).unwrap();
    let Saved::Conflict(current) = store.save_session(&mut second).unwrap() else {
        panic!("it was not told");
    };
    assert!(second.rebase(*current).is_none(), "another user logged in");
}

/// Twice the same is one change.
pub fn saving_twice_is_one_change(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    save(&*store, &mut session);
    assert_eq!(load(&*store, &id(&session)).version(), 2);
}

/// A change of the copy alone is not seen by anybody.
pub fn values_are_as_they_were_saved_not_as_the_copy_is_changed_later(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    session.insert("n", &8u64).unwrap();
    assert_eq!(
        load(&*store, &id(&session)).get::<u64>("n").unwrap(),
        Some(7)
    );
}

/// Each of them is counted.
pub fn many_threads_that_change_one_session_by_update_lose_nothing(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let id = id(&login(&*store, "ann"));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            let (store, id) = (Arc::clone(&store), &id);
            scope.spawn(move || {
                for _ in 0..5 {
                    let updated = store.update_session(id, |session| {
                        let n = session.get::<u64>("n")?.unwrap_or(0);
                        session.insert("n", &(n + 1))
                    });
                    assert!(updated.unwrap().is_some());
                }
            });
        }
    });
    assert_eq!(load(&*store, &id).get::<u64>("n").unwrap(), Some(100));
}

/// With the changes of others.
pub fn a_reload_gives_what_is_stored_now(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let session = login(&*store, "ann");
    let updated = store.update_session(&id(&session), |session| session.insert("n", &7u64));
    assert!(updated.unwrap().is_some() && session.is_empty());
    assert_eq!(
        load(&*store, &id(&session)).get::<u64>("n").unwrap(),
        Some(7)
    );
}

/// And no error.
pub fn a_reload_of_what_was_deleted_is_absent(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let session = login(&*store, "ann");
    assert!(store.delete_session(&id(&session)).unwrap());
    assert!(store.load_session(&id(&session)).unwrap().is_none());
}

/// The error is the closure's own.
pub fn an_update_that_returns_an_error_changes_nothing_and_the_error_comes_back(
    subject: &dyn Subject,
) {
    let store = subject.store(Settings::default());
    let id = id(&login(&*store, "ann"));
    let failed = store.update_session(&id, |session| -> crate::Result<()> {
        session.insert("n", &7u64)?;
        Err(Error::other("no tea left"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "no tea left");
    assert!(load(&*store, &id).is_empty());
}

/// It is known until it is removed, once.
pub fn a_created_form_token_is_known_until_removed(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let token = session.create_form_token().unwrap();
    save(&*store, &mut session);
    let mut loaded = load(&*store, &id(&session));
    assert!(loaded.has_form_token(&token) && loaded.remove_form_token(&token));
    save(&*store, &mut loaded);
    assert!(!load(&*store, &id(&session)).has_form_token(&token));
}

/// 32 are known at most.
pub fn beyond_32_form_tokens_the_oldest_is_forgotten(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let tokens: Vec<String> = (0..33)
        .map(|_| session.create_form_token().unwrap())
        .collect();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_eq!(loaded.form_token_count(), 32);
    assert!(!loaded.has_form_token(&tokens[0]) && loaded.has_form_token(&tokens[1]));
}

/// It is good for its own session only.
pub fn a_form_token_of_another_session_is_not_known(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut ann = login(&*store, "ann");
    let token = ann.create_form_token().unwrap();
    save(&*store, &mut ann);
    assert!(!load(&*store, &id(&login(&*store, "bob"))).has_form_token(&token));
}

/// A double submit counts once, at the same time as well.
pub fn of_two_requests_that_submit_one_form_token_exactly_one_succeeds(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let token = session.create_form_token().unwrap();
    save(&*store, &mut session);
    let id = id(&session);
    let used: usize = std::thread::scope(|scope| {
        let submit = || {
            let used = store.update_session(&id, |session| Ok(session.remove_form_token(&token)));
            usize::from(used.unwrap().unwrap())
        };
        let threads = [(); 8].map(|()| scope.spawn(submit));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(used, 1);
}

/// With all that the values were, and nothing else.
pub fn all_values_can_be_removed_at_once(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    session.insert("m", &8u64).unwrap();
    save(&*store, &mut session);
    session.clear();
    save(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_eq!((loaded.len(), loaded.user()), (0, Some("ann")));
}

/// All that are outstanding.
pub fn form_tokens_can_be_removed_at_once(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.create_form_token().unwrap();
    session.create_form_token().unwrap();
    save(&*store, &mut session);
    session.clear_form_tokens();
    save(&*store, &mut session);
    assert_eq!(load(&*store, &id(&session)).form_token_count(), 0);
}

/// The stored session stays.
pub fn a_session_over_a_configured_size_is_refused_before_it_is_stored(subject: &dyn Subject) {
    let settings = Settings {
        session_bytes_max: Some(1_000),
        ..Settings::default()
    };
    let store = subject.store(settings);
    let mut session = login(&*store, "ann");
    session.insert("text", &"x".repeat(1_000)).unwrap();
    let refused = store.save_session(&mut session).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(load(&*store, &id(&session)).is_empty());
    let new = store.regenerate_id(&mut session).unwrap_err();
    assert_eq!(new.kind(), ErrorKind::TooLarge);
    assert_eq!(count(&*store), 1);
}
