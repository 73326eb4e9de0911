//! The power is cut at every step of every workload: each image that it can leave, or each of a sample where there are
//! over 4,096, opens to what was acknowledged, and goes on from there.

use crate::proof::Counts;
use crate::proof::cases;
use crate::proof::power::{Case, EVERY, Plan};
use crate::proof::workload::{EXCLUSIVE_OS, PATH, SHARED, SHARED_OS};
use crate::support::{is_soak, setting};
use shelflife::sim::{FailedSync, SimDisk};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

/// The first seed. Each names one run of each workload.
fn seed() -> u64 {
    setting("SHELF_CRASH_SEED").unwrap_or(1)
}

/// `at_least` so many images, and images of a second power cut, are tried for each seed.
fn survives(test: &str, case: &Case, plan: Plan, at_least: (u64, u64)) {
    let (mut counts, start) = (Counts::default(), Instant::now());
    let seeds = if is_soak() { 20 } else { 1 };
    for seed in seed()..seed() + seeds {
        if let Err(error) = case.run(seed, plan, &mut counts) {
            panic!("{error}\nrepeat with SHELF_CRASH_SEED={seed} cargo test --test it {test}");
        }
    }
    let name = case.name;
    let Counts {
        doubles, came_back, ..
    } = counts;
    assert!(
        came_back <= doubles / 10_000,
        "{came_back} of {doubles} lost changes came about in a second power cut"
    );
    let _ = writeln!(
        std::io::stdout(),
        "METRIC crash.{name}.images={} crash.{name}.double={} crash.{name}.triple={} crash.{name}.came_back={came_back} seed={} secs={:.1}",
        counts.images,
        doubles,
        counts.triples,
        seed(),
        start.elapsed().as_secs_f64()
    );
    assert!(
        counts.images >= at_least.0 * seeds && doubles >= at_least.1 * seeds,
        "{} images and {doubles} of a second power cut, of {seeds} times {at_least:?}",
        counts.images
    );
}

/// One test for each workload, so that they run side by side, each with the numbers that it does not fall below.
macro_rules! every_image {
    ($($name:ident: $case:expr, at least $images:literal, $doubles:literal;)*) => {
        $(
            #[test]
            fn $name() {
                survives(stringify!($name), &$case, EVERY, ($images, $doubles));
            }
        )*

        const _: () = assert!(0 $(+ $images)* > 200_000 && 0 $(+ $doubles)* > 250_000);
    };
}

every_image! {
    a_store_cut_off_while_it_is_created_opens_as_empty: cases::creation(), at least 7_700, 7_800;
    what_was_acknowledged_survives_shared: cases::shared(), at least 26_700, 46_200;
    what_was_acknowledged_survives_exclusive: cases::exclusive(), at least 26_700, 46_200;
    what_was_synced_survives_shared: cases::shared_os(), at least 5_300, 9_000;
    what_was_synced_survives_exclusive: cases::exclusive_os(), at least 5_300, 9_000;
    what_was_synced_of_long_records_survives: cases::long_os(), at least 9_000, 16_900;
    each_step_of_a_compaction_keeps_everything: cases::compaction(), at least 7_200, 9_100;
    each_step_of_an_exclusive_compaction_keeps_everything: cases::exclusive_compaction(), at least 2_800, 4_100;
    each_step_of_a_compaction_of_unsynced_records_keeps_what_was_synced: cases::compaction_os(), at least 3_500, 5_100;
    what_was_cleared_stays_cleared: cases::clearing(), at least 25_000, 26_600;
    what_was_expired_stays_expired: cases::expiry(), at least 4_600, 6_500;
    two_processes_survive: cases::two_processes(), at least 5_400, 7_500;
    a_write_after_somebody_elses_rename_survives: cases::killed_between_rename_and_directory_sync(), at least 3_100, 4_200;
    what_a_killed_process_left_does_no_harm: cases::killed(), at least 7_300, 9_700;
    what_a_failed_append_left_never_comes_back: cases::failed_appends(), at least 10_300, 19_100;
    what_was_cut_off_never_joins_what_follows: cases::stale(), at least 4_100, 7_200;
    a_repair_survives: cases::repairs(), at least 8_800, 16_200;
    what_is_closed_is_synced_shared: cases::reopening(SHARED_OS), at least 2_200, 3_700;
    what_is_closed_is_synced_exclusive: cases::reopening(EXCLUSIVE_OS), at least 2_200, 3_700;
    a_failed_sync_that_keeps_pages_loses_nothing: cases::failed_sync(FailedSync::KeepClean), at least 5_000, 8_500;
    a_failed_sync_that_reverts_pages_loses_nothing: cases::failed_sync(FailedSync::Revert), at least 24_600, 41_600;
    an_exclusive_failed_sync_that_keeps_pages_loses_nothing: cases::failed_sync_exclusive(FailedSync::KeepClean), at least 3_700, 6_900;
    an_exclusive_failed_sync_that_reverts_pages_loses_nothing: cases::failed_sync_exclusive(FailedSync::Revert), at least 5_400, 10_200;
}

/// A record below the watermark was acknowledged: it is damaged, never torn. Only the last record of a log that was not
/// closed may be either.
#[test]
fn rot_below_the_watermark_is_never_taken_for_a_crash() {
    let start = Instant::now();
    let (mut as_damage, mut as_torn_above) = (0, 0);
    for closed in [false, true] {
        let sim = SimDisk::new(seed());
        let process = sim.process();
        let store = SHARED
            .options(Arc::new(process.clone()))
            .open(PATH)
            .unwrap();
        let mut durable = 0;
        for number in 0..8_u8 {
            durable = store.stats().unwrap().file_bytes;
            store.insert([number], [number; 20]).unwrap();
        }
        if closed {
            durable = store.stats().unwrap().file_bytes;
            store.close().unwrap();
        } else {
            sim.kill(process.id());
        }
        let bytes = sim.read(PATH).unwrap();
        for at in 8192..bytes.len() {
            for bit in 0..8 {
                let mut rotten = bytes.clone();
                rotten[at] ^= 1 << bit;
                let sim = SimDisk::new(seed());
                sim.write(PATH, &rotten).unwrap();
                let opened = SHARED.options(sim.disk()).open(PATH);
                let is_damage = match &opened {
                    Ok(store) => !store.recovery().damage.is_empty(),
                    Err(error) => error.is_corrupt(),
                };
                let is_torn = opened.is_ok_and(|store| !store.recovery().torn_tails.is_empty());
                let below = (at as u64) < durable;
                assert!(
                    is_damage && below || is_torn && !below,
                    "closed {closed}, byte {at} bit {bit}: damage {is_damage}, torn {is_torn}"
                );
                as_damage += u32::from(is_damage);
                as_torn_above += u32::from(is_torn);
            }
        }
    }
    let _ = writeln!(
        std::io::stdout(),
        "METRIC crash.rot_as_rot={as_damage} crash.rot_as_crash_below=0 crash.rot_as_uncertain_above={as_torn_above} seed={} secs={:.1}",
        seed(),
        start.elapsed().as_secs_f64()
    );
}
