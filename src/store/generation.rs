//! One file with everything known about it: its header, its tail, its index and what of it is on disk.
//!
//! A switch replaces the whole object, so that nothing learnt about one file can be applied to another.
//!
//! Records reach the index in one way only, [`Generation::apply`], whether they are replayed or were just written. It
//! runs under the mutex of [`Position`], which is never held while waiting for the operating system's lock.

use super::commit::Commit;
use super::disk::Stat;
use super::format::{ALIGN, FileHeader, HEAD_BYTES, Head, HeaderRead, Kind, LOG_START};
use super::hash::siphash13;
use super::index::{Candidates, Index, Location, Move, SHARDS, shard_of};
use super::lock_of;
use super::log::{LogFile, Scanner, Step};
use super::recovery::{Damage, TornTail};
use super::spans::Spans;
use crate::error::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard};

/// Room is made ahead for so many keys: a file may be long because it ends in zeros.
const RESERVED_KEYS_MAX: u64 = 1 << 22;

#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) log: LogFile,
    pub(crate) header: FileHeader,
    /// Which file this is, to be compared with what stands at the path.
    pub(crate) identity: Stat,
    /// A copy of the file header that does not verify.
    pub(crate) bad_header_copy: Option<u64>,
    crossing: Crossing,
    pub(crate) index: Index,
    pub(crate) commit: Commit,
    /// Whether this process has synced the directory since it adopted the file. Somebody else's rename may still be
    /// undone by a power cut, and with it everything acknowledged here.
    pub(crate) directory_synced: AtomicBool,
    /// The tail when this process last held the lock: what a sync that starts now is sure to cover.
    pub(crate) written: AtomicU64,
    /// It was not at its path any more when that was last looked at.
    pub(crate) displaced: AtomicBool,
    /// No compaction starts by itself before the tail is here.
    pub(crate) compaction_backoff: AtomicU64,
    position: Mutex<Position>,
    /// Copies of fields of `position`, to be looked at without its mutex.
    tail: AtomicU64,
    condemned: AtomicBool,
    /// Another file may have taken this one's place: it was retired or condemned, or its tail has to be repaired.
    doubtful: AtomicBool,
    /// Records below may be outdated: what follows them could not be read. 0 if all could.
    outdated_below: AtomicU64,
}

/// How far the log is replayed.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// The end of the last record that counts.
    pub(crate) tail: u64,
    pub(crate) epoch: u16,
    /// Offset and checks of the last record that counts: proof that this is still the file it was.
    pub(crate) last: Option<(u64, u64)>,
    /// The largest `durable` seen: below it nothing can be a crash's doing.
    pub(crate) durable: u64,
    pub(crate) sealed: bool,
    pub(crate) retired: bool,
    pub(crate) condemned: bool,
    pub(crate) end: End,
    pub(crate) damage: Vec<Damage>,
    /// How many records count, those included of which only the head verifies.
    pub(crate) records: u64,
    /// File size at which the bytes behind the tail were last surveyed, so that a reader does so once.
    surveyed: Option<(u64, u64)>,
}

/// What stands behind the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing, or zeros.
    Clean,
    /// Bytes that do not count: a record being written, a torn one, or damage to one not known to be durable.
    Torn {
        /// Valid records stand behind those bytes.
        records_behind: bool,
    },
}

/// Who replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Others may be writing meanwhile.
    Unlocked,
    /// With the operating system's lock: what stands there is all there is.
    Locked,
}

/// What a replay goes on behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// No damage but that of single records: what stands before it can be relied on.
    Nothing,
    /// Damage of unknown extent below the watermark: what stands before it may be outdated.
    Damage,
    /// Torn places as well, if records stand behind them: whatever can be had.
    Everything,
}

/// What proving the tail showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Same,
    /// The last record applied is not there any more: something was put over the file.
    Different,
}

