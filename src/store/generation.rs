//! One file with everything known about it: its header, its tail, its index and what of it is on disk.
//!
//! A switch replaces the whole object, so that nothing learnt about one file can be applied to another.
//!
//! Records reach the index in one way only, `apply_one` in `replay.rs`, whether they are replayed or were just written.
//! It runs under the mutex of [`Position`], which no thread holds while it waits for the operating system's lock.

use super::commit::Commit;
use super::disk::Stat;
use super::format::{ALIGN, FileHeader, HEAD_BYTES, Head, Kind, LOG_START};
use super::hash::siphash13;
use super::index::{Index, Location};
use super::log::{LogFile, Scanner, Step};
use super::poison::lock_of;
use super::recovery::{Damage, Recovery, TornTail};
use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard};

/// Records that are measured to estimate how many there are: their mean length is within some 2 % of that of all.
const SAMPLED_RECORDS: u64 = 1_000;
/// The most keys for which room is made ahead, 250 MB: most of a long file may stand behind its log, and be no records.
const RESERVED_KEYS_MAX: u64 = 1 << 24;

mod find;
mod header;
mod moves;
pub(crate) mod past;
mod read_ahead;
mod replay;
mod verdict;

pub(crate) use find::Found;
use moves::Moves;
use past::Past;

#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) log: LogFile,
    pub(crate) header: FileHeader,
    /// Which file this is, to be compared with what stands at the path.
    pub(crate) identity: Stat,
    /// The offset of a copy of the file header that does not count, if there is one.
    pub(crate) bad_header_copy: Option<u64>,
    pub(crate) crossing: Crossing,
    /// A number that this process gave to no other reading of a file.
    pub(crate) reading: u64,
    /// The furthest tail that this process saw before it read the file anew: the kernel may have dropped pages since.
    pub(crate) reached: u64,
    /// Written by `apply_one`, with the mutex of `position`; readers look at it without, and compare keys.
    pub(crate) index: Index,
    pub(crate) commit: Commit,
    /// Whether this process has synced the directory since it adopted the file. Another process' rename may still be
    /// undone by a power cut, and with it everything acknowledged here. Set by any thread that synced it, without a lock;
    /// a thread that reads it stale syncs once more.
    pub(crate) directory_synced: AtomicBool,
    /// The tail when this process last held the lock: what a sync that starts now is sure to cover. Written with the
    /// lock; a sync that reads it stale covers less, and is credited with less.
    pub(crate) written: AtomicU64,
    /// Records up to here were synced, and after that the path was seen to lead to the file. Raised by the thread that
    /// led the sync, after such a look; a thread that reads it stale looks once more.
    pub(crate) seen_at_its_path: AtomicU64,
    /// Whether this process has written anew whatever others had written and nobody called durable, since it opened
    /// the file. Set with the lock, and read with it.
    pub(crate) rewritten: AtomicBool,
    /// Whether the last call of `follow` with this file failed: the path leads elsewhere, or could not be looked at.
    /// Written by each thread that looks, most of them without the lock; an applicant that reads it stale looks once
    /// more, or one call later.
    pub(crate) displaced: AtomicBool,
    /// Taken for as long as records are applied, never while waiting for the lock.
    position: Mutex<Position>,
    /// A copy of `position.tail`. Written with that mutex; a reader that reads it stale replays, and finds nothing to do.
    tail: AtomicU64,
    /// How many keys the index had at that tail. Written with the mutex of `position`; `len` may read it stale.
    keys: AtomicU64,
    /// A [`Standing`]. Written with the mutex of `position`, and raised without by a thread whose sync failed; an
    /// applicant reads it with the lock, a reader may read it stale and looks at the path one call later.
    standing: AtomicU8,
    /// Records below this offset may be outdated: damage behind them hides what became of their keys. 0: none may.
    /// Written with the mutex of `position`; a reader of a store that others damage meanwhile may read it stale.
    outdated_below: AtomicU64,
}

/// The state of a file besides its records. Any thread may raise it, in this order. Only from `Doubtful` does it fall, to
/// `Sound`: by a replay, or by a writer that applies its own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Standing {
    /// Its tail is clean, and no note sends a process to its path.
    Sound,
    /// Another file may have taken this one's place: this one was retired, or its tail has to be repaired.
    Doubtful,
    /// A sync of it failed, in this process or, by a note in it, in another.
    Condemned,
    /// It holds no log yet: its creation was cut short.
    Unborn,
}

impl Standing {
    pub(crate) const ALL: [Standing; 4] = [
        Standing::Sound,
        Standing::Doubtful,
        Standing::Condemned,
        Standing::Unborn,
    ];
}

