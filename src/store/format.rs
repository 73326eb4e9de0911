//! Bytes to records and back, as `FORMAT.md` beside this file specifies. Pure: no I/O, no clock.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::as_conversions
)]

use super::checksum::xxh64;

/// One of the two copies of the file header.
pub(crate) const HEADER_BYTES: usize = 4096;
/// Where the records begin, behind both copies of the file header.
pub(crate) const LOG_START: u64 = 8192;
/// The fixed part of a record: checks 4 + 4, fingerprint 4, epoch 2, kind 1, flags 1, value length 4, key length 2,
/// reserved 2, and four times 6 for prev, durable, modified and expires.
pub(crate) const HEAD_BYTES: usize = 4 + 4 + 4 + 2 + 1 + 1 + 4 + 2 + 2 + 4 * 6;
/// Records start and end at multiples of this.
pub(crate) const ALIGN: u64 = 8;
pub(crate) const KEY_MAX: usize = 65_535;
/// The longest record, and the longest batch, padding included: what 24 bits can count in units of [`ALIGN`].
pub(crate) const RECORD_MAX: u64 = (1 << 27) - ALIGN;
/// The longest file: what 40 bits can count in units of [`ALIGN`].
pub(crate) const FILE_MAX: u64 = (1 << 43) - ALIGN;
/// The latest time that fits in a record, in ms since 1970: the year 10889.
pub(crate) const TIME_MAX_MS: u64 = (1 << 48) - 1;

/// As PNG's: a byte with the high bit set, a name, both line ends and the DOS end-of-file mark, so that a transfer that
/// changes line ends or strips a bit is noticed at once.
const MAGIC: [u8; 8] = *b"\x89SLF\r\n\x1a\n";
pub(crate) const VERSION: u16 = 1;
/// The feature of a file that is no store: it holds what a repair cut off one, see FORMAT.md.
const CUT_OFF: u32 = 1 << 31;

/// The batch goes on with the next record.
pub(crate) const MORE: u8 = 1;
/// The value is CBOR, so that tools can show it.
pub(crate) const CBOR: u8 = 2;
const FLAGS_KNOWN: u8 = MORE | CBOR;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// The epoch of the first record.
    pub(crate) epoch: u16,
    /// Enters every check of this file, so that a record of another file never verifies in it.
    pub(crate) seed: u64,
    /// Keys the hash of keys, so that nobody outside can aim at one slot of the index.
    pub(crate) hash_key: [u8; 16],
    /// Shared by all files that ever stood in this one's place.
    pub(crate) lineage: [u8; 16],
    /// Counts those files.
    pub(crate) generation: u64,
    /// All below it was synced before this file got its name.
    pub(crate) base: u64,
    pub(crate) created_ms: u64,
}

/// The kinds of file that the first 8192 bytes tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    /// At least one copy is valid; for one that is not, the other stands here as well.
    Valid {
        copies: Copies,
        first: FileHeader,
        second: FileHeader,
    },
    /// A copy is valid, and the file ends before both do.
    Short,
    /// Empty, or zeros no longer than the header: a creation that was cut short.
    Unborn,
    /// Ours by its magic, but neither copy verifies.
    Damaged,
    /// Written by a version that knows more than this one.
    Newer,
    /// The bytes that a repair cut off a store.
    CutOff,
    /// Not one of ours.
    Foreign,
}

/// Which of the two copies are valid, and whether they say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    Same,
    Differ,
    OnlyFirst,
    OnlySecond,
}

