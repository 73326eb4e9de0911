//! Where the record of each key stands: an open-addressing table of 12-byte slots.
//!
//! A slot holds a 32-bit fingerprint of the key, never the key, so the table costs the same whatever the keys are, and
//! **a fingerprint is never identity**: a lookup gives candidates, and its caller compares the keys in their records.
//!
//! The table is split into shards by the top bits of the fingerprint. A shard has its own lock and grows by itself, by
//! 3/16 at a time, so that no thread waits for long, not even while 10 million keys outgrow the table. Every method of
//! the index gives its locks back before it returns, and none does I/O.

use super::format::ALIGN;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const SHARD_BITS: u32 = 8;
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;

pub(crate) fn shard_of(fingerprint: u32) -> usize {
    (fingerprint >> (32 - SHARD_BITS)) as usize
}

/// The effect of one record on the index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) fingerprint: u32,
    /// Where the key's record stood before; 0: nowhere.
    pub(crate) prev: u64,
    /// Where the record stands.
    pub(crate) at: Location,
    /// Whether the record gives the key a value; otherwise it removes the key.
    pub(crate) puts: bool,
}

/// Where a record stands and how long it is: 40 bits of offset above 24 of length, both in units of 8 bytes, so that
/// locations sort in log order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location(u64);

impl Location {
    /// Both in bytes, and within the format's limits.
    pub(crate) fn new(offset: u64, len: u64) -> Location {
        Location(((offset / ALIGN) << 24) | (len / ALIGN))
    }

    pub(crate) fn offset(self) -> u64 {
        (self.0 >> 24) * ALIGN
    }

    pub(crate) fn len(self) -> u64 {
        (self.0 & 0xff_ffff) * ALIGN
    }

    pub(crate) fn end(self) -> u64 {
        self.offset() + self.len()
    }
}

/// The records that may be a key's. Usually one, which costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    first: Option<Location>,
    more: Vec<Location>,
}

#[derive(Debug)]
pub(crate) struct Index {
    /// Written by the thread that applies records; a reader holds the lock of one shard for the time of a look, never
    /// during I/O.
    shards: Box<[RwLock<Shard>]>,
    /// A sum over the shards, kept so that asking costs no lock. Written after its shard; read stale.
    keys: AtomicU64,
    /// The same of the bytes of their records.
    live_bytes: AtomicU64,
}

/// A table of its own, at most four fifths full: so each probe comes to an empty slot, where it ends.
#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    /// Slots that are not empty.
    used: usize,
}

/// A fingerprint and the two halves of a location, 12 bytes. Offset 0 is an empty slot: the file header stands there.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Slot([u32; 3]);

impl Slot {
    fn new(fingerprint: u32, at: Location) -> Slot {
        Slot([fingerprint, at.0 as u32, (at.0 >> 32) as u32])
    }

    fn is_empty(self) -> bool {
        self.0[2] == 0 && self.0[1] == 0
    }

    fn location(self) -> Location {
        Location(u64::from(self.0[1]) | (u64::from(self.0[2]) << 32))
    }
}

impl Index {
    pub(crate) fn new() -> Index {
        Index {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            keys: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
        }
    }

