//! Proof that the store keeps what it acknowledged, whatever the power and the system calls do: workloads on a
//! simulated machine, an oracle that judges what is left, and suites that put the two together.
//!
//! Users of the public face only, apart from the tests, so that several suites share them.

pub(crate) mod cases;
pub(crate) mod elision;
pub(crate) mod errors;
pub(crate) mod linearizability;
pub(crate) mod oracle;
pub(crate) mod power;
pub(crate) mod together;
pub(crate) mod workload;

/// How many cases a suite has been through, and what they were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Distinct images that power cuts left.
    pub(crate) images: u64,
    /// Images of a power cut during the recovery from another.
    pub(crate) doubles: u64,
    /// Images of a power cut during the recovery from that.
    pub(crate) triples: u64,
    /// How often a change that was not durable, and was lost in a power cut, came about in the next one, with nothing
    /// that became durable in between: its bytes had reached the disk, the length of the file had not.
    pub(crate) came_back: u64,
    /// Runs with a fault.
    pub(crate) runs: u64,
}