impl FileHeader {
    /// Both copies.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_with(0)
    }

    /// Both copies of the header of a file that holds what was cut off this one.
    pub(crate) fn encode_for_cut_off(&self) -> Vec<u8> {
        self.encode_with(CUT_OFF)
    }

    fn encode_with(&self, features: u32) -> Vec<u8> {
        let mut both = Vec::new();
        for offset in COPIES {
            let mut copy = Vec::with_capacity(HEADER_BYTES);
            copy.extend_from_slice(&MAGIC);
            copy.extend_from_slice(&VERSION.to_le_bytes());
            copy.extend_from_slice(&self.epoch.to_le_bytes());
            copy.extend_from_slice(&features.to_le_bytes());
            copy.extend_from_slice(&self.seed.to_le_bytes());
            copy.extend_from_slice(&self.hash_key);
            copy.extend_from_slice(&self.lineage);
            copy.extend_from_slice(&self.generation.to_le_bytes());
            copy.extend_from_slice(&self.base.to_le_bytes());
            copy.extend_from_slice(&self.created_ms.to_le_bytes());
            copy.resize(HEADER_BYTES - CHECK_BYTES, 0);
            let check = xxh64(&copy, offset);
            copy.extend_from_slice(&check.to_le_bytes());
            both.extend_from_slice(&copy);
        }
        both
    }

    /// Judges a file of `file_bytes` by its start: its first 8192 bytes or, of a shorter one, all.
    pub(crate) fn decode(start: &[u8], file_bytes: u64) -> HeaderRead {
        if file_bytes <= LOG_START && start.iter().all(|&byte| byte == 0) {
            return HeaderRead::Unborn;
        }
        let (first, second) = start.split_at_checked(HEADER_BYTES).unwrap_or((start, &[]));
        let (first, second) = (
            decode_copy(first, COPIES[0]),
            decode_copy(second, COPIES[1]),
        );
        let valid = |copies, first, second| match file_bytes < LOG_START {
            true => HeaderRead::Short,
            false => HeaderRead::Valid {
                copies,
                first,
                second,
            },
        };
        match (first, second) {
            (CopyRead::Header(first), CopyRead::Header(second)) => match first == second {
                true => valid(Copies::Same, first, second),
                false => valid(Copies::Differ, first, second),
            },
            (CopyRead::Header(only), _) => valid(Copies::OnlyFirst, only, only),
            (_, CopyRead::Header(only)) => valid(Copies::OnlySecond, only, only),
            (CopyRead::Newer, _) | (_, CopyRead::Newer) => HeaderRead::Newer,
            (CopyRead::CutOff, _) | (_, CopyRead::CutOff) => HeaderRead::CutOff,
            (CopyRead::Damaged, _) | (_, CopyRead::Damaged) => HeaderRead::Damaged,
            (CopyRead::Foreign, CopyRead::Foreign) => HeaderRead::Foreign,
        }
    }
}

/// Where the copies of the file header stand.
pub(crate) const COPIES: [u64; 2] = [0, 4096];
const CHECK_BYTES: usize = 8;

#[derive(Debug, PartialEq, Eq)]
enum CopyRead {
    Header(FileHeader),
    Damaged,
    Newer,
    CutOff,
    Foreign,
}

fn decode_copy(copy: &[u8], offset: u64) -> CopyRead {
    let mut fields = Fields(copy);
    if fields.take::<8>() != Some(MAGIC) {
        return CopyRead::Foreign;
    }
    let sound = || -> Option<FileHeader> {
        let (covered, check) = copy.split_last_chunk::<CHECK_BYTES>()?;
        (copy.len() == HEADER_BYTES && xxh64(covered, offset) == u64::from_le_bytes(*check))
            .then_some(())?;
        let mut fields = Fields(covered.get(MAGIC.len()..)?);
        (fields.u16()? == VERSION).then_some(())?;
        let epoch = fields.u16()?;
        (fields.u32()? == 0).then_some(())?;
        let header = FileHeader {
            epoch,
            seed: fields.u64()?,
            hash_key: fields.take()?,
            lineage: fields.take()?,
            generation: fields.u64()?,
            base: fields.u64()?,
            created_ms: fields.u64()?,
        };
        // Files are counted from 1: within this program, 0 is a file whose creation was cut short.
        (header.generation != 0).then_some(header)
    };
    match sound() {
        Some(header) => CopyRead::Header(header),
        // A newer version may have a check of another kind, so its number is believed without one.
        None if fields.u16().is_some_and(|version| version > VERSION) => CopyRead::Newer,
        None => match fields.u16().and_then(|_| fields.u32()) {
            Some(CUT_OFF) => CopyRead::CutOff,
            Some(1..) => CopyRead::Newer,
            Some(0) | None => CopyRead::Damaged,
        },
    }
}

/// Takes fixed-width fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// The purpose of a record. The numbers are the format's; 0 is never valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Delete,
    /// Everything before it is gone.
    Clear,
    /// Everything before it is durable.
    Seal,
    /// Notes that older bytes were cut off here; raises the epoch.
    Cut,
    /// A new file is about to take this one's place.
    Retired,
    /// A sync of this file failed: nobody may write to it again.
    Condemned,
    /// A newer version's, of a sort that this one may pass over.
    Skippable(u8),
    /// A newer version's, without which the file can't be understood.
    Unknown(u8),
}