    fn read(&self, fingerprint: u32) -> RwLockReadGuard<'_, Shard> {
        let shard = &self.shards[shard_of(fingerprint)];
        shard.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, fingerprint: u32) -> RwLockWriteGuard<'_, Shard> {
        let shard = &self.shards[shard_of(fingerprint)];
        shard.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All records of keys with this fingerprint, as of one moment. No record of a log changes, so what the caller reads
    /// there answers as of that moment, and need not be looked up again however the table changes meanwhile.
    pub(crate) fn candidates(&self, fingerprint: u32) -> Candidates {
        let mut found = Candidates::default();
        self.read(fingerprint).each(fingerprint, |_, slot| {
            found.push(slot.location());
            false
        });
        found
    }

    /// Whether this record is the one that its key has now.
    pub(crate) fn holds(&self, fingerprint: u32, offset: u64) -> bool {
        self.read(fingerprint)
            .position(fingerprint, offset)
            .is_some()
    }

    /// Makes moves, all of one shard, up to the first that `prev` alone does not decide, and returns how many it made.
    /// `prev` does not decide where it leads to no slot, nor where it calls a key new and the index has its fingerprint.
    /// With `is_own` the caller has just looked the keys up, so that a key it calls new is new.
    pub(crate) fn make(&self, moves: &[Move], is_own: bool) -> usize {
        let Some(first) = moves.first() else { return 0 };
        let mut shard = self.write(first.fingerprint);
        let (mut keys, mut live_bytes, mut made) = (0u64, 0u64, 0);
        if moves.len() > 1 {
            shard.touch(moves);
        }
        for step in moves {
            let slot = Slot::new(step.fingerprint, step.at);
            if step.prev == 0 && step.puts {
                if is_own {
                    shard.insert(slot);
                } else if !shard.insert_new(slot) {
                    break;
                }
                keys = keys.wrapping_add(1);
                live_bytes = live_bytes.wrapping_add(step.at.len());
            } else {
                let Some(place) = shard.position(step.fingerprint, step.prev) else {
                    break;
                };
                let old = if step.puts {
                    live_bytes = live_bytes.wrapping_add(step.at.len());
                    std::mem::replace(&mut shard.slots[place], slot)
                } else {
                    keys = keys.wrapping_sub(1);
                    shard.remove(place)
                };
                live_bytes = live_bytes.wrapping_sub(old.location().len());
            }
            made += 1;
        }
        // Counted modulo 2^64: adding a count that wrapped below zero subtracts.
        self.keys.fetch_add(keys, Relaxed);
        self.live_bytes.fetch_add(live_bytes, Relaxed);
        made
    }

    /// Forgets every key. The caller keeps other changes away meanwhile.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.write().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
        self.keys.store(0, Relaxed);
        self.live_bytes.store(0, Relaxed);
    }

    pub(crate) fn len(&self) -> u64 {
        self.keys.load(Relaxed)
    }

    /// Bytes of all records that a key has now.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Relaxed)
    }

    /// Where every key's record stands, in log order. The caller keeps changes away meanwhile.
    pub(crate) fn locations(&self) -> Vec<Location> {
        let mut all = Vec::with_capacity(self.len() as usize);
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(
                shard
                    .slots
                    .iter()
                    .filter(|slot| !slot.is_empty())
                    .map(|slot| slot.location()),
            );
        }
        all.sort_unstable();
        all
    }

    /// The fingerprint of the key whose record stands at a place. Looks at every slot: for a record of which nothing
    /// verifies any more.
    pub(crate) fn fingerprint_at(&self, at: Location) -> Option<u32> {
        self.shards.iter().find_map(|shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let is_there = |slot: &&Slot| !slot.is_empty() && slot.location() == at;
            shard.slots.iter().find(is_there).map(|slot| slot.0[0])
        })
    }

    /// Memory of the table.
    pub(crate) fn size_bytes(&self) -> u64 {
        let slots: usize = self
            .shards
            .iter()
            .map(|shard| {
                shard
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .slots
                    .capacity()
            })
            .sum();
        (size_of::<RwLock<Shard>>() * self.shards.len() + slots * size_of::<Slot>()) as u64
    }

    /// Gives back, after a replay, what its keys do not need.
    pub(crate) fn fit(&mut self) {
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            let slots = slots_for(shard.used);
            if shard.slots.len() > grown(slots) {
                shard.resize(slots);
            }
        }
    }

    /// Makes room, before a replay, for about as many keys as it will bring.
    pub(crate) fn reserve(&self, keys: u64) {
        let per_shard = keys as usize / self.shards.len();
        if per_shard <= 32 {
            return;
        }
        // Keys fall into shards at random: hardly one in a thousand shards has more than three deviations over the mean.
        let per_shard = per_shard + 3 * per_shard.isqrt();
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            if shard.used == 0 {
                shard.resize(slots_for(per_shard));
            }
        }
    }
}

/// Growing makes a table larger by 3/16: one that has just grown takes 12 * 5/4 * 19/16 = 17.8 bytes a key.
fn grown(slots: usize) -> usize {
    slots * 19 / 16
}

/// Slots beyond the four fifths rule, so that a small table does not grow with each key.
const SPARE_SLOTS: usize = 8;

/// A table of this many slots is four fifths full. Linear probing then looks at 3 slots for a hit, 13 for a miss
/// (Knuth, TAOCP 6.4, theorem K), which are neighbours in memory.
///
/// Slots in the order of their fingerprints would end a miss after 3 slots too. Measured at a million keys, such a miss
/// took 110 ns in place of 82 (the processor then meets the lock's atomic operation while the slot is still on its way
/// from memory), so the table is not ordered.
fn slots_for(used: usize) -> usize {
    used * 5 / 4 + SPARE_SLOTS
}

impl Shard {
    /// The slot where the probe for a fingerprint begins. It rises with the fingerprint, so that growing moves slots in
    /// one streaming pass.
    fn home(&self, fingerprint: u32) -> usize {
        let within = u64::from(fingerprint << SHARD_BITS);
        ((within * self.slots.len() as u64) >> 32) as usize
    }

