//! The manager on a real file: restarts, and two real processes.
//!
//! A child process is this very binary, told by its environment to run [`child_process`] alone. It answers on its
//! standard error, which libtest leaves alone, and is spoken to over its standard input.

use super::interleavings::{DEEDS, Deed, Played, assert_overlap, check_both, start};
use super::*;
use crate::support::metric;
use shelflife::{Durability, Options};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const FILE: &str = "SHELF_SITE";

fn manage(path: &Path) -> SessionManager {
    let store = Options::new()
        .durability(Durability::Os)
        .open(path)
        .unwrap();
    let store = SessionOptions::new()
        .hash_ids(true)
        .with_store(store)
        .unwrap();
    ManagerOptions::new().manage(store).unwrap()
}

#[test]
fn sessions_survive_a_restart_and_two_managers_on_one_file_share_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.shelf");
    let jar = {
        let manager = SessionManager::open(&path).unwrap();
        start(&manager, true)
    };
    let (one, two) = (
        SessionManager::open(&path).unwrap(),
        SessionManager::open(&path).unwrap(),
    );
    for manager in [&one, &two] {
        assert_eq!(manager.begin(jar.field()).user().unwrap(), Some("ann"));
    }
    let mut visit = one.begin(jar.field());
    put(&mut visit, "size", "tall");
    let _ = visit.finish().unwrap();
    assert!(
        two.begin(jar.field())
            .session()
            .unwrap()
            .contains_key("size")
    );
    let watch = two.begin(jar.field()).watch().unwrap().unwrap();
    assert!(one.begin(jar.field()).logout().unwrap());
    assert!(
        watch.wait(100 * SECOND).unwrap(),
        "the end in another process is noticed by looking"
    );
    assert_eq!(two.begin(jar.field()).user().unwrap(), None);
}

/// A file that the manager opens without options holds no id; a session ends after 14 days, a stranger's after an hour.
#[test]
fn what_is_opened_without_options_is_safe() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.shelf");
    let manager = SessionManager::open(&path).unwrap();
    let (ann, stranger) = (start(&manager, true), start(&manager, false));
    let left = |jar: &Jar| manager.begin(jar.field()).time_left().unwrap().unwrap();
    assert!(left(&ann) <= 14 * DAY && left(&ann) > 14 * DAY - MINUTE);
    assert!(left(&stranger) <= HOUR && left(&stranger) > HOUR - MINUTE);
    assert!(
        manager
            .store()
            .iter_sessions()
            .all(|session| session.unwrap().id().is_none())
    );
}

/// Not a claim: what this binary does as a child process. As a test it does nothing.
#[test]
fn child_process() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let manager = manage(Path::new(&file));
    let mut told = std::io::stderr();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (deed, field) = line.split_once(' ').unwrap();
        let mut visit = manager.begin([field]);
        let deed = DEEDS[deed.parse::<usize>().unwrap()];
        deed.run(&mut visit, 1).unwrap();
        let done = answer(visit.finish().unwrap());
        let how = match done.outcome {
            Outcome::Lost(_) => "lost",
            Outcome::Merged => "merged",
            _ => "done",
        };
        let line = format!("answer {how} {}\n", done.set_cookie().unwrap_or_default());
        told.write_all(line.as_bytes()).unwrap();
    }
}

/// Another process that answers requests.
struct Other {
    process: Child,
    ask: Option<ChildStdin>,
    told: BufReader<ChildStderr>,
}

impl Other {
    fn new(path: &Path) -> Other {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "manager::processes::child_process",
                "--nocapture",
            ])
            .env(FILE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Other {
            ask: process.stdin.take(),
            told: BufReader::new(process.stderr.take().unwrap()),
            process,
        }
    }

    fn begin(&mut self, deed: Deed, jar: &Jar) {
        let nth = DEEDS.iter().position(|it| *it == deed).unwrap();
        let line = format!("{nth} {}\n", jar.field()[0]);
        self.ask
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
    }

    fn end(&mut self, deed: Deed) -> Played {
        let mut line = String::new();
        while !line.starts_with("answer ") {
            line.clear();
            assert!(
                self.told.read_line(&mut line).unwrap() > 0,
                "the other process is gone"
            );
        }
        let mut words = line.trim_end().splitn(3, ' ').skip(1);
        let outcome = match words.next() {
            Some("lost") => Outcome::Lost(Lost::Ended),
            Some("merged") => Outcome::Merged,
            _ => Outcome::Stored,
        };
        let set = words.next().filter(|set| !set.is_empty());
        Played {
            deed,
            who: 1,
            answer: Answer {
                headers: set
                    .map(|set| ("Set-Cookie".to_string(), set.to_string()))
                    .into_iter()
                    .collect(),
                outcome,
            },
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.ask.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn in_two_processes_on_a_real_file_the_jar_ends_where_it_should() {
    const RUNS: usize = 10_000;
    let begun = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.shelf");
    let manager = manage(&path);
    let mut other = Other::new(&path);
    let mut random = crate::support::Random::new(11);
    let mut merged = 0;
    // How long it is from a question to the other process until both have answered: it depends on the machine.
    let mut took = Duration::ZERO;
    for _ in 0..RUNS {
        let old = start(&manager, random.one_in(2));
        let [mine, others] = [0, 1].map(|_| DEEDS[random.below(DEEDS.len() as u64) as usize]);
        let asked = Instant::now();
        other.begin(others, &old);
        let pause = Duration::from_nanos(random.below(took.as_nanos() as u64 + 1));
        while asked.elapsed() < pause {
            std::thread::yield_now();
        }
        let mut visit = manager.begin(old.field());
        mine.run(&mut visit, 0).unwrap();
        let mine = Played {
            deed: mine,
            who: 0,
            answer: answer(visit.finish().unwrap()),
        };
        let others = other.end(others);
        took = asked.elapsed();
        merged += [&mine, &others].iter().filter(|it| it.is_merged()).count();
        check_both(&manager, &old, &mine, &others);
    }
    assert_overlap(merged);
    let secs = begun.elapsed().as_secs_f64();
    metric("manager_requests_in_two_processes", RUNS, Some(11), secs);
}

#[test]
fn what_options_open_is_hashed_and_options_that_browsers_refuse_create_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.shelf");
    let refused = ManagerOptions::new().cookie_name("a name").open(&path);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(!path.exists());

    let manager = ManagerOptions::new().cookie_name("shop").open(&path);
    let manager = manager.unwrap();
    let mut visit = manager.begin([""]);
    visit.login("ann").unwrap();
    let done = visit.finish().unwrap();
    assert!(
        done.headers()
            .any(|(_, value)| value.starts_with("__Host-shop="))
    );
    let plain = SessionOptions::new().open(&path).unwrap_err();
    assert!(plain.to_string().contains("hash_ids(true)"), "{plain}");
}
