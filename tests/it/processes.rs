//! Several real processes on one file: nothing is lost, nobody hangs, nobody writes past what an admin did.
//!
//! A child process is this very binary, told by its environment to run [`child_process`] alone. It speaks over its
//! standard error, which libtest leaves alone, and is spoken to over its standard input.

mod admin;
mod history;
mod kill;
mod owners;

use crate::support::{metric, skip};
use shelflife::sim::{Call, Event, Fault, FaultKind};
use shelflife::{Change, Disk, Durability, ErrorKind, Options, Store};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

const TASK: &str = "SHELF_CHILD";

/// Not a claim: what this binary does as a child process. As a test it does nothing.
#[test]
fn child_process() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let mut words = task.split('\n');
    let task = words.next().unwrap();
    let path = Path::new(words.next().unwrap());
    let args: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
    match task {
        "count" => count(path, args[0]),
        "hold" => hold(path, args[0] == 1),
        "save once" => drop(relaxed().open(path).unwrap().insert("k", "v").unwrap()),
        "write until killed" => kill::write_until_killed(path, &args),
        "call and note" => history::call_and_note(path, &args),
        "do all that creates files" => owners::do_all_that_creates_files(path),
        "compact" => owners::compact(path),
        "open" => owners::open(path),
        task => panic!("no such task: {task}"),
    }
}

