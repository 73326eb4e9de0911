//! The suites notice what they are for: each sync, each look at the path, and each lie about the result.

use crate::proof::Counts;
use crate::proof::cases;
use crate::proof::elision::every_sync;
use std::io::Write;
use std::time::Instant;

/// Syncs that can be left out, and why they are there.
const NOT_NEEDED: [&str; 0] = [];

#[test]
fn every_sync_is_needed() {
    let (mut counts, start) = (Counts::default(), Instant::now());
    let (mut sites, mut unnoticed) = (0, Vec::new());
    for case in cases::to_elide() {
        let elided = every_sync(&case, 1, &mut counts).unwrap();
        sites += elided.sites;
        unnoticed.extend(elided.unnoticed);
    }
    let _ = writeln!(
        std::io::stdout(),
        "METRIC teeth.syncs.sites={sites} caught={} images={} seed=1 secs={:.1}",
        sites - unnoticed.len(),
        counts.images,
        start.elapsed().as_secs_f64()
    );
    assert_eq!(unnoticed, NOT_NEEDED);
}