impl Kind {
    fn from_byte(byte: u8) -> Kind {
        match byte {
            1 => Kind::Put,
            2 => Kind::Delete,
            3 => Kind::Clear,
            4 => Kind::Seal,
            5 => Kind::Cut,
            6 => Kind::Retired,
            7 => Kind::Condemned,
            128.. => Kind::Skippable(byte),
            _ => Kind::Unknown(byte),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Kind::Put => 1,
            Kind::Delete => 2,
            Kind::Clear => 3,
            Kind::Seal => 4,
            Kind::Cut => 5,
            Kind::Retired => 6,
            Kind::Condemned => 7,
            Kind::Skippable(byte) | Kind::Unknown(byte) => byte,
        }
    }
}

/// The fixed part of a record, without its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) head_check: u32,
    pub(crate) body_check: u32,
    pub(crate) fingerprint: u32,
    pub(crate) epoch: u16,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) value_len: u32,
    pub(crate) key_len: u16,
    /// Where the record of this key stood that this one replaces; 0: there was none.
    pub(crate) prev: u64,
    /// How much of the log its writer knew to be on disk.
    pub(crate) durable: u64,
    pub(crate) modified_ms: u64,
    /// 0: never.
    pub(crate) expires_ms: u64,
    reserved: u16,
}

impl Head {
    /// The fixed part as it stands at `offset`, if its check holds.
    #[inline]
    pub(crate) fn decode(bytes: &[u8; HEAD_BYTES], seed: u64, offset: u64) -> Option<Head> {
        let mut fields = Fields(bytes);
        let head_check = fields.u32()?;
        let body_check = fields.u32()?;
        if low32(xxh64(fields.0, seed.wrapping_add(offset))) != head_check {
            return None;
        }
        let head = Head {
            head_check,
            body_check,
            fingerprint: fields.u32()?,
            epoch: fields.u16()?,
            kind: Kind::from_byte(u8::from_le_bytes(fields.take()?)),
            flags: u8::from_le_bytes(fields.take()?),
            value_len: fields.u32()?,
            key_len: fields.u16()?,
            reserved: fields.u16()?,
            prev: u48(fields.take()?),
            durable: u48(fields.take()?),
            modified_ms: u48(fields.take()?),
            expires_ms: u48(fields.take()?),
        };
        // Never written by us: a check that holds by chance, or by design, must not make up a length, nor call durable
        // what was not there yet.
        let is_possible = head.kind != Kind::Unknown(0)
            && head.record_bytes() <= RECORD_MAX
            && head.durable <= offset;
        is_possible.then_some(head)
    }