/// Tells the parent a line.
fn tell(line: &str) {
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// Waits until the parent says something.
fn wait_for_parent() {
    std::io::stdin().read_exact(&mut [0]).unwrap();
}

/// A child process, killed if it is still there when this is dropped.
struct Child {
    process: std::process::Child,
    told: BufReader<ChildStderr>,
}

impl Child {
    /// The command that starts a child.
    fn command(task: &str, path: &Path, args: &[u64]) -> Command {
        Child::command_of(&std::env::current_exe().unwrap(), task, path, args)
    }

    fn command_of(exe: &Path, task: &str, path: &Path, args: &[u64]) -> Command {
        let mut words = vec![task.to_string(), path.to_str().unwrap().to_string()];
        words.extend(args.iter().map(u64::to_string));
        let mut command = Command::new(exe);
        command
            .args(["--exact", "processes::child_process", "--nocapture"])
            .env(TASK, words.join("\n"));
        command
    }

    fn start(task: &str, path: &Path, args: &[u64]) -> Child {
        Child::spawn(&mut Child::command(task, path, args))
    }

    fn spawn(command: &mut Command) -> Child {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(process.stderr.take().unwrap());
        Child { process, told }
    }

    /// Waits for this line.
    fn expect(&mut self, line: &str) {
        let mut told = String::new();
        self.told.read_line(&mut told).unwrap();
        if told.trim_end() != line {
            self.told.read_to_string(&mut told).unwrap();
            panic!("a child should have said `{line}`, but said: {told}");
        }
    }

    /// Lets a child go on that waits.
    fn go(&mut self) {
        let stdin = self.process.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for its good end; returns what else it told.
    fn finish(mut self) -> String {
        let mut told = String::new();
        self.told.read_to_string(&mut told).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "a child ended with {status}: {told}");
        told
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn relaxed() -> Options {
    let mut options = Options::new();
    options.durability(Durability::Os);
    options
}

/// A deadline so short that no test waits for it, for calls that should be refused.
fn impatient() -> Options {
    let mut options = relaxed();
    options.lock_timeout(Duration::from_millis(20));
    options
}

fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// Everything in a store, by a handle of its own that only reads.
fn contents(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let store = Options::new().read_only(true).open(path).unwrap();
    let mut pairs: Vec<_> = store.iter().collect::<Result<_, _>>().unwrap();
    pairs.sort();
    pairs
}

fn count(path: &Path, times: u64) {
    let store = relaxed().open(path).unwrap();
    tell("open");
    wait_for_parent();
    let mut longest = Duration::ZERO;
    for _ in 0..times {
        let start = Instant::now();
        store
            .update("n", |old| {
                let n = number(old) + 1;
                Ok((Change::Put(n.to_le_bytes().to_vec()), ()))
            })
            .unwrap();
        longest = longest.max(start.elapsed());
    }
    tell(&longest.as_micros().to_string());
}

fn counted(processes: usize, times: u64) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.shelf");
    let mut children: Vec<_> = (0..processes)
        .map(|_| Child::start("count", &path, &[times]))
        .collect();
    children.iter_mut().for_each(|child| child.expect("open"));
    children.iter_mut().for_each(Child::go);
    let longest = children
        .into_iter()
        .map(|child| child.finish().trim().parse().unwrap())
        .max();
    let counted = Store::open(&path).unwrap().get("n").unwrap();
    (number(counted.as_deref()), longest.unwrap())
}

#[test]
fn two_processes_increment_one_counter_and_none_is_lost() {
    let start = Instant::now();
    let (counted, longest) = counted(2, 10_000);
    assert_eq!(counted, 20_000);
    let secs = start.elapsed().as_secs_f64();
    metric("two_processes_longest_wait_us", longest, None, secs);
}

#[test]
fn eight_processes_increment_one_counter_and_each_gets_its_turn() {
    let start = Instant::now();
    let (counted, longest) = counted(8, 500);
    assert_eq!(counted, 4_000);
    let secs = start.elapsed().as_secs_f64();
    metric("eight_processes_longest_wait_us", longest, None, secs);
}

/// Holds the lock, within an `update` or by being exclusive.
fn hold(path: &Path, exclusive: bool) {
    let store = relaxed().exclusive(exclusive).open(path).unwrap();
    store.insert("before", "1").unwrap();
    let held = || {
        tell("held");
        wait_for_parent();
    };
    if exclusive {
        held();
    } else {
        let change = |_: Option<&[u8]>| {
            held();
            Ok((Change::Put(b"2".to_vec()), ()))
        };
        store.update("within", change).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_holder_that_stands_still_makes_others_busy_at_their_deadline() {
    for exclusive in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.shelf");
        let waiting = impatient().open(&path).unwrap();
        let mut holder = Child::start("hold", &path, &[u64::from(exclusive)]);
        holder.expect("held");
        holder.signal("-STOP");
        let error = waiting.insert("k", "v").unwrap_err();
        assert!(error.is_busy(), "{error}");
        let waited_ms = error
            .to_string()
            .split_once("waited ")
            .and_then(|(_, rest)| rest.split_once(" ms"))
            .map(|(ms, _)| ms.parse::<u64>().unwrap());
        assert!(waited_ms.is_some_and(|ms| ms >= 20), "{error}");
        assert!(impatient().open(&path).unwrap_err().is_busy());
        let before = waiting.get("before").unwrap();
        assert_eq!(
            before.as_deref(),
            Some(&b"1"[..]),
            "a reader waits for nobody"
        );
        assert_eq!(waiting.iter().count(), 1);
        holder.signal("-CONT");
        holder.go();
        holder.finish();
        assert!(waiting.insert("k", "v").unwrap());
    }
}

#[test]
fn a_lock_call_that_a_signal_interrupts_is_repeated() {
    let name = "a_lock_call_that_a_signal_interrupts_is_repeated";
    let dir = tempfile::tempdir().unwrap();
    let (path, trace) = (dir.path().join("s.shelf"), dir.path().join("trace"));
    let mut command = Command::new("strace");
    let child = Child::command("save once", &path, &[]);
    command
        .args(["-f", "-e", "trace=flock"])
        .args(["-e", "inject=flock:error=EINTR:when=1+2", "-o"])
        .arg(&trace)
        .arg(child.get_program())
        .args(child.get_args());
    for (name, value) in child.get_envs() {
        command.env(name, value.unwrap());
    }
    match command.output() {
        Err(error) => return skip(name, format!("no strace: {error}")),
        Ok(output) => {
            let trace = std::fs::read_to_string(&trace).unwrap_or_default();
            if !trace.contains("EINTR") {
                let text = String::from_utf8_lossy(&output.stderr);
                return skip(name, format!("strace can't trace here: {}", text.trim()));
            }
            assert!(output.status.success(), "{output:?}");
        }
    }
    assert_eq!(contents(&path), [(b"k".to_vec(), b"v".to_vec())]);
}

#[test]
fn two_handles_in_one_process_wait_for_each_other_as_processes_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.shelf");
    let (one, other) = (
        impatient().open(&path).unwrap(),
        impatient().open(&path).unwrap(),
    );
    let error = one
        .update("k", |_| {
            let error = other.insert("k", "other").unwrap_err();
            Ok((Change::Put(b"one".to_vec()), error))
        })
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(other.get("k").unwrap().as_deref(), Some(&b"one"[..]));
    assert!(!other.insert("k", "other").unwrap());
    drop(one);
    assert!(other.insert("k2", "other").unwrap());
}

/// A simulated machine, since std can't fork.
#[test]
fn a_forked_child_neither_uses_nor_frees_the_lock_of_its_parent() {
    let sim = shelflife::sim::SimDisk::new(1);
    let options = |exclusive| {
        let process = sim.process();
        let mut options = impatient();
        options
            .exclusive(exclusive)
            .disk(std::sync::Arc::new(process.clone()));
        (options, process)
    };
    let (mut shared, process) = options(false);
    let store = shared.open("/shared").unwrap();
    store.insert("parent", "1").unwrap();
    process.fork();
    sim.forget();
    store.insert("child", "2").unwrap();
    let trace = sim.trace();
    let first = |call: Call| trace.iter().position(|event| event.call == call);
    assert!(
        first(Call::Open).unwrap() < first(Call::TryLock).unwrap(),
        "the child locks a file of its own"
    );
    assert_eq!(shared.open("/shared").unwrap().len().unwrap(), 2);

    let (exclusive, process) = options(true);
    let store = exclusive.open("/exclusive").unwrap();
    store.insert("parent", "1").unwrap();
    process.fork();
    assert!(store.insert("child", "2").unwrap_err().is_busy());
    drop(store);
    let other = shared.disk(sim.disk()).open("/exclusive");
    assert!(
        other.unwrap_err().is_busy(),
        "the parent still has the lock"
    );
}

#[test]
fn a_forked_child_verifies_salvages_and_reopens_without_the_lock_of_its_parent() {
    for case in 0..4 {
        let (exclusive, salvages) = (case % 2 == 1, case > 1);
        let sim = shelflife::sim::SimDisk::new(1);
        let process = sim.process();
        let open = || {
            let mut options = impatient();
            options.exclusive(exclusive).disk(process.disk()).open("/s")
        };
        let store = open().unwrap();
        store.insert("parent", "1").unwrap();
        // Bytes of which only a look with the lock shows that nobody is writing them.
        let torn = [sim.read("/s").unwrap(), vec![7; 100]].concat();
        sim.write("/s", torn).unwrap();
        let parent = process.id();
        process.fork();
        // Each takes the lock by a file that the child has opened itself.
        let opens_first = |call: &dyn Fn()| {
            sim.forget();
            call();
            let trace = sim.trace();
            let first = |call: Call| trace.iter().position(|event| event.call == call);
            assert!(first(Call::Open).unwrap() < first(Call::TryLock).unwrap());
        };
        opens_first(&|| assert!(store.verify().unwrap().torn_tail.is_some()));
        let look = || match salvages {
            true => store.salvage_in_place().map(|_| ()),
            false => store.reopen(),
        };
        if exclusive {
            assert!(look().unwrap_err().is_busy());
            sim.kill(parent);
        }
        opens_first(&|| look().unwrap());
        store.insert("child", "2").unwrap();
        drop(store);
        assert_eq!(open().unwrap().len().unwrap(), 2);
    }
}

#[test]
fn an_exclusive_handle_goes_on_in_another_file_only_once_it_has_its_lock() {
    let sim = shelflife::sim::SimDisk::new(1);
    let [one, other] = [sim.process(), sim.process()];
    let open = |process: &shelflife::sim::SimProcess, path: &str| {
        let mut options = impatient();
        options.exclusive(true).disk(process.disk()).open(path)
    };
    let store = open(&one, "/s").unwrap();
    let theirs = open(&other, "/t").unwrap();
    theirs.insert("theirs", "1").unwrap();
    sim.disk().rename(Path::new("/t"), Path::new("/s")).unwrap();
    assert!(store.reopen().unwrap_err().is_busy());
    drop(theirs);
    store.reopen().unwrap();
    assert!(store.contains_key("theirs").unwrap());
    assert!(open(&other, "/s").unwrap_err().is_busy());
}

#[test]
fn a_forked_child_whose_file_was_deleted_reopens_and_writes() {
    for exclusive in [false, true] {
        let sim = shelflife::sim::SimDisk::new(1);
        let process = sim.process();
        let mut options = impatient();
        let store = options.exclusive(exclusive).disk(process.disk());
        let store = store.open("/s").unwrap();
        store.insert("parent", "1").unwrap();
        process.fork();
        process.disk().remove(Path::new("/s")).unwrap();
        store.reopen().unwrap();
        store.insert("child", "2").unwrap();
        assert_eq!(store.len().unwrap(), 1);
    }
}

#[test]
fn a_forked_child_salvages_a_file_that_it_cannot_open() {
    let sim = shelflife::sim::SimDisk::new(1);
    let process = sim.process();
    let mut options = impatient();
    let options = options.durability(Durability::Immediate);
    let store = options.disk(process.disk()).open("/s").unwrap();
    for key in ["a", "b", "c"] {
        store.insert(key, key.repeat(1000)).unwrap();
    }
    let mut bytes = sim.read("/s").unwrap();
    let first = bytes.windows(9).position(|some| some == b"aaaaaaaaa");
    bytes[first.unwrap() - 50..][..100].fill(0xA5);
    sim.write("/s", bytes).unwrap();
    process.fork();
    assert!(store.insert("child", "1").unwrap_err().is_corrupt());
    let salvaged = store.salvage_in_place().unwrap();
    assert!(salvaged.kept.is_some());
    store.insert("child", "1").unwrap();
    assert_eq!(store.len().unwrap(), 3);
}

/// A program that opens its store and then becomes a daemon: the child goes on, and its parent ends without a word.
#[test]
fn a_forked_child_has_the_exclusive_lock_once_its_parent_has_ended() {
    let sim = shelflife::sim::SimDisk::new(1);
    let process = sim.process();
    let open = || impatient().exclusive(true).disk(process.disk()).open("/s");
    let store = open().unwrap();
    store.insert("parent", "1").unwrap();
    let parent = process.id();
    process.fork();
    assert!(store.insert("child", "2").unwrap_err().is_busy());
    sim.kill(parent);
    store.insert("child", "2").unwrap();
    drop(store);
    assert_eq!(open().unwrap().len().unwrap(), 2);
}

#[test]
fn a_forked_child_that_wrote_nothing_closes_without_a_word_in_the_file_of_its_parent() {
    for exclusive in [false, true] {
        let sim = shelflife::sim::SimDisk::new(1);
        let process = sim.process();
        let store = impatient()
            .exclusive(exclusive)
            .disk(process.disk())
            .open("/s");
        let store = store.unwrap();
        store.insert("parent", "1").unwrap();
        let before = sim.read("/s").unwrap();
        process.fork();
        sim.forget();
        store.close().unwrap();
        assert!(sim.trace().is_empty(), "{:?}", sim.trace());
        assert_eq!(sim.read("/s").unwrap(), before);
    }
}

/// A server that opens its store and then forks workers, beside a job that compacts.
#[test]
fn a_forked_child_goes_on_in_the_file_that_its_own_was_compacted_into() {
    let sim = shelflife::sim::SimDisk::new(1);
    let process = sim.process();
    let store = impatient().disk(process.disk()).open("/s").unwrap();
    store.insert("parent", "1").unwrap();
    let other = impatient().disk(sim.disk()).open("/s").unwrap();
    process.fork();
    other.compact().unwrap();
    store.insert("child", "2").unwrap();
    assert_eq!(other.len().unwrap(), 2);
}

/// A sync of an open file of the parent's would be told of lost bytes in its place, and a lock would be the parent's.
#[test]
fn a_forked_child_copies_by_files_of_its_own_and_tells_that_its_sync_failed() {
    for begins in [false, true] {
        let sim = shelflife::sim::SimDisk::new(1);
        let process = sim.process();
        let store = impatient().disk(process.disk()).open("/s").unwrap();
        store.insert("key", "1").unwrap();
        let mut mirror = store.mirror("/").unwrap();
        store.insert("key", "2").unwrap();
        process.fork();
        sim.forget();
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
        let mut copy = || match begins {
            false => mirror.update().map(drop),
            true => store.mirror("/").map(|begun| mirror = begun),
        };
        copy().unwrap_err();
        let trace = sim.trace();
        let uses = |event: &&Event| event.call != Call::TryLock && event.call != Call::Sync;
        let before = trace.iter().take_while(uses);
        let opened = before.filter(|event| event.call == Call::Open && event.ok);
        assert_eq!(opened.count(), 2, "the store and the copy");
        // By the note of that in the file, whoever writes leaves it.
        let other = impatient().disk(sim.disk()).open("/s").unwrap();
        other.insert("other", "").unwrap();
        assert_eq!(other.stats().unwrap().generation, 2);
        copy().unwrap();
        let copied = impatient().disk(sim.disk()).open(mirror.path()).unwrap();
        assert!(copied.contains_key("other").unwrap());
    }

    let sim = shelflife::sim::SimDisk::new(1);
    let process = sim.process();
    let open = || impatient().exclusive(true).disk(process.disk()).open("/s");
    let store = open().unwrap();
    store.insert("key", "1").unwrap();
    let mut mirror = store.mirror("/").unwrap();
    store.insert("key", "2").unwrap();
    process.fork();
    sim.forget();
    assert!(mirror.update().unwrap_err().is_busy());
    assert!(store.mirror("/").unwrap_err().is_busy());
    let changes = |event: &Event| matches!(event.call, Call::Sync | Call::Write);
    assert!(!sim.trace().iter().any(changes), "{:?}", sim.trace());
}

#[test]
fn a_forked_child_is_told_of_what_was_put_over_the_store_as_its_parent_is() {
    for exclusive in [false, true] {
        for is_older_file in [false, true] {
            let case = format!("exclusive {exclusive}, an older file {is_older_file}");
            let sim = shelflife::sim::SimDisk::new(1);
            let process = sim.process();
            let mut options = impatient();
            let options = options.exclusive(exclusive).disk(process.disk());
            let store = options.open("/s").unwrap();
            store.insert("key", "1").unwrap();
            let copy = sim.read("/s").unwrap();
            if is_older_file {
                store.compact().unwrap();
            }
            store.insert("key", "2").unwrap();
            let parent = process.id();
            process.fork();
            sim.kill(parent);
            if is_older_file {
                sim.write("/older", copy).unwrap();
                let admin = sim.process();
                admin.rename(Path::new("/older"), Path::new("/s")).unwrap();
                let error = store.insert("child", "").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Replaced, "{case}: {error}");
                store.reopen().unwrap();
            } else {
                sim.write("/s", copy).unwrap();
                store.insert("child", "").unwrap();
                assert_eq!(store.recovery().reverted.len(), 1, "{case}");
            }
            store.insert("child", "").unwrap();
            assert_eq!(store.get("key").unwrap().unwrap(), b"1", "{case}");
        }
    }
}
