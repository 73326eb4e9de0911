//! One file with everything known about it: its header, its tail, its index and what of it is on disk.
//!
//! A switch replaces the whole object, so that nothing learnt about one file can be applied to another.
//!
//! Records reach the index in one way only, [`Generation::apply`], whether they are replayed or were just written. It
//! runs under the mutex of [`Position`], which is never held while waiting for the operating system's lock.

use super::commit::Commit;
use super::disk::Stat;
use super::format::{FileHeader, HEAD_BYTES, Head, HeaderRead, Kind, LOG_START};
use super::hash::siphash13;
use super::index::{Candidates, Index, Location, Move, SHARDS, shard_of};
use super::lock_of;
use super::log::{LogFile, Scanner, Step};
use super::recovery::{Damage, TornTail};
use crate::error::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) log: LogFile,
    pub(crate) header: FileHeader,
    /// Which file this is, to be compared with what stands at the path.
    pub(crate) identity: Stat,
    /// A copy of the file header that does not verify.
    pub(crate) bad_header_copy: Option<u64>,
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
            surveyed: None,
        }
    }

    /// Whether a record may follow the one before.
    fn accepts(&self, head: &Head) -> bool {
        match head.kind {
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
                return Err(log.corrupt(0, "neither copy of the file header verifies"));
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
            directory_synced: AtomicBool::new(false),
            displaced: AtomicBool::new(false),
            compaction_backoff: AtomicU64::new(0),
            bad_header_copy: None,
            position: Mutex::new(position),
            log,
            header,
            identity,
            index,
        }
    }

    /// Reads the whole log. With `across_damage`, goes on behind damage of which not even the length is known.
    pub(crate) fn open(log: LogFile, across_damage: bool) -> Result<Option<Generation>> {
        let Some((header, bad_copy)) = Generation::read_header(&log)? else {
            return Ok(None);
        };
        let identity = log.stat()?;
        let mut opened = Generation::new(
            log,
            header,
            identity,
            Index::new(),
            Position::start(&header),
        );
        opened.bad_header_copy = bad_copy;
        opened.reserve(identity.size_bytes)?;
        opened.replay(&mut opened.position(), Access::Unlocked, across_damage)?;
        opened.index.fit();
        Ok(Some(opened))
    }

    /// Makes room in the index for what a file of this size holds if all its records are like the first ones.
    fn reserve(&self, file_bytes: u64) -> Result<()> {
        let mut scanner = Scanner::short(&self.log, self.header.seed, LOG_START);
        let mut records = 0;
        while records < 100 && matches!(scanner.step()?, Step::Record { .. }) {
            records += 1;
        }
        let sampled_bytes = scanner.offset() - LOG_START;
        if sampled_bytes > 0 {
            self.index.reserve(
                (file_bytes - LOG_START.min(file_bytes)) / (sampled_bytes / records).max(1),
            );
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
        self.replay(&mut self.position(), Access::Unlocked, false)
    }

    /// Compares what stands at the end of the log with what was applied last, and applies what was written since.
    /// The caller holds the operating system's lock.
    pub(crate) fn prove(&self) -> Result<Proof> {
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
            self.replay(&mut position, Access::Locked, false)?;
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
    fn replay(&self, position: &mut Position, access: Access, across_damage: bool) -> Result<()> {
        let short = self.log.stat()?.size_bytes.saturating_sub(position.tail) < 64 << 10;
        let scanner = if short { Scanner::short } else { Scanner::new };
        let mut scanner = scanner(&self.log, self.header.seed, position.tail);
        let mut replay = Replay {
            generation: self,
            batch: Vec::new(),
            damaged: Vec::new(),
            moves: Moves::new(!short),
        };
        let result = self.replay_with(&mut replay, &mut scanner, position, access, across_damage);
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
        across_damage: bool,
    ) -> Result<()> {
        // The largest `durable` in the whole file, once somebody had to know.
        let mut watermark = None;
        loop {
            let offset = match scanner.step()? {
                Step::Record { offset, head, .. } if position.accepts(&head) => {
                    replay.count(position, offset, &head)?;
                    continue;
                }
                Step::End => {
                    let (end, watermark) =
                        (scanner.offset(), position.durable.max(self.header.base));
                    if end < watermark {
                        if !across_damage {
                            return Err(self
                                .log
                                .corrupt(end, "the file ends before what was acknowledged"));
                        }
                        position.damage.push(Damage::unknown(end, watermark - end));
                        self.outdated_below.store(watermark, Release);
                    }
                    position.end = replay.end_behind();
                    break;
                }
                Step::Record { offset, .. }
                | Step::BadBody { offset, .. }
                | Step::Unverified { offset } => offset,
            };
            // Something does not verify. A reader asks once for each length of the file, not at every look.
            let seen = (offset, self.log.stat()?.size_bytes);
            if access == Access::Unlocked && watermark.is_none() && position.surveyed == Some(seen)
            {
                break;
            }
            position.surveyed = Some(seen);
            let survey = self.survey(scanner, offset, position, watermark)?;
            watermark = Some(survey.watermark);
            if survey.only_zeros {
                position.end = replay.end_behind();
                break;
            }
            if offset >= survey.watermark {
                position.end = End::Torn {
                    records_behind: survey.next.is_some(),
                };
                break;
            }
            // Below the watermark this was acknowledged, unless it was still being written when it was read: what
            // tells that it is finished was read after it.
            scanner.seek(offset, true);
            match scanner.step()? {
                Step::Record { offset, head, .. } if position.accepts(&head) => {
                    replay.count(position, offset, &head)?
                }
                Step::BadBody { offset, head } if position.accepts(&head) => {
                    replay.damaged.push(Damage::record(
                        offset,
                        head.record_bytes(),
                        head.fingerprint,
                    ));
                    replay.count(position, offset, &head)?;
                }
                _ if across_damage => {
                    let next = survey.next.map_or(survey.size_bytes, |(offset, _)| offset);
                    position.damage.push(Damage::unknown(offset, next - offset));
                    replay.moves.make(self)?;
                    replay.batch.clear();
                    self.outdated_below.store(next, Release);
                    let Some((next, head)) = survey.next else {
                        break;
                    };
                    position.tail = next;
                    position.epoch = head.epoch.saturating_sub(u16::from(head.kind == Kind::Cut));
                    scanner.seek(next, false);
                }
                _ => {
                    return Err(self.log.corrupt(
                        offset,
                        "a record does not verify, and later ones were acknowledged",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Takes records that were just appended into the index, and the tail behind them.
    pub(crate) fn apply(&self, records: &[(u64, Head)]) -> Result<()> {
        let mut position = self.position();
        let mut moves = Moves::new(false);
        for (offset, head) in records {
            self.apply_one(&mut position, &mut moves, *offset, head)?;
        }
        self.publish(&mut position);
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
            Kind::Delete => moves.push(
                self,
                Move {
                    fingerprint: head.fingerprint,
                    prev: head.prev,
                    at,
                    puts: false,
                },
            )?,
            Kind::Clear => {
                moves.make(self)?;
                self.index.clear();
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

    fn survey(
        &self,
        scanner: &mut Scanner<'_>,
        from: u64,
        position: &Position,
        watermark: Option<u64>,
    ) -> Result<Survey> {
        scanner.seek(from, true);
        let size_bytes = self.log.stat()?.size_bytes;
        let mut survey = Survey {
            next: None,
            watermark: watermark.unwrap_or(position.durable.max(self.header.base)),
            only_zeros: scanner.only_zeros_follow()?,
            size_bytes,
        };
        if survey.only_zeros {
            // Zeros below the watermark were records once.
            survey.only_zeros = from >= survey.watermark;
            return Ok(survey);
        }
        scanner.seek(from + super::format::ALIGN, true);
        while let Some(head) = scanner.find_record(position.epoch)? {
            let offset = scanner.offset();
            survey.next = survey.next.or(Some((offset, head)));
            survey.watermark = survey.watermark.max(head.durable);
            if watermark.is_some() {
                // The whole file was looked through before.
                break;
            }
            scanner.seek(offset + head.record_bytes(), false);
        }
        Ok(survey)
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
        if head.more() {
            self.batch.push((offset, *head));
            return Ok(());
        }
        for (offset, head) in self.batch.drain(..) {
            self.generation
                .apply_one(position, &mut self.moves, offset, &head)?;
        }
        position.damage.append(&mut self.damaged);
        self.generation
            .apply_one(position, &mut self.moves, offset, head)
    }

    /// What the tail is like when nothing follows: a batch that was not finished is torn all the same.
    fn end_behind(&self) -> End {
        if self.batch.is_empty() {
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
        let trusted = generation.outdated_below() == 0;
        loop {
            let made = if trusted {
                generation.index.make(rest)
            } else {
                0
            };
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

/// What stands behind bytes that do not verify.
#[derive(Debug)]
struct Survey {
    next: Option<(u64, Head)>,
    watermark: u64,
    only_zeros: bool,
    size_bytes: u64,
}

pub(crate) fn fingerprint(header: &FileHeader, key: &[u8]) -> u32 {
    siphash13(&header.hash_key, key) as u32
}

fn starts_with_checks(bytes: &[u8], checks: u64) -> bool {
    bytes
        .first_chunk()
        .is_some_and(|first| u64::from_le_bytes(*first) == checks)
}