/// A record and its bytes behind the fixed part.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) at: Location,
    /// `None` if it does not verify.
    pub(crate) head: Option<Head>,
    /// Whether it has the very key; otherwise it is damaged, and may have had it.
    pub(crate) is_exact: bool,
}

impl Position {
    pub(crate) fn start(header: &FileHeader) -> Position {
        Position {
            tail: LOG_START,
            epoch: header.epoch,
            last: None,
            durable: header.base,
            sealed: false,
            retired: false,
            condemned: false,
            end: End::Clean,
            damage: Vec::new(),
            records: 0,
            surveyed: None,
        }
    }

    /// Whether a record may follow the one before.
    fn accepts(&self, head: &Head) -> bool {
        match head.kind {
            _ if sabotaged!(IgnoreEpoch) => true,
            Kind::Cut => Some(head.epoch) == self.epoch.checked_add(1),
            _ => head.epoch == self.epoch,
        }
    }
}

impl Generation {
    /// Reads the header of a file; `None` if its creation was cut short.
    pub(crate) fn read_header(log: &LogFile) -> Result<Option<(FileHeader, Option<u64>)>> {
        let mut start = vec![0; LOG_START as usize];
        let filled = log.read_up_to(&mut start, 0)?;
        let file_bytes = log.stat()?.size_bytes;
        let what = match FileHeader::decode(start.get(..filled).unwrap_or_default(), file_bytes) {
            HeaderRead::Header(header, bad_copy) => return Ok(Some((header, bad_copy))),
            HeaderRead::Unborn => return Ok(None),
            HeaderRead::Damaged => {
                return Err(log
                    .corrupt(0, "neither copy of the file header verifies")
                    .advise("without one no record can be told from garbage, restore a backup"));
            }
            HeaderRead::Newer => (
                ErrorKind::NewerVersion,
                "was written by a newer version",
                "update shelflife to open it",
            ),
            HeaderRead::Foreign => (
                ErrorKind::NotAStore,
                "is not a shelflife store",
                "check the path; nothing was changed",
            ),
        };
        let (kind, what, advice) = what;
        Err(Error::new(kind, format!("`{}` {what}", log.path.display()))
            .at(&log.path)
            .advise(advice))
    }

    /// A file that is not replayed yet, or whose index was built while it was written.
    pub(crate) fn new(
        log: LogFile,
        header: FileHeader,
        identity: Stat,
        index: Index,
        position: Position,
    ) -> Generation {
        Generation {
            commit: Commit::new(position.durable),
            tail: AtomicU64::new(position.tail),
            written: AtomicU64::new(0),
            doubtful: AtomicBool::new(false),
            condemned: AtomicBool::new(false),
            outdated_below: AtomicU64::new(0),
            directory_synced: AtomicBool::new(sabotaged!(TrustOthersDirectorySync)),
            displaced: AtomicBool::new(false),
            compaction_backoff: AtomicU64::new(0),
            bad_header_copy: None,
            crossing: Crossing::Nothing,
            position: Mutex::new(position),
            log,
            header,
            identity,
            index,
        }
    }

    /// Reads the whole log.
    pub(crate) fn open(log: LogFile, crossing: Crossing) -> Result<Option<Generation>> {
        let Some((header, bad_copy)) = Generation::read_header(&log)? else {
            return Ok(None);
        };
        let mut opened = Generation::read(log, header, crossing, 0)?;
        opened.bad_header_copy = bad_copy;
        Ok(Some(opened))
    }

    /// Reads the whole log of a file whose header is known. Whatever was there `below` counted once, by the word of one
    /// who has read it.
    pub(crate) fn read(
        log: LogFile,
        header: FileHeader,
        crossing: Crossing,
        below: u64,
    ) -> Result<Generation> {
        let identity = log.stat()?;
        let mut position = Position::start(&header);
        position.durable = position.durable.max(below);
        let mut opened = Generation::new(log, header, identity, Index::new(), position);
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
        while records < 100
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

    pub(crate) fn position(&self) -> MutexGuard<'_, Position> {
        lock_of(&self.position)
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail.load(Acquire)
    }

