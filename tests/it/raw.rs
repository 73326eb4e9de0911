//! The format, written down a second time from FORMAT.md alone.
//!
//! A test that asked the crate where a record lies would believe the code that it tests. Here is the least that finds the
//! records of a file ([`records`]) and gives one checks that hold ([`seal_record`]): tests look into files with it, hit a
//! field that they mean to hit, and make files that no store would write. It shares no line with `src`.

/// Where the log begins.
pub(crate) const LOG: usize = 8192;
/// The fixed part of a record.
pub(crate) const HEAD: usize = 48;
/// Where in it the kind stands, and that of a record which gives a key its value.
pub(crate) const KIND: usize = 14;
pub(crate) const PUT: u8 = 1;

const P: [u64; 5] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
];

fn round(lane: u64, word: &[u8]) -> u64 {
    let word = u64::from_le_bytes(word.try_into().unwrap());
    lane.wrapping_add(word.wrapping_mul(P[1]))
        .rotate_left(31)
        .wrapping_mul(P[0])
}

/// XXH64, as its specification describes it.
pub(crate) fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let stripes = bytes.chunks_exact(32);
    let mut rest = stripes.remainder();
    let mut hash = seed.wrapping_add(P[4]);
    if bytes.len() >= 32 {
        let mut lanes = [
            seed.wrapping_add(P[0]).wrapping_add(P[1]),
            seed.wrapping_add(P[1]),
            seed,
            seed.wrapping_sub(P[0]),
        ];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word);
            }
        }
        hash = [1, 7, 12, 18]
            .iter()
            .zip(lanes)
            .fold(0, |sum, (by, lane)| sum.wrapping_add(lane.rotate_left(*by)));
        for lane in lanes {
            let mixed = round(0, &lane.to_le_bytes());
            hash = (hash ^ mixed).wrapping_mul(P[0]).wrapping_add(P[3]);
        }
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    while let Some((word, more)) = rest.split_first_chunk::<8>() {
        hash ^= round(0, word);
        hash = hash.rotate_left(27).wrapping_mul(P[0]).wrapping_add(P[3]);
        rest = more;
    }
    if let Some((half, more)) = rest.split_first_chunk::<4>() {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(P[0]);
        hash = hash.rotate_left(23).wrapping_mul(P[1]).wrapping_add(P[2]);
        rest = more;
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(P[4]);
        hash = hash.rotate_left(11).wrapping_mul(P[0]);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P[1]);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P[2]);
    hash ^ (hash >> 32)
}

/// The seed of a file's checks.
pub(crate) fn seed(file: &[u8]) -> u64 {
    u64::from_le_bytes(file[16..24].try_into().unwrap())
}

/// Makes the check of the header's copy at `at` right again.
pub(crate) fn seal_header(file: &mut [u8], at: usize) {
    let check = xxh64(&file[at..at + 4088], at as u64);
    file[at + 4088..at + 4096].copy_from_slice(&check.to_le_bytes());
}

/// How long the record at `at` says it is.
pub(crate) fn record_len(file: &[u8], at: usize) -> usize {
    let value = u32::from_le_bytes(file[at + 16..at + 20].try_into().unwrap());
    let key = u16::from_le_bytes(file[at + 20..at + 22].try_into().unwrap());
    let bytes = (HEAD as u64 + u64::from(value) + u64::from(key)).next_multiple_of(8);
    // Where addresses have 32 bits a claimed length may be beyond them.
    usize::try_from(bytes).unwrap_or(usize::MAX / 2)
}

/// Makes the head check of a record right, as of one that stands at `offset`.
pub(crate) fn seal_head(record: &mut [u8], seed: u64, offset: usize) {
    let check = xxh64(&record[8..HEAD], seed.wrapping_add(offset as u64)) as u32;
    record[..4].copy_from_slice(&check.to_le_bytes());
}

/// Makes both checks of a record right, as of one that stands at `offset`, if its whole length is there.
pub(crate) fn seal_record(record: &mut [u8], seed: u64, offset: usize) {
    if let Some(body) = record.get(HEAD..record_len(record, 0)) {
        let check = xxh64(body, seed.wrapping_add(offset as u64)) as u32;
        record[4..8].copy_from_slice(&check.to_le_bytes());
    }
    seal_head(record, seed, offset);
}

/// Where the records of a sound file stand.
pub(crate) fn records(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = LOG;
    while at + HEAD <= file.len() {
        let len = record_len(file, at);
        assert_eq!(verifies(file, at), Some(true), "the record at {at}");
        found.push(at..at + len);
        at += len;
    }
    assert_eq!(at, file.len());
    found
}

/// Whether the body of the record at `at` verifies; `None` if not even its head does.
pub(crate) fn verifies(file: &[u8], at: usize) -> Option<bool> {
    let seed = seed(file).wrapping_add(at as u64);
    let head = file.get(at..at + HEAD)?;
    let check = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    (xxh64(&head[8..], seed) as u32 == check(0)).then_some(())?;
    let body = file.get(at + HEAD..at + record_len(file, at));
    Some(body.is_some_and(|body| xxh64(body, seed) as u32 == check(4)))
}
