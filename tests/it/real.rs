//! Real faults: the system calls of a real process fail or kill it, its disk is full, its limits are reached.
//!
//! A child process is this very binary, told by its environment to run [`child_process`] alone. It makes [`Step`]s and
//! tells, over its standard error, how each ended. The parent keeps a [`Ledger`] of what it was told, and compares it
//! with what is in the file afterwards.

mod limits;
mod traced;

use shelflife::{Batch, Compaction, Error, Options, Result, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const TASK: &str = "SHELF_REAL_CHILD";

/// Not a claim: what this binary does as a child process. As a test it does nothing.
#[test]
fn child_process() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let mut words = task.split('\n');
    let task = words.next().unwrap();
    let path = Path::new(words.next().unwrap());
    let arg = words.next().unwrap();
    match task {
        "work" => traced::work(path, arg),
        "fill" => limits::fill(path, arg),
        task => panic!("no such task: {task}"),
    }
}

/// The program, arguments and environment of a child, to run by itself or under something else.
fn child(under: &[&str], task: &str, path: &Path, arg: &str) -> Command {
    let exe = std::env::current_exe().unwrap();
    let this = [
        exe.to_str().unwrap(),
        "--exact",
        "real::child_process",
        "--nocapture",
        "--test-threads=1",
    ];
    let words: Vec<_> = under.iter().chain(&this).collect();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .env(TASK, format!("{task}\n{}\n{arg}", path.to_str().unwrap()))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Tells the parent a line.
fn tell(line: &str) {
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

fn options() -> Options {
    let mut options = Options::new();
    options.compaction(Compaction::Manual);
    options
}

type Changes = Vec<(String, Option<Vec<u8>>)>;

/// A step that a child takes at once. The number alone decides its `nth` step, so the parent knows it too.
enum Step {
    /// One change, or a batch of several.
    Write(Changes),
    Compact,
    /// After somebody left a torn tail.
    Reopen,
}

impl Step {
    fn nth(nth: usize) -> Step {
        let value = |len: usize| Some(vec![nth as u8; len]);
        let key = |nth: usize| format!("k{}", nth % 7);
        match nth % 12 {
            4 => Step::Write(vec![(key(nth + 4), None)]),
            5 | 10 => Step::Write(vec![
                ("one".to_string(), value(60)),
                ("other".to_string(), value(60)),
            ]),
            7 => Step::Compact,
            9 => Step::Reopen,
            // Several pages, which a write may be stopped in the middle of.
            11 => Step::Write(vec![(key(nth), value(20_000))]),
            _ => Step::Write(vec![(key(nth), value(200))]),
        }
    }

    fn make(&self, store: &mut Option<Store>, options: &Options, path: &Path) -> Result<()> {
        if let Step::Reopen = self
            && let Some(open) = store.take()
        {
            open.close()?;
            // The bytes that a process leaves which was killed while it appended.
            let file = OpenOptions::new().append(true).open(path);
            file.and_then(|mut file| file.write_all(&[0xa5; 100]))
                .map_err(Error::other)?;
        }
        let open = match store {
            Some(open) => open,
            None => store.insert(options.open(path)?),
        };
        match self {
            Step::Write(changes) => match &changes[..] {
                [(key, Some(value))] => open.insert(key, value).map(drop),
                [(key, None)] => open.remove(key).map(drop),
                changes => {
                    let mut batch = Batch::new();
                    for (key, value) in changes {
                        match value {
                            Some(value) => batch.insert(key, value),
                            None => batch.remove(key),
                        };
                    }
                    open.write(&batch)
                }
            },
            Step::Compact => open.compact().map(drop),
            Step::Reopen => Ok(()),
        }
    }
}

/// The values that each key may have; a key whose last change was acknowledged has one.
#[derive(Default)]
struct Ledger(BTreeMap<String, BTreeSet<Option<Vec<u8>>>>);

impl Ledger {
    fn note(&mut self, step: &Step, outcome: Outcome) {
        let Step::Write(changes) = step else { return };
        for (key, value) in changes {
            let may_be = self.0.entry(key.clone()).or_insert([None].into());
            if outcome == Outcome::Acknowledged {
                may_be.clear();
            }
            may_be.insert(value.clone());
        }
    }

    fn allows(&self, key: &str, value: Option<&[u8]>) -> std::result::Result<(), String> {
        let shown = |value: Option<&[u8]>| value.map(|value| (value.first().copied(), value.len()));
        let expected = self.0.get(key);
        let allowed = match expected {
            Some(may_be) => may_be.iter().any(|may_be| may_be.as_deref() == value),
            None => value.is_none(),
        };
        if allowed {
            return Ok(());
        }
        let expected: Vec<_> = expected
            .into_iter()
            .flatten()
            .map(|value| shown(value.as_deref()))
            .collect();
        let found = shown(value);
        Err(format!("{key} is {found:?} and not of {expected:?}"))
    }

    /// Compares all that a store holds.
    fn check(&self, store: &Store) -> std::result::Result<(), String> {
        let pairs: Result<BTreeMap<_, _>> = store.iter().collect();
        let pairs = pairs.map_err(|error| format!("iterating: {error}"))?;
        let known: BTreeMap<_, _> = self.0.keys().map(|key| (key.as_bytes(), key)).collect();
        for key in pairs.keys() {
            if !known.contains_key(&key[..]) {
                return Err(format!("{key:?} was never written"));
            }
        }
        for (bytes, key) in known {
            self.allows(key, pairs.get(bytes).map(Vec::as_slice))?;
        }
        if pairs.get(&b"one"[..]) != pairs.get(&b"other"[..]) {
            return Err("half a batch".to_string());
        }
        Ok(())
    }

    /// Reads the keys of a step. An error is an answer, a wrong value is not.
    fn check_reads(&self, step: &Step, store: &Store) {
        let Step::Write(changes) = step else { return };
        for (key, _) in changes {
            if let Ok(value) = store.get(key) {
                self.allows(key, value.as_deref()).unwrap();
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Acknowledged,
    Unknown,
}

/// The ledger of the steps that a child told: those that returned, and after them the one that did not, if it died.
fn ledger_of(told: &str) -> (Ledger, usize) {
    let mut ledger = Ledger::default();
    let (mut next, mut acknowledged) = (0, 0);
    for line in told.lines() {
        let Some((outcome, nth)) = line.split_once(' ') else {
            continue;
        };
        let outcome = match outcome {
            "acknowledged" => Outcome::Acknowledged,
            "failed" => Outcome::Unknown,
            _ => continue,
        };
        let nth = nth.split(':').next().unwrap().parse().unwrap();
        ledger.note(&Step::nth(nth), outcome);
        acknowledged += usize::from(outcome == Outcome::Acknowledged);
        next = nth + 1;
    }
    ledger.note(&Step::nth(next), Outcome::Unknown);
    (ledger, acknowledged)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// After the faults are over: everything is there, the store goes on, and nothing is left behind.
fn check_afterwards(path: &Path, ledger: &Ledger) -> std::result::Result<(), String> {
    let during = |what: &'static str| move |error: Error| format!("{what}: {error}");
    if path.exists() {
        let reader = options().read_only(true).open(path);
        let reader = reader.map_err(during("opening to read"))?;
        ledger.check(&reader)?;
    }
    let store = options().open(path).map_err(during("opening"))?;
    ledger.check(&store)?;
    if !store.recovery().damage.is_empty() {
        return Err(format!("{:?}", store.recovery()));
    }
    let goes_on = |store: &Store| -> Result<()> {
        store.insert("afterwards", "1")?;
        store.compact()?;
        store.remove("afterwards").map(drop)
    };
    goes_on(&store).map_err(during("going on"))?;
    ledger.check(&store)?;
    store.close().map_err(during("closing"))?;
    let names: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    if names != [path.file_name().unwrap()] {
        return Err(format!("left behind: {names:?}"));
    }
    let store = options().open(path).map_err(during("opening again"))?;
    ledger.check(&store)
}