/// How far the log is replayed.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// The end of the last record that counts.
    pub(crate) tail: u64,
    pub(crate) epoch: u16,
    /// The last record that counts: proof that this is still the file it was.
    last: Option<Last>,
    /// A note says that a sync of this file failed.
    pub(crate) condemned: bool,
    pub(crate) end: End,
    pub(crate) damage: Vec<Damage>,
    /// Bytes of records by the time of their end.
    pub(crate) past: Past,
    /// How many records count, those included of which only the head verifies.
    pub(crate) records: u64,
    /// Where a replay surveyed last, and how long the file was: a reader surveys once for each length.
    surveyed: Option<(u64, u64)>,
    /// Moves of records before the tail that the index does not have yet: a replay that holds the mutex has collected
    /// them, or a failed read kept them out.
    unmade: Moves,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    offset: u64,
    checks: u64,
    kind: Kind,
}

/// A place where a record ends, and the checks of that record: proof that it is still the same log up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) end: u64,
    /// Where that record begins; 0 if none is known.
    pub(crate) last: u64,
    pub(crate) checks: u64,
}

/// The bytes behind the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    /// Bytes that do not count: a record being written, a torn one, damage to one not known to be durable, or zeros, if
    /// the file system wrote the new length before the bytes.
    Torn {
        /// Valid records stand behind those bytes.
        records_behind: bool,
    },
}

/// The right with which a thread replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Others may be writing meanwhile.
    Unlocked,
    /// With the operating system's lock: what stands there is all there is.
    Locked,
}

/// The damage that a replay goes on behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// No damage but that of single records: what stands before it can be relied on.
    Nothing,
    /// Damage of unknown extent below the watermark: what stands before it may be outdated.
    Damage,
    /// Torn places as well, if records stand behind them: whatever can be had.
    Everything,
}

/// The answer of a proof of the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Same,
    /// The last record applied is not there any more: something was put over the file.
    Different,
}

impl Position {
    pub(crate) fn start(header: &FileHeader) -> Position {
        Position {
            tail: LOG_START,
            epoch: header.epoch,
            last: None,
            condemned: false,
            end: End::Clean,
            damage: Vec::new(),
            past: Past::new(),
            records: 0,
            surveyed: None,
            unmade: Moves::default(),
        }
    }

    /// The tail, with what proves it.
    pub(crate) fn mark(&self) -> Mark {
        let (last, checks) = self.last.map_or((0, 0), |last| (last.offset, last.checks));
        Mark {
            end: self.tail,
            last,
            checks,
        }
    }

    /// Whether the last record calls everything before it durable.
    pub(crate) fn is_sealed(&self) -> bool {
        self.last.is_some_and(|last| last.kind == Kind::Seal)
    }

    /// The tail, without the note that another file takes this one's place.
    pub(crate) fn end_of_changes(&self) -> u64 {
        match &self.last {
            Some(last) if self.is_retired() => last.offset,
            _ => self.tail,
        }
    }

    /// Whether a new file was about to take this one's place when the last record was written.
    pub(crate) fn is_retired(&self) -> bool {
        self.last.is_some_and(|last| last.kind == Kind::Retired)
    }
}

impl Generation {
    /// A file that is not replayed yet, or whose index was built while it was written.
    pub(crate) fn new(
        log: LogFile,
        header: FileHeader,
        identity: Stat,
        index: Index,
        position: Position,
    ) -> Generation {
        static READINGS: AtomicU64 = AtomicU64::new(1);
        Generation {
            reading: READINGS.fetch_add(1, Relaxed),
            commit: Commit::new(header.base),
            tail: AtomicU64::new(position.tail),
            keys: AtomicU64::new(index.len()),
            written: AtomicU64::new(0),
            standing: AtomicU8::new(Standing::Sound as u8),
            outdated_below: AtomicU64::new(0),
            directory_synced: AtomicBool::new(false),
            seen_at_its_path: AtomicU64::new(0),
            rewritten: AtomicBool::new(false),
            displaced: AtomicBool::new(false),
            bad_header_copy: None,
            crossing: Crossing::Nothing,
            reached: 0,
            position: Mutex::new(position),
            log,
            header,
            identity,
            index,
        }
    }

    pub(crate) fn open(log: LogFile, crossing: Crossing) -> Result<Option<Generation>> {
        let Some((header, bad_copy)) = Generation::read_header(&log)? else {
            return Ok(None);
        };
        let mut opened = Generation::read(log, header, crossing, 0)?;
        opened.bad_header_copy = bad_copy;
        Ok(Some(opened))
    }

    /// Reads the whole log of a file whose header is known. The caller vouches that an earlier reading counted all
    /// records up to `below`: one that does not verify there is damaged, and not torn.
    pub(crate) fn read(
        log: LogFile,
        header: FileHeader,
        crossing: Crossing,
        below: u64,
    ) -> Result<Generation> {
        let identity = log.stat()?;
        let position = Position::start(&header);
        let mut opened = Generation::new(log, header, identity, Index::new(), position);
        opened.commit.credit(below);
        opened.crossing = crossing;
        opened.reserve(identity.size_bytes)?;
        opened.replay(&mut opened.position(), Access::Unlocked)?;
        opened.index.fit();
        Ok(opened)
    }

