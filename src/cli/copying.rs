//! `session copy`: an application moves, and its visitors stay logged in.

use std::collections::HashSet;

use shelflife::{Beyond, copy_sessions};

use crate::cli::args::{Args, Command, DRY_RUN, Opt, WAIT, YES};
use crate::cli::ask::confirm;
use crate::cli::failure::{Failure, Result, is_of_bytes};
use crate::cli::output::{Output, say};
use crate::cli::places::{self, PASSWORD_FILE, PREFIX, Part, TO_PASSWORD_FILE, TO_PREFIX};
use crate::cli::progress::Progress;
use crate::cli::sessions;
use crate::cli::text;

const MIRROR: Opt = Opt::flag("--mirror", "end sessions that only TO has");
const HASH_IDS: Opt = Opt::flag("--hash-ids", "TO keeps the hashes of ids only");
pub(crate) const COPY: Command = Command {
    name: "session copy",
    operands: "FROM TO",
    options: &[
        MIRROR,
        DRY_RUN,
        YES,
        HASH_IDS,
        PREFIX,
        PASSWORD_FILE,
        TO_PREFIX,
        TO_PASSWORD_FILE,
        WAIT,
    ],
    about: "take sessions along to another file or server",
    examples: [
        "shelflife session copy sessions.shelf redis://127.0.0.1",
        "shelflife session copy --mirror --yes redis://127.0.0.1 sessions.shelf",
    ],
    notes: "FROM and TO are files, or URLs of Redis or Valkey servers. Ids and times stay, so visitors stay logged\n\
            in. Copy while the app runs, stop it, copy again with --mirror, start it on TO. What is in TO in the\n\
            same or a later state stays; a copy that was interrupted is done again. Hashed ids stay hashed. With\n\
            --mirror it asks at a terminal, and elsewhere wants --yes; --mirror --dry-run prints the handles of\n\
            sessions that would end, and copies nothing. A FROM without sessions is not mirrored.",
    run: copy,
};

fn copy(args: &mut Args, output: &mut Output) -> Result<()> {
    let (from, to) = (args.required("FROM")?, args.required("TO")?);
    let (is_mirror, is_dry) = (args.has(MIRROR.name), args.has(DRY_RUN.name));
    if is_dry && !is_mirror {
        return Err(args.wrong("--dry-run is for --mirror"));
    }
    let from = places::to_read(args, from)?;
    if is_dry {
        let mut known = HashSet::new();
        sessions::each(&from, |session| {
            known.extend(session.handle());
            Ok(())
        })?;
        if known.is_empty() {
            return Err(nothing_to_mirror());
        }
        let to = places::part_to_read(args, to, Part::Second)?;
        let would_end = sessions::list_any(&to, output, |session| {
            session
                .handle()
                .is_none_or(|handle| !known.contains(&handle))
        })?;
        if !would_end {
            say("TO has no session that FROM has not");
        }
        return Ok(());
    }
    // A session that can't be read is passed by; a server that fails tells nothing of the others.
    let first = from
        .iter_sessions()
        .find(|found| !found.as_ref().is_err_and(is_of_bytes))
        .transpose()?;
    if is_mirror {
        if first.is_none() {
            return Err(nothing_to_mirror());
        }
        confirm(args, "this ends sessions", || {
            Ok("end the sessions that only TO has?".to_string())
        })?;
    }
    // Of hashes no ids can be made, so what is hashed stays hashed.
    let is_hashed = first.is_some_and(|session| session.id().is_none());
    let to = places::to_fill(args, to, is_hashed || args.has(HASH_IDS.name))?;
    let beyond = match is_mirror {
        true => Beyond::End,
        false => Beyond::Keep,
    };
    let progress = Progress::of("copying", "sessions");
    let mut shown = 0;
    let copied = copy_sessions(&*from, &*to, beyond, |copied| {
        let done = copied.stored + copied.unchanged;
        (shown..done).for_each(|_| progress.step());
        shown = done;
    });
    drop(progress);
    let copied = copied?;
    let stored = text::counted(copied.stored as u64, "session");
    let unchanged = text::count(copied.unchanged as u64);
    output.line(&format!("copied {stored}, {unchanged} were there already"))?;
    let only_there = text::counted(copied.beyond as u64, "session");
    match beyond {
        Beyond::End if copied.beyond > 0 => {
            output.line(&format!("ended {only_there} that only TO had"))
        }
        Beyond::Keep if copied.beyond > 0 => {
            say(&format!("only TO has {only_there}: --mirror ends them"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Another number of a database, or another prefix, is as empty as a store that everybody left.
fn nothing_to_mirror() -> Failure {
    let what = "FROM holds no session, and --mirror would end all that TO has: check the address, and --prefix";
    Failure::No(what.to_string())
}
