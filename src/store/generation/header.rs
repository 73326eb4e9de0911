//! Which copy of the file header counts: one table.
//!
//! Both copies are written at once and synced before the file gets its name, and never again. So no crash leaves a copy
//! that is not valid, or two that differ. If a file has such copies, a block was lost, written to a wrong place, used
//! again or hit by rot. Either copy alone would open the file, but a valid one need not be this file's. The log tells:
//! each record is sealed under the seed of its file's header, so a single record that verifies shows whose log this is.

use super::Generation;
use crate::error::{Error, ErrorKind, Result};
use crate::store::format::{COPIES, Copies, FileHeader, HeaderRead, LOG_START};
use crate::store::log::{LogFile, Scanner};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    copies: Copies,
    /// The file ends before its log begins, or where it does.
    is_empty: bool,
    /// Some record verifies under the first copy, if that is valid.
    first_verifies: bool,
    second_verifies: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Nothing is wrong.
    Both,
    First,
    Second,
    /// The copy that calls more of the log durable.
    LargerBase,
    Refuse,
}

struct Row {
    copies: &'static [Copies],
    is_empty: &'static [bool],
    first_verifies: &'static [bool],
    second_verifies: &'static [bool],
    choice: Choice,
}

const EITHER: &[bool] = &[false, true];
const YES: &[bool] = &[true];
const NO: &[bool] = &[false];

const fn row(
    copies: &'static [Copies],
    is_empty: &'static [bool],
    first_verifies: &'static [bool],
    second_verifies: &'static [bool],
    choice: Choice,
) -> Row {
    Row {
        copies,
        is_empty,
        first_verifies,
        second_verifies,
        choice,
    }
}

use Choice::{Both, First, LargerBase, Refuse, Second};
use Copies::{Differ, OnlyFirst, OnlySecond, Same};

/// The conditions: what the copies are, whether the log is empty, whether a record verifies under the first copy, and
/// under the second; and the choice. Exactly one row fits each start of a file.
#[rustfmt::skip]
const TABLE: [Row; 11] = [
    // Nothing happened to the header. A log of which nothing verifies is the first append, torn by a power cut.
    row(&[Same], EITHER, EITHER, EITHER, Both),
    // Rot hit one copy, and nothing else that matters.
    row(&[OnlyFirst], NO, YES, EITHER, First),
    row(&[OnlySecond], NO, EITHER, YES, Second),
    // The same for a store to which nobody has written yet.
    row(&[OnlyFirst], YES, EITHER, EITHER, First),
    row(&[OnlySecond], YES, EITHER, EITHER, Second),
    // The copy that is valid is another file's, and the one of this file is gone. To go by it would call all records
    // torn, and the next writer would cut them off. It may also be this file's, and the log all rotten: nobody can tell.
    row(&[OnlyFirst], NO, NO, EITHER, Refuse),
    row(&[OnlySecond], NO, EITHER, NO, Refuse),
    // A header of another file, such as the store's file before this one, came to stand over one copy.
    row(&[Differ], EITHER, YES, NO, First),
    row(&[Differ], EITHER, NO, YES, Second),
    // Both have the file's seed, so one may be the header of a mirror or of a restored copy, which keep the seed. With
    // a smaller base, acknowledged records could pass for torn ones.
    row(&[Differ], EITHER, YES, YES, LargerBase),
    // One copy is another file's, and no record tells which.
    row(&[Differ], EITHER, NO, NO, Refuse),
];

impl Row {
    fn fits(&self, start: &Start) -> bool {
        self.copies.contains(&start.copies)
            && self.is_empty.contains(&start.is_empty)
            && self.first_verifies.contains(&start.first_verifies)
            && self.second_verifies.contains(&start.second_verifies)
    }
}

fn choose(start: &Start) -> Choice {
    let row = TABLE.iter().find(|row| row.fits(start));
    row.map_or(Choice::Refuse, |row| row.choice)
}