    /// Makes room in the index for what a file of this size holds if all its records are like the first ones.
    fn reserve(&self, file_bytes: u64) -> Result<()> {
        let mut scanner = Scanner::short(&self.log, self.header.seed, LOG_START);
        let (mut records, mut sampled_bytes) = (0, 0);
        while records < SAMPLED_RECORDS
            && let Step::Record { head, .. } = scanner.step()?
        {
            records += 1;
            sampled_bytes += head.record_bytes();
        }
        if let Some(record_bytes) = sampled_bytes.checked_div(records) {
            let log_bytes = file_bytes.saturating_sub(LOG_START);
            self.index
                .reserve((log_bytes / record_bytes.max(1)).min(RESERVED_KEYS_MAX));
        }
        Ok(())
    }

    /// Stands for a file whose creation was cut short: it holds nothing, and gives way to a real one.
    pub(crate) fn unborn(log: LogFile) -> Result<Generation> {
        let header = FileHeader {
            epoch: 0,
            seed: 0,
            hash_key: [0; 16],
            lineage: [0; 16],
            generation: 0,
            base: LOG_START,
            created_ms: 0,
        };
        let identity = log.stat()?;
        let position = Position::start(&header);
        let unborn = Generation::new(log, header, identity, Index::new(), position);
        unborn.raise(Standing::Unborn);
        Ok(unborn)
    }

    pub(crate) fn is_unborn(&self) -> bool {
        self.standing() == Standing::Unborn
    }

    /// Whether a file with this header is a successor of this one.
    pub(crate) fn is_before(&self, there: &FileHeader) -> bool {
        self.is_unborn()
            || (there.lineage == self.header.lineage && there.generation > self.header.generation)
    }

    /// Where the log begins to tell what happened: before it stand the records that the file was made with. `None` if
    /// it tells everything since the store was created.
    pub(crate) fn dropped_before(&self) -> Option<u64> {
        let FileHeader {
            generation, base, ..
        } = self.header;
        (generation > 1 || base > LOG_START).then_some(base)
    }

    /// Adds what reading the file showed to what is known already.
    pub(crate) fn add_findings(&self, recovery: &mut Recovery) {
        recovery.bad_header_copy = recovery.bad_header_copy.or(self.bad_header_copy);
        for damage in &self.position().damage {
            if !recovery.damage.contains(damage) {
                recovery.damage.push(damage.clone());
            }
        }
    }