    /// Brings the slots that moves begin at into the cache: these loads wait for memory together, whereas each move
    /// would wait for its own.
    fn touch(&self, moves: &[Move]) {
        let some = moves.iter().fold(0, |some, step| {
            let slot = self.slots.get(self.home(step.fingerprint));
            some ^ slot.map_or(0, |slot| slot.0[0])
        });
        std::hint::black_box(some);
    }

    fn next(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() {
            0
        } else {
            place + 1
        }
    }

    /// Visits the slots with this fingerprint until `visit` returns true; returns where that was.
    fn each(&self, fingerprint: u32, mut visit: impl FnMut(usize, Slot) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut place = self.home(fingerprint);
        loop {
            let slot = self.slots[place];
            if slot.is_empty() {
                return None;
            }
            if slot.0[0] == fingerprint && visit(place, slot) {
                return Some(place);
            }
            place = self.next(place);
        }
    }

    fn position(&self, fingerprint: u32, offset: u64) -> Option<usize> {
        self.each(fingerprint, |_, slot| slot.location().offset() == offset)
    }

    fn insert(&mut self, slot: Slot) {
        self.make_room();
        self.place(slot);
        self.used += 1;
    }

    /// False, and nothing put in, if a slot has this fingerprint: all such slots stand between its home and the first
    /// empty slot.
    fn insert_new(&mut self, slot: Slot) -> bool {
        self.make_room();
        let mut place = self.home(slot.0[0]);
        while !self.slots[place].is_empty() {
            if self.slots[place].0[0] == slot.0[0] {
                return false;
            }
            place = self.next(place);
        }
        self.slots[place] = slot;
        self.used += 1;
        true
    }

    fn make_room(&mut self) {
        let wanted = slots_for(self.used + 1);
        if wanted > self.slots.len() + SPARE_SLOTS {
            self.resize(grown(self.slots.len()).max(wanted));
        }
    }

    fn place(&mut self, slot: Slot) {
        let mut place = self.home(slot.0[0]);
        while !self.slots[place].is_empty() {
            place = self.next(place);
        }
        self.slots[place] = slot;
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        for slot in old {
            if !slot.is_empty() {
                self.place(slot);
            }
        }
    }

    /// Empties a slot, and moves up those behind it that a probe would not reach any more across the gap.
    fn remove(&mut self, place: usize) -> Slot {
        let removed = std::mem::take(&mut self.slots[place]);
        self.used -= 1;
        let (mut gap, mut place) = (place, place);
        loop {
            place = self.next(place);
            let slot = self.slots[place];
            if slot.is_empty() {
                return removed;
            }
            // Distances are counted backwards around the table; a slot may move to the gap unless its home lies
            // behind the gap.
            let len = self.slots.len();
            let from_home = (place + len - self.home(slot.0[0])) % len;
            let from_gap = (place + len - gap) % len;
            if from_home >= from_gap {
                self.slots[gap] = std::mem::take(&mut self.slots[place]);
                gap = place;
            }
        }
    }
}

impl Candidates {
    fn push(&mut self, at: Location) {
        match self.first {
            None => self.first = Some(at),
            Some(_) => self.more.push(at),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Location> + '_ {
        self.first.into_iter().chain(self.more.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    impl Index {
        /// Makes one move, of a record that gives its key a value `at` a place, or removes it. False if nothing stands at
        /// `prev`.
        fn make_one(&self, fingerprint: u32, prev: u64, at: Option<Location>) -> bool {
            let step = Move {
                fingerprint,
                prev,
                at: at.unwrap_or(Location::new(0, 0)),
                puts: at.is_some(),
            };
            self.make(&[step], true) == 1
        }
    }

    /// Runs random inserts, replacements and removals on few fingerprints, so that probe runs collide and wrap, and
    /// compares with a plain map from offset to fingerprint.
    #[test]
    fn every_sequence_of_changes_leaves_what_a_plain_map_holds() {
        for seed in 0..50u64 {
            let (index, mut model) = (Index::new(), BTreeMap::<u64, (u32, u64)>::new());
            let mut state = seed;
            let mut random = |below: u64| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (state >> 33) % below
            };
            let mut next_offset = 8192;
            for step in 0..2_000 {
                // All in two shards, many of them at the very end, so that runs wrap around.
                let fingerprint =
                    (random(2) << 24 | (0xff_ff00 + random(40)).min(0xff_ffff)) as u32;
                let at = Location::new(next_offset, 48 + 8 * random(10));
                next_offset = at.end();
                let known = model
                    .iter()
                    .find(|(_, (fp, _))| *fp == fingerprint)
                    .map(|(offset, _)| *offset);
                match (random(3), known) {
                    (0, Some(offset)) => {
                        let is_made = index.make_one(fingerprint, offset, None);
                        assert!(is_made, "seed {seed} step {step}");
                        model.remove(&offset);
                    }
                    (1, Some(offset)) => {
                        let is_made = index.make_one(fingerprint, offset, Some(at));
                        assert!(is_made, "seed {seed} step {step}");
                        model.remove(&offset);
                        model.insert(at.offset(), (fingerprint, at.len()));
                    }
                    _ => {
                        assert!(index.make_one(fingerprint, 0, Some(at)));
                        model.insert(at.offset(), (fingerprint, at.len()));
                    }
                }
                assert!(
                    !index.make_one(fingerprint, 8184, None),
                    "a slot is told by its offset as well"
                );
                let found: Vec<_> = index
                    .candidates(fingerprint)
                    .iter()
                    .map(|at| at.offset())
                    .collect();
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(_, (fp, _))| *fp == fingerprint)
                    .map(|(o, _)| *o)
                    .collect();
                let mut sorted = found.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, expected, "seed {seed} step {step}");
            }
            let all: Vec<_> = model
                .iter()
                .map(|(&offset, &(_, len))| Location::new(offset, len))
                .collect();
            assert_eq!(index.locations(), all, "seed {seed}");
            assert_eq!(index.len(), all.len() as u64);
            assert_eq!(
                index.live_bytes(),
                all.iter().map(|at| at.len()).sum::<u64>()
            );
            index.clear();
            assert_eq!(
                (index.len(), index.live_bytes(), index.locations().len()),
                (0, 0, 0)
            );
        }
    }