impl Generation {
    /// Reads the header of a file, and the offset of a copy that does not count; `None` if the file's creation was cut
    /// short.
    pub(crate) fn read_header(log: &LogFile) -> Result<Option<(FileHeader, Option<u64>)>> {
        let mut start = vec![0; LOG_START as usize];
        let filled = log.read_up_to(&mut start, 0)?;
        let file_bytes = log.size()?;
        let read = FileHeader::decode(start.get(..filled).unwrap_or_default(), file_bytes);
        let (kind, what, advice) = match read {
            HeaderRead::Valid {
                copies,
                first,
                second,
            } => {
                let is_empty = file_bytes <= LOG_START;
                return choose_copy(log, copies, first, second, is_empty).map(Some);
            }
            HeaderRead::Unborn => return Ok(None),
            HeaderRead::Short => {
                return Err(log
                    .corrupt(file_bytes, "the file ends within its header")
                    .advise("its content is not there; restore a backup"));
            }
            HeaderRead::Damaged => {
                return Err(log
                    .corrupt(0, "neither copy of the file header verifies")
                    .advise("without one no record can be told from garbage; restore a backup"));
            }
            HeaderRead::Newer => (
                ErrorKind::NewerVersion,
                "was written by a newer version",
                "update shelflife to open it",
            ),
            HeaderRead::CutOff => (
                ErrorKind::NotAStore,
                "holds what a repair cut off a store",
                "open the store itself",
            ),
            HeaderRead::Foreign => (
                ErrorKind::NotAStore,
                "is not a shelflife store",
                "check the path; nothing was changed",
            ),
        };
        Err(Error::of_file(kind, &log.path, what).advise(advice))
    }
}

/// Chooses between the copies. If only one is valid, both `first` and `second` are that one.
fn choose_copy(
    log: &LogFile,
    copies: Copies,
    first: FileHeader,
    second: FileHeader,
    is_empty: bool,
) -> Result<(FileHeader, Option<u64>)> {
    // Copies that say the same need no record to choose by.
    let verifies = |header: &FileHeader| match copies {
        Copies::Same => Ok(false),
        _ => has_a_record_of(log, header),
    };
    let start = Start {
        copies,
        is_empty,
        first_verifies: verifies(&first)?,
        second_verifies: verifies(&second)?,
    };
    let (first, second) = ((first, Some(COPIES[1])), (second, Some(COPIES[0])));
    match choose(&start) {
        Choice::Both => Ok((first.0, None)),
        Choice::First => Ok(first),
        Choice::Second => Ok(second),
        Choice::LargerBase if first.0.base >= second.0.base => Ok(first),
        Choice::LargerBase => Ok(second),
        Choice::Refuse => {
            let what = match copies {
                Copies::Differ => "the copies of the file header differ",
                _ => "a copy of the file header does not verify",
            };
            let what = format!("{what}, and no record shows which is the file's own");
            Err(log
                .corrupt(0, &what)
                .advise("nothing was changed; restore a backup"))
        }
    }
}

/// Whether any record of the file is sealed under this header.
fn has_a_record_of(log: &LogFile, header: &FileHeader) -> Result<bool> {
    let mut scanner = Scanner::new(log, header.seed, LOG_START);
    Ok(scanner.find_record(header.epoch)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_row_fits_each_start_of_a_file() {
        for copies in [Same, Differ, OnlyFirst, OnlySecond] {
            for flags in 0..8u8 {
                let start = Start {
                    copies,
                    is_empty: flags & 1 != 0,
                    first_verifies: flags & 2 != 0,
                    second_verifies: flags & 4 != 0,
                };
                let rows = TABLE.iter().filter(|row| row.fits(&start)).count();
                assert_eq!(rows, 1, "{start:?}");
            }
        }
    }

    #[test]
    fn no_header_counts_of_which_a_log_has_no_record_while_another_one_might() {
        for copies in [Differ, OnlyFirst, OnlySecond] {
            for flags in 0..4u8 {
                let start = Start {
                    copies,
                    is_empty: false,
                    first_verifies: flags & 1 != 0,
                    second_verifies: flags & 2 != 0,
                };
                match choose(&start) {
                    First => assert!(start.first_verifies, "{start:?}"),
                    Second => assert!(start.second_verifies, "{start:?}"),
                    LargerBase => assert!(start.first_verifies && start.second_verifies),
                    Refuse => {}
                    Both => panic!("{start:?}"),
                }
            }
        }
    }
}
