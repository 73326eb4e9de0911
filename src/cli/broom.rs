//! Ctrl-C in the middle of anything leaves no temporary file.
//!
//! A file is made under a temporary name, and std tells no program of a signal, while nothing tells one of SIGKILL. So
//! a second process waits beside a command that makes files, in a process group of its own, which Ctrl-C does not
//! reach. Its standard input is a pipe that the command holds: it ends with the command, whatever ends that, and the
//! leftovers are removed. A file that is locked stays, since another process is making it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shelflife::Store;

/// The word that starts the second process. Only the first one says it: it is in no list of commands.
pub(crate) const WORD: &str = "remove-leftovers";

/// The targets that are swept, each with the process that does it.
static WAITING: Mutex<Vec<(OsString, Child)>> = Mutex::new(Vec::new());

/// From here on, what this process leaves when it is killed is removed: the temporary files of `target`, and of what is
/// named after it. Where no process can be started the next command that makes the same file removes them.
pub(crate) fn wait_beside(target: impl AsRef<OsStr>) {
    let target = target.as_ref();
    let Ok(mut waiting) = WAITING.lock() else {
        return;
    };
    if waiting.iter().any(|(swept, _)| swept == target) {
        return;
    }
    let started = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.arg(WORD).arg(std::process::id().to_string());
        command.arg(target).process_group(0);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    });
    waiting.extend(started.map(|child| (target.to_owned(), child)));
}

/// A name beside `target` that nothing has yet, whose file is removed as one of `target`'s if this process is killed.
pub(crate) fn temporary(target: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.unwrap_or_default().as_nanos() & u128::from(u64::MAX);
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{nanos:016x}"));
    target.with_file_name(name)
}

/// The command ran to its end, and has removed what it made.
pub(crate) fn put_away() {
    let Ok(mut waiting) = WAITING.lock() else {
        return;
    };
    for (_, mut child) in waiting.drain(..) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The second process, given the id of the first and what to sweep.
pub(crate) fn sweep(mut words: impl Iterator<Item = OsString>) {
    let (first, target) = (words.next(), words.next());
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    // The pipe may be closed before the file is unlocked. Once both are done, this process has another parent.
    while first.as_deref() == Some(OsStr::new(&parent_id().to_string())) {
        thread::sleep(Duration::from_millis(1));
    }
    if let Some(target) = target {
        let _ = Store::remove_leftovers(Path::new(&target));
    }
}