    /// Waits until what this process has written is in the index, all of a batch or nothing. A reader who looks at the
    /// tail needs no such wait: what is not applied yet stands there.
    #[inline]
    pub(crate) fn wait_for_apply(&self) {
        if self.written.load(Acquire) > self.tail() {
            drop(self.position());
        }
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Acquire)
    }

    pub(crate) fn is_condemned(&self) -> bool {
        self.condemned.load(Acquire)
    }

    /// Lets every operation look at the path.
    pub(crate) fn doubt(&self) {
        self.doubtful.store(true, Release);
    }

    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Release);
        self.doubtful.store(true, Release);
    }

    pub(crate) fn outdated_below(&self) -> u64 {
        self.outdated_below.load(Acquire)
    }

    /// What stands behind the tail, if it is not nothing.
    pub(crate) fn torn_tail(&self) -> Result<Option<TornTail>> {
        let position = self.position();
        if position.end == End::Clean {
            return Ok(None);
        }
        let size_bytes = self.log.stat()?.size_bytes;
        Ok(Some(TornTail {
            offset: position.tail,
            len_bytes: size_bytes.saturating_sub(position.tail),
            evidence: None,
        }))
    }

    /// Bytes of the log that no key needs any more.
    pub(crate) fn dead_bytes(&self) -> u64 {
        (self.tail() - LOG_START).saturating_sub(self.index.live_bytes())
    }

    pub(crate) fn fingerprint(&self, key: &[u8]) -> u32 {
        fingerprint(&self.header, key)
    }

    /// Follows what others wrote, without a lock. Costs one read of a few bytes when there is nothing new.
    #[inline]
    pub(crate) fn look(&self) -> Result<()> {
        let tail = self.tail();
        let mut fixed = [0; HEAD_BYTES];
        let read = self.log.read_up_to(&mut fixed, tail)?;
        if read == 0 || fixed == [0; HEAD_BYTES] {
            Ok(())
        } else {
            self.look_closer()
        }
    }

    #[cold]
    fn look_closer(&self) -> Result<()> {
        self.replay(&mut self.position(), Access::Unlocked)
    }

    /// Compares what stands at the end of the log with what was applied last, and applies what was written since.
    /// The caller holds the operating system's lock.
    pub(crate) fn prove(&self) -> Result<Proof> {
        if sabotaged!(AppendWithoutProof) {
            return Ok(Proof::Same);
        }
        let mut position = self.position();
        let tail = position.tail;
        if position.last.is_none() {
            // Nothing was applied that could be compared but the header.
            let there = Generation::read_header(&self.log)?.map(|(header, _)| header);
            let ours = (self.header.generation != 0).then_some(self.header);
            if there != ours {
                return Ok(Proof::Different);
            }
        }
        // One read for both questions when the last record is small, as it usually is.
        let mut bytes = [0; 1024];
        let (from, checks) = position.last.unwrap_or((tail, 0));
        let spanned = (tail - from) as usize;
        let behind = if spanned + HEAD_BYTES <= bytes.len() {
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
            let size_bytes = self.log.stat()?.size_bytes;
            if size_bytes < tail {
                return Ok(Proof::Different);
            }
            size_bytes > tail
        };
        if behind || position.end != End::Clean {
            self.replay(&mut position, Access::Locked)?;
        }
        self.written.store(position.tail, Release);
        Ok(Proof::Same)
    }

    /// Whether the last record applied is still there. Without a lock, so "no" may also mean that something is being put
    /// over the file this very moment.
    pub(crate) fn is_still_there(&self) -> Result<bool> {
        let Some((offset, checks)) = self.position().last else {
            return Ok(true);
        };
        let mut bytes = [0; 8];
        let read = self.log.read_up_to(&mut bytes, offset)?;
        Ok(read == bytes.len() && starts_with_checks(&bytes, checks))
    }

    /// Applies what stands behind the position, batch by batch, and judges what stops it.
    fn replay(&self, position: &mut Position, access: Access) -> Result<()> {
        let short = self.log.stat()?.size_bytes.saturating_sub(position.tail) < 64 << 10;
        let scanner = if short { Scanner::short } else { Scanner::new };
        let mut scanner = scanner(&self.log, self.header.seed, position.tail);
        let mut replay = Replay {
            generation: self,
            batch: Vec::new(),
            damaged: Vec::new(),
            moves: Moves::new(!short),
        };
        let result = self.replay_with(&mut replay, &mut scanner, position, access);
        // Also after an error: what the position counts, the index has.
        let made = replay.moves.make(self);
        self.publish(position);
        result.and(made)
    }

    fn replay_with(
        &self,
        replay: &mut Replay<'_>,
        scanner: &mut Scanner<'_>,
        position: &mut Position,
        access: Access,
    ) -> Result<()> {
        // Made once somebody has to know.
        let mut survey: Option<Survey> = None;
        loop {
            let (offset, head) = match scanner.step()? {
                Step::Record { offset, head, .. } if position.accepts(&head) => {
                    replay.count(position, offset, &head)?;
                    continue;
                }
                Step::End => {
                    let end = scanner.offset();
                    if end < position.durable {
                        if self.crossing == Crossing::Nothing {
                            let what = "the file ends before what was acknowledged";
                            return Err(self.log.corrupt(end, what));
                        }
                        replay.cross(position, end, position.durable)?;
                    }
                    position.end = replay.end_behind();
                    return Ok(());
                }
                Step::BadBody { offset, head } if position.accepts(&head) => (offset, Some(head)),
                Step::Record { offset, .. }
                | Step::BadBody { offset, .. }
                | Step::Unverified { offset } => (offset, None),
            };
            let Some(survey) = &survey else {
                // A reader asks once for each length of the file, not at every look.
                let seen = (offset, self.log.stat()?.size_bytes);
                if access == Access::Unlocked && position.surveyed == Some(seen) {
                    return Ok(());
                }
                position.surveyed = Some(seen);
                scanner.seek(offset, true);
                if offset >= position.durable && scanner.only_zeros_follow()? {
                    position.end = replay.end_behind();
                    return Ok(());
                }
                survey = Some(Survey::new(scanner, offset, position)?);
                // It may have been read while it was being written. What tells that it is finished was read after it,
                // so what is read from here on is final.
                scanner.seek(offset, true);
                continue;
            };
            let final_below = match self.crossing {
                Crossing::Nothing | Crossing::Damage => survey.watermark,
                Crossing::Everything => survey.watermark.max(survey.last),
            };
            if offset >= final_below && sabotaged!(LeaveTheTornTail) {
                position.end = End::Clean;
                return Ok(());
            }
            if offset >= final_below {
                position.end = End::Torn {
                    records_behind: offset < survey.last,
                };
                return Ok(());
            }
            if let Some(head) = head {
                let damage = Damage::record(offset, head.record_bytes(), head.fingerprint);
                replay.damaged.push(damage);
                replay.count(position, offset, &head)?;
                continue;
            }
            if self.crossing == Crossing::Nothing {
                let what = "a record does not verify, and later ones were acknowledged";
                return Err(self.log.corrupt(offset, what));
            }
            scanner.seek(offset + ALIGN, false);
            let next = scanner.find_record(position.epoch)?;
            let to = match next {
                Some(_) => scanner.offset(),
                None => self.log.stat()?.size_bytes.max(survey.watermark),
            };
            replay.cross(position, offset, to)?;
            let Some(next) = next else { return Ok(()) };
            position.tail = to;
            position.epoch = next.epoch.saturating_sub(u16::from(next.kind == Kind::Cut));
        }
    }

    /// Takes records that were just appended into the index, and the tail behind them.
    pub(crate) fn apply(&self, records: &[(u64, Head)]) -> Result<()> {
        let mut position = self.position();
        let mut moves = Moves::new(false);
        for (offset, head) in records {
            self.apply_one(&mut position, &mut moves, *offset, head)?;
        }
        self.publish(&position);
        Ok(())
    }

    /// What a record that counts does, wherever it comes from. Skips what was applied already: a reader may have been
    /// faster than the writer.
    #[inline]
    fn apply_one(
        &self,
        position: &mut Position,
        moves: &mut Moves,
        offset: u64,
        head: &Head,
    ) -> Result<()> {
        if offset < position.tail {
            return Ok(());
        }
        let at = Location::new(offset, head.record_bytes());
        match head.kind {
            Kind::Put => moves.push(
                self,
                Move {
                    fingerprint: head.fingerprint,
                    prev: head.prev,
                    at,
                    puts: true,
                },
            )?,
            Kind::Delete if sabotaged!(DropDeletes) => {}
            Kind::Delete => moves.push(
                self,
                Move {
                    fingerprint: head.fingerprint,
                    prev: head.prev,
                    at,
                    puts: false,
                },
            )?,
            Kind::Clear if sabotaged!(DropClears) => {}
            Kind::Clear => {
                moves.make(self)?;
                self.index.clear();
                // Whatever was missed before is gone anyway.
                self.outdated_below.store(0, Release);
            }
            Kind::Seal
            | Kind::Cut
            | Kind::Retired
            | Kind::Condemned
            | Kind::Skippable(_)
            | Kind::Unknown(_) => {}
        }
        position.sealed = head.kind == Kind::Seal;
        position.retired = head.kind == Kind::Retired;
        position.condemned |= head.kind == Kind::Condemned;
        position.epoch = head.epoch;
        position.durable = position.durable.max(head.durable);
        position.last = Some((offset, head.checks()));
        position.tail = at.end();
        position.records += 1;
        position.end = End::Clean;
        Ok(())
    }

    /// Lets others see how far the position is.
    fn publish(&self, position: &Position) {
        self.tail.store(position.tail, Release);
        self.commit.credit(position.durable);
        self.condemned.fetch_or(position.condemned, AcqRel);
        let unborn = self.header.generation == 0;
        let doubtful =
            unborn || position.retired || position.end != End::Clean || self.is_condemned();
        self.doubtful.store(doubtful, Release);
    }

    /// Makes a move of which the index has no slot at `prev`, or none is to be trusted, by comparing keys.
    fn move_by_key(&self, step: &Move) -> Result<()> {
        let old = self.same_key(step.at.offset(), step.fingerprint)?;
        match (old, step.puts) {
            (Some(old), true) => _ = self.index.replace(step.fingerprint, old, step.at),
            (Some(old), false) => _ = self.index.remove(step.fingerprint, old),
            (None, true) => self.index.insert(step.fingerprint, step.at),
            (None, false) => {}
        }
        Ok(())
    }

    /// Where the index has the key of the record at `offset`, found by comparing keys: for a record whose `prev` does
    /// not lead to a slot.
    fn same_key(&self, offset: u64, fingerprint: u32) -> Result<Option<u64>> {
        let candidates = self.index.candidates(fingerprint);
        if candidates.iter().next().is_none() {
            return Ok(None);
        }
        let mut fixed = [0; HEAD_BYTES];
        self.log.read_up_to(&mut fixed, offset)?;
        let Some(head) = Head::decode(&fixed, self.header.seed, offset) else {
            return Err(self
                .log
                .corrupt(offset, "a record does not verify any more"));
        };
        let mut key = vec![0; usize::from(head.key_len)];
        let read = self.log.read_up_to(&mut key, offset + HEAD_BYTES as u64)?;
        if read < key.len() {
            return Err(self.log.corrupt(offset, "a record is cut short"));
        }
        Ok(self
            .find_among(&candidates, fingerprint, &key)?
            .map(|found| found.at.offset()))
    }

    /// The candidate whose key this is. Reads header and key only.
    ///
    /// A record that does not verify any more is taken for the key's when no other is: what follows replaces it, which
    /// heals it. It is passed over only if its key is sound and another one.
    pub(crate) fn find_among(
        &self,
        candidates: &Candidates,
        fingerprint: u32,
        key: &[u8],
    ) -> Result<Option<Found>> {
        let mut damaged = None;
        let mut small = [0; 256];
        let mut large = Vec::new();
        let wanted = HEAD_BYTES + key.len();
        let bytes = if wanted <= small.len() {
            small.get_mut(..wanted).unwrap_or_default()
        } else {
            large.resize(wanted, 0);
            &mut large
        };
        for at in candidates.iter() {
            let read = self.log.read_up_to(bytes, at.offset())?;
            let Some((fixed, stored)) = bytes
                .get(..read)
                .and_then(|bytes| bytes.split_first_chunk())
            else {
                damaged = Some(Found {
                    at,
                    head: None,
                    is_exact: false,
                });
                continue;
            };
            let head = Head::decode(fixed, self.header.seed, at.offset());
            match head {
                Some(head) if usize::from(head.key_len) != key.len() => {}
                Some(_) if stored == key => {
                    return Ok(Some(Found {
                        at,
                        head,
                        is_exact: true,
                    }));
                }
                Some(_) if self.fingerprint(stored) == fingerprint => {}
                head => {
                    damaged = Some(Found {
                        at,
                        head,
                        is_exact: false,
                    })
                }
            }
        }
        Ok(damaged)
    }

    /// As [`find_among`](Generation::find_among) for many keys with their fingerprints: where each stands, 0 for
    /// nowhere. Reads in log order, so that what was written together is read together.
    pub(crate) fn find_all(&self, keys: &[(u32, &[u8])]) -> Result<Vec<u64>> {
        let mut found = vec![0; keys.len()];
        let mut places = Vec::new();
        for (nth, (fingerprint, key)) in keys.iter().enumerate() {
            for at in self.index.candidates(*fingerprint).iter() {
                let wanted = (HEAD_BYTES + key.len()).next_multiple_of(ALIGN as usize) as u64;
                places.push((Location::new(at.offset(), wanted.min(at.len())), nth));
            }
        }
        places.sort_unstable();
        let mut spans = Spans::default();
        let mut rest = places.as_slice();
        while let Some((&(at, nth), upcoming)) = rest.split_first() {
            rest = upcoming;
            let Some(&(fingerprint, key)) = keys.get(nth) else {
                continue;
            };
            let record = spans.read(&self.log, at, upcoming.iter().map(|&(at, _)| at))?;
            let stored = record.split_first_chunk().and_then(|(fixed, rest)| {
                let head = Head::decode(fixed, self.header.seed, at.offset())?;
                rest.get(..usize::from(head.key_len))
            });
            if stored == Some(key) {
                found[nth] = at.offset();
            } else if found[nth] == 0 {
                // Another key's, or damaged: rare enough to look at on its own.
                let candidates = self.index.candidates(fingerprint);
                found[nth] = self
                    .find_among(&candidates, fingerprint, key)?
                    .map_or(0, |found| found.at.offset());
            }
        }
        Ok(found)
    }
}