    pub(crate) fn position(&self) -> MutexGuard<'_, Position> {
        lock_of(&self.position)
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail.load(Acquire)
    }

    /// Waits until what this process has written is in the index, all of a batch or nothing. A reader that looks at the
    /// length of the file need not wait: it applies what is not applied yet.
    ///
    /// # Errors
    ///
    /// `Io` where a read failed by which the index would have told two keys apart; the next call tries it again.
    #[inline]
    pub(crate) fn wait_for_apply(&self) -> Result<()> {
        match self.written.load(Acquire) > self.tail() {
            true => self.apply(&[]),
            false => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn standing(&self) -> Standing {
        let standing = usize::from(self.standing.load(Acquire));
        Standing::ALL
            .get(standing)
            .copied()
            .unwrap_or(Standing::Doubtful)
    }

    pub(crate) fn is_condemned(&self) -> bool {
        self.standing() == Standing::Condemned
    }

    pub(crate) fn end(&self) -> End {
        self.position().end
    }

    pub(crate) fn condemn(&self) {
        self.raise(Standing::Condemned);
    }

    fn raise(&self, standing: Standing) {
        self.standing.fetch_max(standing as u8, AcqRel);
    }

    /// Sets the standing that a replay showed; a file that is condemned or unborn stays so.
    fn settle(&self, standing: Standing) {
        let _ = self.standing.fetch_update(AcqRel, Acquire, |known| {
            (known <= Standing::Doubtful as u8).then_some(standing as u8)
        });
    }

    /// Whether the file has lost its last name. If it is mounted by itself, its path leads to it all the same, and what
    /// is written there is lost with the mount. Some file systems count no names: there a retired file is nameless.
    pub(crate) fn is_nameless(&self, now: &Stat) -> bool {
        now.links == 0 && (self.identity.links > 0 || self.position().is_retired())
    }

    pub(crate) fn outdated_below(&self) -> u64 {
        self.outdated_below.load(Acquire)
    }

    pub(crate) fn outdated(&self, offset: u64) -> Error {
        let what = "damage behind this place may have outdated what is read here";
        self.log.corrupt(offset, what)
    }

    /// The bytes behind the tail, if there are any.
    pub(crate) fn torn_tail(&self) -> Result<Option<TornTail>> {
        let position = self.position();
        if position.end == End::Clean {
            return Ok(None);
        }
        let size_bytes = self.log.size()?;
        Ok(Some(TornTail {
            offset: position.tail,
            len_bytes: size_bytes.saturating_sub(position.tail),
            evidence: None,
            not_kept: None,
        }))
    }

    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.tail().saturating_sub(self.commit.durable())
    }

    /// How many keys the log has up to the tail that was published last, so that half a batch never shows. Waits for
    /// nobody.
    pub(crate) fn keys(&self) -> u64 {
        self.keys.load(Acquire)
    }

    pub(crate) fn fingerprint(&self, key: &[u8]) -> u32 {
        fingerprint(&self.header, key)
    }

    /// Follows what others wrote, without a lock. Costs one look at the file's length when there is nothing new.
    #[inline]
    pub(crate) fn look(&self) -> Result<()> {
        let tail = self.tail();
        match self.log.size()? <= tail {
            true => Ok(()),
            false => self.look_closer(),
        }
    }

    #[cold]
    fn look_closer(&self) -> Result<()> {
        self.replay(&mut self.position(), Access::Unlocked)
    }

    /// Whether the file has records and ends at the tail. That shows only that nobody put a file of another length over
    /// it.
    pub(crate) fn ends_at_its_tail(&self) -> Result<bool> {
        let tail = self.tail();
        Ok(tail > LOG_START && self.log.size()? == tail)
    }

    /// Compares what stands at the end of the log with what was applied last, and applies what was written since.
    /// The caller holds the operating system's lock.
    pub(crate) fn prove(&self) -> Result<Proof> {
        let mut position = self.position();
        let tail = position.tail;
        if position.last.is_none() && !self.has_its_header()? {
            return Ok(Proof::Different);
        }
        // One read for both questions when the last record is small, as it usually is.
        let mut bytes = [0; 1024];
        let (from, checks) = (position.last).map_or((tail, 0), |last| (last.offset, last.checks));
        let spanned = usize::try_from(tail - from).unwrap_or(usize::MAX);
        let behind = if spanned <= bytes.len() - HEAD_BYTES {
            let both = bytes.get_mut(..spanned + HEAD_BYTES).unwrap_or_default();
            let read = self.log.read_at_least(spanned, both, from)?;
            if read < spanned || (spanned > 0 && !starts_with_checks(&bytes, checks)) {
                return Ok(Proof::Different);
            }
            read > spanned
        } else {
            let read = self
                .log
                .read_up_to(bytes.get_mut(..HEAD_BYTES).unwrap_or_default(), from)?;
            if read < HEAD_BYTES || !starts_with_checks(&bytes, checks) {
                return Ok(Proof::Different);
            }
            let size_bytes = self.log.size()?;
            if size_bytes < tail {
                return Ok(Proof::Different);
            }
            size_bytes > tail
        };
        if behind || position.end != End::Clean || !position.unmade.is_empty() {
            self.replay(&mut position, Access::Locked)?;
        }
        // A sync is credited with what others wrote only once that is rewritten.
        if self.rewritten.load(Acquire) {
            self.written.store(position.tail, Release);
        }
        Ok(Proof::Same)
    }

    /// Whether the last record applied is still there. Without a lock, so "no" may also mean that something is being put
    /// over the file this very moment.
    pub(crate) fn is_still_there(&self) -> Result<bool> {
        let last = self.position().last;
        match last {
            Some(Last { offset, checks, .. }) => Ok(self.checks_at(offset)? == Some(checks)),
            None => self.has_its_header(),
        }
    }

    /// Whether the file begins with the header that this process read: where no record was applied, there is nothing
    /// else to compare.
    fn has_its_header(&self) -> Result<bool> {
        let there = Generation::read_header(&self.log)?.map(|(header, _)| header);
        let ours = (!self.is_unborn()).then_some(self.header);
        Ok(there == ours)
    }

    /// The checks of the record at a place; `None` if the file ends before.
    pub(crate) fn checks_at(&self, offset: u64) -> Result<Option<u64>> {
        let mut bytes = [0; 8];
        let read = self.log.read_up_to(&mut bytes, offset)?;
        Ok((read == bytes.len()).then(|| u64::from_le_bytes(bytes)))
    }
}

pub(crate) fn fingerprint(header: &FileHeader, key: &[u8]) -> u32 {
    let fingerprint = siphash13(&header.hash_key, key) as u32;
    #[cfg(test)]
    let fingerprint = fingerprint & super::collisions::MASK.get();
    fingerprint
}

fn starts_with_checks(bytes: &[u8], checks: u64) -> bool {
    bytes
        .first_chunk()
        .is_some_and(|first| u64::from_le_bytes(*first) == checks)
}