    #[test]
    fn a_key_costs_at_most_18_bytes_once_there_are_many() {
        let index = Index::new();
        for key in 1..=300_000u64 {
            let fingerprint = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
            index.make_one(fingerprint, 0, Some(Location::new(8192 + key * 8, 8)));
            if key > 100_000 && key % 1_000 == 0 {
                assert!(
                    index.size_bytes() <= key * 18,
                    "{} bytes for {key} keys",
                    index.size_bytes()
                );
            }
        }
    }

    #[test]
    fn the_largest_offset_and_length_fit_in_a_slot() {
        let (offset, len) = (
            super::super::format::FILE_MAX,
            super::super::format::RECORD_MAX,
        );
        let at = Slot::new(7, Location::new(offset, len)).location();
        assert_eq!((at.offset(), at.len()), (offset, len));
    }

    /// Slots that inserting each key looks at, on average.
    fn probes_per_insert(hash_key: &[u8; 16], keys: &[u64]) -> f64 {
        let index = Index::new();
        let mut probes = 0u64;
        for (nth, key) in (1..).zip(keys) {
            let fingerprint = super::super::hash::siphash13(hash_key, &key.to_le_bytes()) as u32;
            let at = Location::new(8192 + nth * 8, 8);
            index.make_one(fingerprint, 0, Some(at));
            let shard = index.read(fingerprint);
            let mut place = shard.home(fingerprint);
            loop {
                probes += 1;
                if shard.slots[place] == Slot::new(fingerprint, at) {
                    break;
                }
                place = shard.next(place);
            }
        }
        probes as f64 / keys.len() as f64
    }

    /// Keys that somebody chose who knows the hash, but not the key that each file draws for itself.
    #[test]
    fn keys_that_collide_under_one_hash_key_are_like_any_others_under_another() {
        const KEYS: usize = 100_000;
        // All of them in one shard, and in the same half of its table.
        let collides = |key: &u64| {
            super::super::hash::siphash13(&[0; 16], &key.to_le_bytes()) as u32 >> (31 - SHARD_BITS)
                == 0
        };
        let chosen: Vec<u64> = (0..).filter(collides).take(KEYS).collect();
        let plain: Vec<u64> = (0..KEYS as u64).collect();
        let few = 5_000;
        let attacked = probes_per_insert(&[0; 16], &chosen[..few]);
        let unattacked = probes_per_insert(&[0; 16], &plain[..few]);
        assert!(
            attacked > 50.0 * unattacked,
            "these keys are no attack: {attacked} to {unattacked}"
        );
        let mut most = 0f64;
        for nth in 1..=4u8 {
            let hash_key: [u8; 16] = std::array::from_fn(|at| (at as u8 + 1).wrapping_mul(nth));
            let (chosen, plain) = (
                probes_per_insert(&hash_key, &chosen),
                probes_per_insert(&hash_key, &plain),
            );
            assert!(chosen <= 3.0 * plain, "{chosen} to {plain}");
            most = most.max(chosen / plain);
        }
        let line = format!("METRIC hash_flooding_probes_ratio={most:.3}\n");
        let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
    }
}