/// A replay under way.
struct Replay<'a> {
    generation: &'a Generation,
    /// Records of a batch that is not finished.
    batch: Vec<(u64, Head)>,
    /// Damage that counts once its batch does.
    damaged: Vec<Damage>,
    moves: Moves,
}

impl Replay<'_> {
    /// Takes one record in: it counts at once, or with the last one of its batch.
    #[inline]
    fn count(&mut self, position: &mut Position, offset: u64, head: &Head) -> Result<()> {
        if head.is_newer() {
            let path = &self.generation.log.path;
            let what = format!(
                "`{}` was written to by a newer version, at offset {offset}",
                path.display()
            );
            return Err(Error::new(ErrorKind::NewerVersion, what)
                .at(path)
                .offset_at(offset)
                .advise("update shelflife to open it"));
        }
        if head.more() && !sabotaged!(CountHalfABatch) {
            self.batch.push((offset, *head));
            return Ok(());
        }
        self.take_batch(position)?;
        self.generation
            .apply_one(position, &mut self.moves, offset, head)
    }

    /// Takes in what was read of a batch so far.
    fn take_batch(&mut self, position: &mut Position) -> Result<()> {
        for (offset, head) in self.batch.drain(..) {
            self.generation
                .apply_one(position, &mut self.moves, offset, &head)?;
        }
        position.damage.append(&mut self.damaged);
        Ok(())
    }

    /// Goes on behind damage of unknown extent: what stands before it may be outdated.
    fn cross(&mut self, position: &mut Position, from: u64, to: u64) -> Result<()> {
        // A batch that was hit was finished once.
        self.take_batch(position)?;
        self.moves.make(self.generation)?;
        position
            .damage
            .push(Damage::unknown(from, to.saturating_sub(from)));
        self.generation.outdated_below.store(to, Release);
        Ok(())
    }

    /// What the tail is like when nothing follows: a batch that was not finished is torn all the same.
    fn end_behind(&self) -> End {
        if self.batch.is_empty() || sabotaged!(LeaveHalfABatch) {
            End::Clean
        } else {
            End::Torn {
                records_behind: false,
            }
        }
    }
}

