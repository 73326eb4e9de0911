//! The findings of an opening, and what was done about them.

use std::path::PathBuf;
use std::time::SystemTime;

/// Everything that a handle found wrong with its file since it was opened, and did about it. Empty for a sound file.
///
/// ```
/// # fn main() -> shelflife::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
/// assert!(store.recovery().is_clean());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Ends of the log that did not verify. **Uncertain**: an append that a crash cut short leaves such an end, but so
    /// does damage to the very last records, if no sync after them was ever noted. Of more than 64 the first one and the
    /// last 63.
    pub torn_tails: Vec<TornTail>,
    /// Damage to records that had been acknowledged.
    pub damage: Vec<Damage>,
    /// Offset of a copy of the file header that does not verify, or is another file's; the other one counts.
    pub bad_header_copy: Option<u64>,
    /// Each time that the file was found without what this handle had read from it or written to it. Of more than 64 the
    /// first one and the last 63.
    pub reverted: Vec<Reverted>,
    /// The type of the network file system that holds the file, if this handle only reads there or has it exclusively. A
    /// word of warning and nothing wrong: what another machine writes is seen late there, or in part. Only Linux tells.
    pub network_file_system: Option<String>,
    /// A compaction that is due and that this handle tried in vain.
    pub overdue: Option<Overdue>,
}

/// A compaction that does not succeed: the file grows until its cause is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overdue {
    /// When this handle first tried it in vain, by its clock.
    pub since: SystemTime,
    /// The reason why the last attempt that failed did, and what to do about it.
    pub reason: String,
}

/// Findings of one kind that a handle keeps, which may live for years beside processes that crash.
const FINDINGS_MAX: usize = 64;

/// Adds a finding to others of its kind. The first one stays, because it explains the others.
pub(crate) fn add<T>(findings: &mut Vec<T>, found: T) {
    if findings.len() >= FINDINGS_MAX {
        findings.remove(1);
    }
    findings.push(found);
}

impl Recovery {
    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        let network_file_system = self.network_file_system.clone();
        *self
            == Recovery {
                network_file_system,
                ..Recovery::default()
            }
    }
}

/// Bytes at the end of the log that do not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// Where the valid log ends.
    pub offset: u64,
    /// How many bytes stood behind.
    pub len_bytes: u64,
    /// Where they were kept when the tail was cut. `None` if no write has cut it yet, if they could not be kept, or if
    /// four such files are kept already.
    pub evidence: Option<PathBuf>,
    /// Why the bytes could not be kept when the tail was cut, which went on without.
    pub not_kept: Option<String>,
}

/// Records that a handle had read or written are not in the file any more: somebody put a backup over it, its end was
/// lost, a writer took back an append that had failed, or a sync failed and took them from the cache as well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reverted {
    /// Where the log ended that the handle knew.
    pub from: u64,
    /// Where the log ends that the handle found in its place, and goes on with.
    pub to: u64,
}

/// Bytes that were acknowledged once and do not verify any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub len_bytes: u64,
    /// Whether they are one record of known extent, so that only its key is affected. Otherwise anything may be
    /// missing, and every record before may be outdated.
    pub one_record: bool,
    pub(crate) fingerprint: u32,
}

impl Damage {
    pub(crate) fn record(offset: u64, len_bytes: u64, fingerprint: u32) -> Damage {
        Damage {
            offset,
            len_bytes,
            one_record: true,
            fingerprint,
        }
    }

    pub(crate) fn unknown(offset: u64, len_bytes: u64) -> Damage {
        Damage {
            offset,
            len_bytes,
            one_record: false,
            fingerprint: 0,
        }
    }
}
