//! One table of the places at which a replay stops, and of what may be done there.
//!
//! # Terms
//!
//! - The **place** is where the replay stops: no record stands there that follows on the one before.
//! - The **tail** is the end of the last record that counts. It is the place itself or, if a batch is begun, where that
//!   batch begins.
//! - The **watermark** is the largest `durable` of all records in the file whose checks are both right, those behind the
//!   place included, and at least the header's `base`. The writer of that record had synced the log up to there.
//!
//! A power cut takes only what no sync had covered. So bytes that are missing below the watermark are damage to
//! acknowledged data, and no crash explains them. Above the watermark either may be the cause.

use super::Crossing;

/// The bytes at the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// The file ends here.
    Nothing,
    /// The head of the next record, right by its check, and a body that is not.
    Head,
    /// Anything else: bytes that are no record, the beginning of one, or a record that does not follow on the one before.
    Bytes,
}

/// Everything that the verdict on a place depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) stands: Stands,
    /// The tail lies below the watermark.
    pub(super) is_acknowledged: bool,
    /// A whole record stands somewhere behind the place.
    pub(super) records_behind: bool,
    /// The replay has read the beginning of a batch, and not its end.
    pub(super) batch_begun: bool,
    pub(super) crossing: Crossing,
}

/// The replay's way on from a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The log ends at the tail, and so does the file.
    Ends,
    /// The log ends at the tail; what follows does not count. A writer repairs it before it appends.
    Torn,
    /// The record counts without its key and value: the replay goes on behind it, and reading its key is an error.
    LosesOneRecord,
    /// The file is not opened.
    Refuses,
    /// The replay goes on at the next record there is, or at the end; everything before it may be outdated.
    Crosses,
}

struct Row {
    stands: &'static [Stands],
    is_acknowledged: &'static [bool],
    records_behind: &'static [bool],
    batch_begun: &'static [bool],
    crossing: &'static [Crossing],
    verdict: Verdict,
}

const EITHER: &[bool] = &[false, true];
const YES: &[bool] = &[true];
const NO: &[bool] = &[false];
const ANY: &[Crossing] = &[Crossing::Nothing, Crossing::Damage, Crossing::Everything];
const NONE: &[Crossing] = &[Crossing::Nothing];
const SOME: &[Crossing] = &[Crossing::Damage, Crossing::Everything];
const ALL: &[Crossing] = &[Crossing::Everything];
const NOT_ALL: &[Crossing] = &[Crossing::Nothing, Crossing::Damage];

const fn row(
    stands: &'static [Stands],
    is_acknowledged: &'static [bool],
    records_behind: &'static [bool],
    batch_begun: &'static [bool],
    crossing: &'static [Crossing],
    verdict: Verdict,
) -> Row {
    Row {
        stands,
        is_acknowledged,
        records_behind,
        batch_begun,
        crossing,
        verdict,
    }
}

use Stands::{Bytes, Head, Nothing};
use Verdict::{Crosses, Ends, LosesOneRecord, Refuses, Torn};

/// The conditions: what stands there, whether it is acknowledged, whether records stand behind it, whether a batch is
/// begun, what the reader crosses; and the verdict. Exactly one row fits each case.
#[rustfmt::skip]
const TABLE: [Row; 11] = [
    // The writer has finished its last append, and nothing was lost. A log that somebody cut where a batch ends looks the
    // same: nothing outside of a log tells how long it was.
    row(&[Nothing], NO, EITHER, NO, ANY, Ends),
    // The writer died or lost power in the middle of a batch, or is still writing it. The records of that batch which are
    // whole do not count.
    row(&[Nothing], NO, EITHER, YES, ANY, Torn),
    // The file lost its end, below what a sync had covered: somebody copied it in part, or the file system was repaired.
    row(&[Nothing], YES, EITHER, EITHER, NONE, Refuses),
    // The same file, for a reader that makes do with what is there.
    row(&[Nothing], YES, EITHER, EITHER, SOME, Crosses),
    // A power cut tore the last appends: any of their sectors may be on disk, later ones without earlier ones too, or
    // zeros, where the file system had noted the new length only. A writer at work looks the same to a reader without
    // the lock. So does rot in the last group of records: a sync may have covered them, and no later record says so.
    row(&[Head, Bytes], NO, EITHER, EITHER, NOT_ALL, Torn),
    // The same end, for a salvage that has passed the last record there is.
    row(&[Head, Bytes], NO, NO, EITHER, ALL, Torn),
    // The same end, for a salvage, with whole records behind. They were never acknowledged, or their torn neighbour was,
    // and rotted since; the salvage can't tell, and saves what stands on both sides.
    row(&[Bytes], NO, YES, EITHER, ALL, Crosses),
    row(&[Head], NO, YES, EITHER, ALL, LosesOneRecord),
    // Rot hit the key or the value of an acknowledged record. Its head tells where it ends, whose it is and what it
    // replaced, so nothing else is lost.
    row(&[Head], YES, EITHER, EITHER, ANY, LosesOneRecord),
    // Rot hit the head of an acknowledged record; or a block of the log was lost, overwritten or put in another place.
    // Nobody can tell how many records stood there, nor whose they were.
    row(&[Bytes], YES, EITHER, EITHER, NONE, Refuses),
    row(&[Bytes], YES, EITHER, EITHER, SOME, Crosses),
];

impl Row {
    fn fits(&self, case: &Case) -> bool {
        self.stands.contains(&case.stands)
            && self.is_acknowledged.contains(&case.is_acknowledged)
            && self.records_behind.contains(&case.records_behind)
            && self.batch_begun.contains(&case.batch_begun)
            && self.crossing.contains(&case.crossing)
    }
}

pub(super) fn verdict(case: &Case) -> Verdict {
    let row = TABLE.iter().find(|row| row.fits(case));
    // One fits; if none did, nothing would be cut.
    row.map_or(Verdict::Refuses, |row| row.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_case() -> Vec<Case> {
        let mut cases = Vec::new();
        for stands in [Nothing, Head, Bytes] {
            for crossing in ANY {
                for flags in 0..8u8 {
                    cases.push(Case {
                        stands,
                        is_acknowledged: flags & 1 != 0,
                        records_behind: flags & 2 != 0,
                        batch_begun: flags & 4 != 0,
                        crossing: *crossing,
                    });
                }
            }
        }
        cases
    }

    #[test]
    fn exactly_one_row_fits_each_case() {
        let cases = every_case();
        assert_eq!(cases.len(), 72);
        for case in cases {
            let rows = TABLE.iter().filter(|row| row.fits(&case)).count();
            assert_eq!(rows, 1, "{case:?}");
        }
    }

    #[test]
    fn what_was_acknowledged_is_never_called_torn_and_never_the_end() {
        for case in every_case() {
            let verdict = verdict(&case);
            let may_be_cut = matches!(verdict, Ends | Torn);
            assert!(!may_be_cut || !case.is_acknowledged, "{case:?}");
            // A writer's handle crosses nothing, and refuses nothing that a crash may have left.
            if case.crossing == Crossing::Nothing {
                assert_ne!(verdict, Crosses, "{case:?}");
                assert!(verdict != Refuses || case.is_acknowledged, "{case:?}");
            }
        }
    }
}
