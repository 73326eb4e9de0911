//! `verify` and `salvage`: what of a file can be believed, and what can be saved of it.

use shelflife::{Affected, Damage, Salvaged, Verified};

use crate::cli::args::{Args, Command, Opt, WAIT};
use crate::cli::failure::{Failure, Result, heard};
use crate::cli::keys::shown;
use crate::cli::output::{Output, say};
use crate::cli::progress::Progress;
use crate::cli::text::{counted, shell_word};
use crate::cli::{broom, lines, open, text};

pub(crate) const VERIFY: Command = Command {
    name: "verify",
    operands: "F",
    options: &[WAIT],
    about: "check every byte, and change nothing",
    examples: [
        "shelflife verify notes.shelf",
        "shelflife verify notes.shelf > report || mail -s damaged admin < report",
    ],
    notes: "Works beside a running app. A line for each damaged place: `damaged`, where, how many bytes, how far it\n\
            reaches (`one record`, `header copy` or `unknown`), the key if it is known. Exit code 3 if there is\n\
            any. A `torn tail`, the end of an interrupted write that the next writer cuts off, is no damage.",
    run: verify,
};

fn verify(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let name = text::escape(file.as_encoded_bytes());
    let command_word = shell_word(&file);
    let store = open::to_examine(args, file.clone())?;
    let progress = Progress::of("verifying", "");
    let verified = store.verify()?;
    drop(progress);
    heard(places(&verified, output).and_then(|()| output.flush()))?;
    let keys = verified.damage.iter().map(|affected| affected.keys).sum();
    let live = text::count(verified.live);
    let is_of_one_record = |affected: &Affected| affected.damage.one_record;
    if keys == 0 && !verified.damage.is_empty() && verified.damage.iter().all(is_of_one_record) {
        return Err(Failure::Damaged(format!(
            "`{name}` is damaged in {} that no key needs: nothing is lost, {live} can be read; try: shelflife compact \
             {command_word}",
            counted(verified.damage.len() as u64, "place")
        )));
    }
    if !verified.damage.is_empty() {
        let mut new = file.clone();
        new.push(".new");
        let places = counted(verified.damage.len() as u64, "place");
        let keys = counted(keys, "key");
        let lost = match verified.damage.iter().all(is_of_one_record) {
            true => format!("{keys} lost"),
            false => format!("{keys} lost and possibly more"),
        };
        return Err(Failure::Damaged(format!(
            "`{name}` is damaged in {places}, {lost}, {live} can be read; try: shelflife salvage {command_word} -o {}",
            shell_word(&new),
        )));
    }
    if !verified.is_sound() {
        return Err(Failure::Damaged(format!(
            "`{name}` has lost one copy of its header and no data; try: shelflife compact {command_word}"
        )));
    }
    output.line(&format!(
        "ok: {} records, {live} live",
        text::count(verified.records)
    ))
}

fn places(verified: &Verified, output: &mut Output) -> Result<()> {
    if !verified.damage.is_empty() || !verified.bad_header_copies.is_empty() {
        output.header(&["STATE", "OFFSET", "BYTES", "REACH", "KEY"]);
    }
    for affected in &verified.damage {
        let damage = &affected.damage;
        output.row(fields([
            "damaged",
            &format!("{:#x}", damage.offset),
            &damage.len_bytes.to_string(),
            match damage.one_record {
                true => "one record",
                false => "unknown",
            },
            &affected.key().map_or("-".to_string(), shown),
        ]))?;
    }
    for offset in &verified.bad_header_copies {
        output.row(fields([
            "damaged",
            &format!("{offset:#x}"),
            "4096",
            "header copy",
            "-",
        ]))?;
    }
    if let Some(torn) = &verified.torn_tail {
        let (offset, len) = (format!("{:#x}", torn.offset), torn.len_bytes.to_string());
        output.row(fields(["torn tail", &offset, &len, "-", "-"]))?;
    }
    Ok(())
}

