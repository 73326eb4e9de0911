//! `info` and `compact`: how much of a file is of use.

use std::path::Path;
use std::time::{Instant, SystemTime};

use shelflife::{Disk, OsDisk, Recovery, Stats, Value};

use crate::cli::args::{Args, Command, Opt, WAIT};
use crate::cli::failure::Result;
use crate::cli::keys::value_of;
use crate::cli::output::{Output, say};
use crate::cli::progress::Progress;
use crate::cli::{broom, open, text, times};

pub(crate) const INFO: Command = Command {
    name: "info",
    operands: "F",
    options: &[
        Opt::flag("--json", "as one JSON object, with all figures"),
        WAIT,
    ],
    about: "say how large a store is, and whether anything was found wrong",
    examples: [
        "shelflife info notes.shelf",
        "shelflife info notes.shelf --json | jq .dead_bytes",
    ],
    notes: "Name, number of keys, bytes of the file, bytes that compact would free at least, state: `ok`, `torn\n\
            tail` (the end of an interrupted write, which the next writer removes) or `damaged` (see shelflife\n\
            verify); the version of the file's format, which an empty file does not have yet. If the file is\n\
            longer than it should be, standard error says by how much, and what may keep it from being compacted;\n\
            and if this clock reads earlier than the creation of the store, that by it nothing ends.",
    run: info,
};

fn info(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let (name, path) = (
        text::escape(file.as_encoded_bytes()),
        value_of(file.as_encoded_bytes()),
    );
    let store = open::to_read(args, file)?;
    let stats: Stats = store.stats()?;
    let state = state_of(&store.recovery());
    if stats.overdue_bytes > 0 {
        say_overdue(&stats, store.path());
    }
    if let Some(created) = stats.created.filter(|created| *created > SystemTime::now()) {
        say(&format!(
            "shelflife: by this clock nothing ends, since it reads earlier than the creation of the store, {}; if it is \
             right, dump --expires and load make a store that goes by it",
            times::time(created)
        ));
    }
    if args.has("--json") {
        let format = stats.format.map(u64::from);
        return output.line(&text::json(&text::object([
            ("path", path),
            ("keys", stats.keys.into()),
            ("size_bytes", stats.file_bytes.into()),
            ("live_bytes", stats.live_bytes.into()),
            ("dead_bytes", stats.dead_bytes.into()),
            ("past_bytes", stats.past_bytes.into()),
            ("overdue_bytes", stats.overdue_bytes.into()),
            ("index_bytes", stats.index_bytes.into()),
            ("generation", stats.generation.into()),
            ("state", state.into()),
            ("format", format.map_or(Value::Null, Value::from)),
        ])));
    }
    output.header(&["FILE", "KEYS", "SIZE", "RECLAIMABLE", "STATE", "FORMAT"]);
    let format = stats
        .format
        .map_or("-".to_string(), |version| version.to_string());
    // Both figures may count the same record, so this is the least.
    let freed_bytes = stats.dead_bytes.max(stats.past_bytes);
    let fields = match output.is_terminal {
        true => vec![
            name,
            text::count(stats.keys),
            text::size(stats.file_bytes),
            text::size(freed_bytes),
            state.to_string(),
            format,
        ],
        false => vec![
            name,
            stats.keys.to_string(),
            stats.file_bytes.to_string(),
            freed_bytes.to_string(),
            state.to_string(),
            format,
        ],
    };
    output.row(fields)
}

/// A handle that can't compact says why in its own process only. This shows the admin what that handle may have met.
fn say_overdue(stats: &Stats, path: &Path) {
    let real = OsDisk.resolve(path).unwrap_or_else(|_| path.into());
    let owner = |path: &Path| match OsDisk.stat(path) {
        Ok(is) => format!("{}:{} ({:04o})", is.uid, is.gid, is.mode & 0o7777),
        Err(_) => "unknown".to_string(),
    };
    let reason = match OsDisk.is_mount_point(&real) {
        true => {
            "the file is a mount point, over which no new file can be renamed: mount its folder"
                .to_string()
        }
        false => format!(
            "owner, group and mode are {} of the file and {} of its folder; a compaction keeps those of the file, and \
             has to write to the folder",
            owner(&real),
            owner(real.parent().unwrap_or(Path::new("/")))
        ),
    };
    say(&format!(
        "shelflife: a compaction is overdue by {}; try: shelflife compact {}; {reason}",
        text::size(stats.overdue_bytes),
        text::shell_word(path.as_os_str())
    ));
}

/// How a store is, in a word or two.
pub(crate) fn state_of(recovery: &Recovery) -> &'static str {
    match (recovery.damage.is_empty(), recovery.torn_tails.is_empty()) {
        (false, _) => "damaged",
        (true, false) => "torn tail",
        (true, true) => "ok",
    }
}

pub(crate) const COMPACT: Command = Command {
    name: "compact",
    operands: "F",
    options: &[WAIT],
    about: "free the space of what was removed or replaced, while others go on",
    examples: [
        "shelflife compact notes.shelf",
        "shelflife compact notes.shelf --wait 60",
    ],
    notes: "A store does this by itself as it grows.",
    run: compact,
};

fn compact(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    broom::wait_beside(&file);
    let store = open::to_change(args, file)?;
    let start = Instant::now();
    let progress = Progress::of("compacting", "");
    let done = store.compact()?;
    drop(progress);
    store.close()?;
    let (before, after) = (text::size(done.before_bytes), text::size(done.after_bytes));
    output.note(&format!(
        "{before} -> {after} in {} ms",
        start.elapsed().as_millis()
    ));
    Ok(())
}