/// Changes on their way into the index. A long replay collects them by shard, so that a shard's lock is taken and its
/// table brought into the cache once for many; those of one key stay in order, because they are in one shard.
struct Moves {
    shards: Vec<Vec<Move>>,
}

/// So many moves of one shard are made together: the lists of all shards then still fit in a core's cache.
const MOVES_TOGETHER: usize = 32;

impl Moves {
    fn new(collect: bool) -> Moves {
        let shards = if collect { SHARDS } else { 0 };
        Moves {
            shards: (0..shards)
                .map(|_| Vec::with_capacity(MOVES_TOGETHER))
                .collect(),
        }
    }

    #[inline]
    fn push(&mut self, generation: &Generation, step: Move) -> Result<()> {
        match self.shards.get_mut(shard_of(step.fingerprint)) {
            Some(some) => {
                some.push(step);
                if some.len() < MOVES_TOGETHER {
                    return Ok(());
                }
                let made = Moves::make_some(generation, some);
                some.clear();
                made
            }
            None => Moves::make_some(generation, &[step]),
        }
    }

    /// Makes all that were collected.
    fn make(&mut self, generation: &Generation) -> Result<()> {
        self.shards.iter_mut().try_for_each(|some| {
            let made = Moves::make_some(generation, some);
            some.clear();
            made
        })
    }

    fn make_some(generation: &Generation, mut rest: &[Move]) -> Result<()> {
        let all_known = generation.outdated_below() == 0;
        loop {
            let made = generation.index.make(rest, all_known);
            rest = rest.get(made..).unwrap_or_default();
            let Some((step, others)) = rest.split_first() else {
                break;
            };
            generation.move_by_key(step)?;
            rest = others;
        }
        Ok(())
    }
}

/// What stands behind bytes that do not verify, up to the end of the file.
#[derive(Debug)]
struct Survey {
    /// The largest `durable` of all records there and before.
    watermark: u64,
    /// The last record there; 0: there is none.
    last: u64,
}

impl Survey {
    fn new(scanner: &mut Scanner<'_>, from: u64, position: &Position) -> Result<Survey> {
        let mut survey = Survey {
            watermark: position.durable,
            last: 0,
        };
        scanner.seek(from + ALIGN, true);
        while let Some(head) = scanner.find_record(position.epoch)? {
            survey.watermark = survey.watermark.max(head.durable);
            survey.last = scanner.offset();
            scanner.seek(survey.last + head.record_bytes(), false);
        }
        Ok(survey)
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