pub(crate) const SALVAGE: Command = Command {
    name: "salvage",
    operands: "F",
    options: &[
        Opt::taking("-o", "NEW", "the file to create"),
        Opt::flag(
            "--in-place",
            "put it in the place of F, which is kept beside it",
        ),
        Opt::flag("--older", "print what lost keys had before, for load"),
        WAIT,
    ],
    about: "copy what can be read of a damaged store to a new file",
    examples: [
        "shelflife salvage notes.shelf -o notes.new",
        "shelflife salvage notes.shelf --in-place --older > older.jsonl",
    ],
    notes: "A line for each key of which the newest value is damaged: `lost`, where, its key, and whether an older\n\
            value survives. That one is not in NEW, since it is outdated: --older prints those values instead, as\n\
            lines for load. A line `uncertain` for each key that is in NEW and may be outdated, and a line\n\
            `unknown` for each damaged place of which nobody knows what stood there. Exit code 3 if there is any.",
    run: salvage,
};

fn salvage(args: &mut Args, output: &mut Output) -> Result<()> {
    let to = args.value("-o").map(ToOwned::to_owned);
    if to.is_some() == args.has("--in-place") {
        return Err(args.wrong("give one of -o and --in-place"));
    }
    let file = args.required("F")?;
    let name = text::escape(file.as_encoded_bytes());
    let saved_to = to
        .as_ref()
        .map_or(name.clone(), |to| text::escape(to.as_encoded_bytes()));
    broom::wait_beside(to.as_ref().unwrap_or(&file));
    let store = open::to_examine(args, file)?;
    let progress = Progress::of("salvaging", "");
    let salvaged = match to {
        Some(to) => store.salvage(to)?,
        None => store.salvage_in_place()?,
    };
    drop(progress);
    let listed = match args.has("--older") {
        true => older(&salvaged, output),
        false => report(&salvaged, output),
    };
    let saved = counted(salvaged.entries, "key");
    say(&format!("saved {saved} to `{saved_to}`"));
    if let Some(kept) = &salvaged.kept {
        say(&format!("the file as it was is `{}`", kept.display()));
    }
    heard(listed.and_then(|()| output.flush()))?;
    let unknown = unknown(&salvaged).count() as u64;
    let known = match (salvaged.lost.len() as u64, salvaged.uncertain.len() as u64) {
        (0, 0) if unknown == 0 => return Ok(()),
        (lost, uncertain) => format!(
            "{} lost and {} uncertain",
            counted(lost, "key"),
            counted(uncertain, "key"),
        ),
    };
    Err(Failure::Damaged(match unknown {
        0 => format!("of `{name}`, {known}"),
        _ => format!(
            "of `{name}`, {known}, and what stood in {} is unknown",
            counted(unknown, "place")
        ),
    }))
}

/// Damage of which not even the key is known.
fn unknown(salvaged: &Salvaged) -> impl Iterator<Item = &Damage> {
    salvaged.damage.iter().filter(|damage| !damage.one_record)
}

fn report(salvaged: &Salvaged, output: &mut Output) -> Result<()> {
    for lost in &salvaged.lost {
        let older = if lost.older().is_some() {
            "older value"
        } else {
            "-"
        };
        let key = lost.key().map_or("-".to_string(), shown);
        output.row(fields([
            "lost",
            &format!("{:#x}", lost.offset),
            &key,
            older,
        ]))?;
    }
    for damage in unknown(salvaged) {
        output.row(fields([
            "unknown",
            &format!("{:#x}", damage.offset),
            "-",
            "-",
        ]))?;
    }
    let mut uncertain = salvaged.uncertain.iter();
    uncertain.try_for_each(|key| output.row(fields(["uncertain", "-", &shown(key), "-"])))
}

fn older(salvaged: &Salvaged, output: &mut Output) -> Result<()> {
    let mut older = salvaged.lost.iter().filter_map(|lost| lost.older());
    older.try_for_each(|entry| output.line(&lines::line_of(entry, false).0))
}

fn fields<const N: usize>(fields: [&str; N]) -> Vec<String> {
    fields.map(str::to_string).into()
}