    #[inline]
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(usize::from(self.key_len), u64::from(self.value_len))
    }

    /// Whether key, value and padding, which follow the fixed part at `offset`, are what was written.
    #[inline]
    pub(crate) fn body_holds(&self, body: &[u8], seed: u64, offset: u64) -> bool {
        low32(xxh64(body, seed.wrapping_add(offset))) == self.body_check
    }

    /// Whether a newer version wrote it, and this one can't tell what it means.
    #[inline]
    pub(crate) fn is_newer(&self) -> bool {
        match self.kind {
            Kind::Skippable(_) => false,
            Kind::Unknown(_) => true,
            _ => self.flags & !FLAGS_KNOWN != 0 || self.reserved != 0,
        }
    }

    /// Both checks, as they stand in the file: 64 bits that tell this record from any other at its place.
    #[inline]
    pub(crate) fn checks(&self) -> u64 {
        u64::from(self.head_check) | u64::from(self.body_check) << 32
    }

    /// Seals a record, whose bytes these are, as one whose key and value do not verify.
    pub(crate) fn spoil(&mut self, record: &mut [u8]) {
        self.body_check = !self.body_check;
        if let Some(check) = record.get_mut(4..8) {
            check.copy_from_slice(&self.body_check.to_le_bytes());
        }
    }

    /// Whether the record was sealed as one that does not verify, and is otherwise as it was sealed.
    pub(crate) fn is_spoilt(&self, body: &[u8], seed: u64, offset: u64) -> bool {
        !low32(xxh64(body, seed.wrapping_add(offset))) == self.body_check
    }

    /// Key and value in what stands behind the head; `None` if it is too short for them.
    #[inline]
    pub(crate) fn key_and_value<'b>(&self, body: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        let (key, rest) = body.split_at_checked(usize::from(self.key_len))?;
        Some((key, rest.get(..usize::try_from(self.value_len).ok()?)?))
    }

    /// Whether a key that has this record is absent by now.
    #[inline]
    pub(crate) fn has_ended(&self, by_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= by_ms
    }

    /// Whether the value is CBOR, by its writer's word.
    #[inline]
    pub(crate) fn is_cbor(&self) -> bool {
        self.flags & CBOR != 0
    }

    #[inline]
    pub(crate) fn more(&self) -> bool {
        self.flags & MORE != 0
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) fingerprint: u32,
    pub(crate) epoch: u16,
    pub(crate) prev: u64,
    pub(crate) durable: u64,
    pub(crate) modified_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl NewRecord<'_> {
    /// A record that only says something about the log.
    pub(crate) fn marker(kind: Kind, epoch: u16, modified_ms: u64) -> NewRecord<'static> {
        NewRecord {
            kind,
            flags: 0,
            fingerprint: 0,
            epoch,
            prev: 0,
            durable: 0,
            modified_ms,
            expires_ms: 0,
            key: &[],
            value: &[],
        }
    }

    /// Appends the record, which will stand at `offset`, to `out`. Key and value were held against the limits before.
    pub(crate) fn encode(&self, seed: u64, offset: u64, out: &mut Vec<u8>) -> Head {
        let seed = seed.wrapping_add(offset);
        let start = out.len();
        let value_len = u32::try_from(self.value.len()).unwrap_or(u32::MAX);
        let head = Head {
            head_check: 0,
            body_check: 0,
            fingerprint: self.fingerprint,
            epoch: self.epoch,
            kind: self.kind,
            flags: self.flags,
            value_len,
            key_len: u16::try_from(self.key.len()).unwrap_or(u16::MAX),
            prev: self.prev,
            durable: self.durable,
            modified_ms: self.modified_ms.min(TIME_MAX_MS),
            expires_ms: self.expires_ms.min(TIME_MAX_MS),
            reserved: 0,
        };
        let mut fixed = [0; HEAD_BYTES];
        let mut fields = Filling(&mut fixed);
        fields.put([0; 8]); // the checks
        fields.put(head.fingerprint.to_le_bytes());
        fields.put(head.epoch.to_le_bytes());
        fields.put([head.kind.to_byte(), head.flags]);
        fields.put(head.value_len.to_le_bytes());
        fields.put(head.key_len.to_le_bytes());
        fields.put(head.reserved.to_le_bytes());
        for long in [head.prev, head.durable, head.modified_ms, head.expires_ms] {
            fields.put(bytes48(long));
        }
        out.extend_from_slice(&fixed);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
        let record_bytes = usize::try_from(head.record_bytes()).unwrap_or(usize::MAX);
        out.resize(start.saturating_add(record_bytes), 0);

        let (mut head_check, mut body_check) = (0, 0);
        if let Some((fixed, body)) = out
            .get_mut(start..)
            .and_then(|record| record.split_first_chunk_mut::<HEAD_BYTES>())
        {
            body_check = low32(xxh64(body, seed));
            let (checks, covered) = fixed.split_at_mut(8);
            head_check = low32(xxh64(covered, seed));
            let mut fields = Filling(checks);
            fields.put(head_check.to_le_bytes());
            fields.put(body_check.to_le_bytes());
        }
        Head {
            head_check,
            body_check,
            ..head
        }
    }
}

#[inline]
pub(crate) fn record_bytes(key_len: usize, value_len: u64) -> u64 {
    let head_and_key = u64::try_from(HEAD_BYTES.saturating_add(key_len)).unwrap_or(u64::MAX);
    head_and_key
        .saturating_add(value_len)
        .saturating_add(ALIGN - 1)
        & !(ALIGN - 1)
}

struct Filling<'a>(&'a mut [u8]);

impl Filling<'_> {
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        let bytes = std::mem::take(&mut self.0);
        if let Some((place, rest)) = bytes.split_first_chunk_mut::<N>() {
            *place = field;
            self.0 = rest;
        }
    }
}

#[inline]
fn u48(bytes: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = bytes;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

#[inline]
fn bytes48(long: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, _, _] = long.to_le_bytes();
    [a, b, c, d, e, f]
}

#[inline]
fn low32(long: u64) -> u32 {
    let [a, b, c, d, ..] = long.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
mod tests {
    use super::*;

    const HEADER: FileHeader = FileHeader {
        epoch: 1,
        seed: 0x0123_4567_89ab_cdef,
        hash_key: [7; 16],
        lineage: [9; 16],
        generation: 3,
        base: 8192,
        created_ms: 1_700_000_000_000,
    };

    fn record(key: &[u8], value: &[u8], offset: u64) -> (Vec<u8>, Head) {
        let mut out = Vec::new();
        let new = NewRecord {
            kind: Kind::Put,
            flags: CBOR,
            fingerprint: 0xdead_beef,
            epoch: 2,
            prev: 8192,
            durable: 8192,
            modified_ms: 1_700_000_000_001,
            expires_ms: TIME_MAX_MS,
            key,
            value,
        };
        let head = new.encode(HEADER.seed, offset, &mut out);
        (out, head)
    }

    #[test]
    fn either_copy_opens_the_file_and_the_bad_one_is_named() {
        let both = HEADER.encode();
        assert_eq!(both.len() as u64, LOG_START);
        let len = both.len() as u64;
        let valid = |copies| HeaderRead::Valid {
            copies,
            first: HEADER,
            second: HEADER,
        };
        assert_eq!(FileHeader::decode(&both, len), valid(Copies::Same));
        for bit in (0..both.len() * 8).step_by(7) {
            let mut flipped = both.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let copies = match bit / 8 < HEADER_BYTES {
                true => Copies::OnlySecond,
                false => Copies::OnlyFirst,
            };
            let read = FileHeader::decode(&flipped, len);
            assert_eq!(read, valid(copies), "bit {bit}");
        }
        let swapped = [&both[HEADER_BYTES..], &both[..HEADER_BYTES]].concat();
        assert_eq!(
            FileHeader::decode(&swapped, len),
            HeaderRead::Damaged,
            "each copy belongs at its own offset"
        );
    }

    #[test]
    fn what_is_not_ours_newer_unborn_or_damaged_is_told_apart() {
        let both = HEADER.encode();
        let len = both.len() as u64;
        assert_eq!(FileHeader::decode(&[], 0), HeaderRead::Unborn);
        assert_eq!(FileHeader::decode(&[0; 8192], 8192), HeaderRead::Unborn);
        assert_eq!(
            FileHeader::decode(&[0; 8192], 8193),
            HeaderRead::Foreign,
            "a longer file of zeros is not ours to take"
        );
        assert_eq!(FileHeader::decode(b"x", 1), HeaderRead::Foreign);
        assert_eq!(FileHeader::decode(&both[..100], 100), HeaderRead::Damaged);
        for short in [4096, 8191] {
            let read = FileHeader::decode(&both[..short], short as u64);
            assert_eq!(read, HeaderRead::Short, "{short} bytes");
        }
        let mut other = HEADER;
        other.generation += 1;
        let differ = [&both[..HEADER_BYTES], &other.encode()[HEADER_BYTES..]].concat();
        let read = FileHeader::decode(&differ, len);
        assert!(
            matches!(read, HeaderRead::Valid { copies: Copies::Differ, first: HEADER, second } if second == other)
        );
        let (mut newer, mut feature, mut damaged) = (both.clone(), both.clone(), both.clone());
        for at in COPIES.map(|at| at as usize) {
            newer[at + 8] = 2;
            feature[at + 12] = 1;
            damaged[at + 20] ^= 1;
        }
        assert_eq!(FileHeader::decode(&newer, len), HeaderRead::Newer);
        assert_eq!(FileHeader::decode(&feature, len), HeaderRead::Newer);
        assert_eq!(FileHeader::decode(&damaged, len), HeaderRead::Damaged);
    }

    #[test]
    fn every_bit_of_a_record_is_under_a_check_and_so_is_its_place() {
        let offset = 8192;
        let (bytes, head) = record(b"key", b"value", offset);
        assert_eq!(bytes.len() as u64, head.record_bytes());
        let verifies = |bytes: &[u8], offset: u64| {
            let (fixed, body) = bytes.split_first_chunk::<HEAD_BYTES>().unwrap();
            Head::decode(fixed, HEADER.seed, offset)
                .filter(|head| head.body_holds(body, HEADER.seed, offset))
        };
        assert_eq!(verifies(&bytes, offset), Some(head));
        assert_eq!(verifies(&bytes, offset + 8), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verifies(&flipped, offset), None, "bit {bit}");
        }
    }

    #[test]
    fn a_run_of_zeros_never_verifies() {
        for at in 0..10_000u64 {
            assert_eq!(
                Head::decode(&[0; HEAD_BYTES], HEADER.seed, LOG_START + at * ALIGN),
                None
            );
        }
    }
}
