//! Writers that never pause, in threads of one handle or in processes, on one file.

use crate::{Random, key, open};
use shelflife::{Batch, Change, Durability, Store};
use std::path::Path;
use std::time::{Duration, Instant};

const WRITING_TIME: Duration = Duration::from_secs(5);

/// Updates entries for a while, as fast as it can. Returns how long each update took, in ns.
fn writer(store: &Store, seed: u64) -> Vec<u64> {
    let (mut random, mut took, start) = (Random(seed), Vec::new(), Instant::now());
    while start.elapsed() < WRITING_TIME {
        let call = Instant::now();
        let put = |_: Option<&[u8]>| Ok((Change::Put(vec![1; 320]), ()));
        store.update(key(random.next() % 10_000), put).unwrap();
        took.push(call.elapsed().as_nanos() as u64);
    }
    took
}

/// The writer of a process of its own: it leaves what it measured in a file beside the store.
pub(crate) fn writer_process(path: &Path, seed: u64, durability: Durability) {
    let took = writer(&open(path, false, durability), seed);
    let bytes: Vec<u8> = took.iter().flat_map(|took| took.to_le_bytes()).collect();
    std::fs::write(path.with_extension(seed.to_string()), bytes).unwrap();
}

/// Writers on one file that all have something to write at any time, in threads of one handle or in processes.
pub(crate) fn writers(processes: u64, threads: u64, durability: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.shelf");
    let store = open(&path, false, durability);
    let mut batch = Batch::new();
    (0..10_000).for_each(|nth| _ = batch.insert(key(nth), [0; 320]));
    store.write(&batch).unwrap();
    let took: Vec<Vec<u64>> = if processes > 1 {
        let start = |seed: u64| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["writer", &seed.to_string(), &format!("{durability:?}")])
                .arg(&path)
                .spawn()
                .unwrap()
        };
        let children: Vec<_> = (1..=processes).map(start).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let read = |seed: u64| std::fs::read(path.with_extension(seed.to_string())).unwrap();
        let numbers = |bytes: Vec<u8>| {
            let (numbers, _) = bytes.as_chunks();
            numbers
                .iter()
                .map(|&number| u64::from_le_bytes(number))
                .collect()
        };
        (1..=processes).map(|seed| numbers(read(seed))).collect()
    } else {
        std::thread::scope(|scope| {
            let started: Vec<_> = (1..=threads)
                .map(|seed| (seed, &store))
                .map(|(seed, store)| scope.spawn(move || writer(store, seed)))
                .collect();
            started.into_iter().map(|it| it.join().unwrap()).collect()
        })
    };
    let counts: Vec<usize> = took.iter().map(Vec::len).collect();
    let mut all = took.concat();
    all.sort_unstable();
    let ms = |nth: usize| all[nth.min(all.len() - 1)] as f64 / 1e6;
    println!(
        "  {processes:>2} processes, {threads:>2} threads {:>9} {:>6.1} thousand a second   of one {:>5.1} to {:>5.1}   \
         p50 {:.3} ms   p99.9 {:>7.2} ms   worst {:>6.1} ms",
        format!("{durability:?}"),
        all.len() as f64 / WRITING_TIME.as_secs_f64() / 1e3,
        counts.iter().min().copied().unwrap_or_default() as f64 / 5e3,
        counts.iter().max().copied().unwrap_or_default() as f64 / 5e3,
        ms(all.len() / 2),
        ms(all.len() * 999 / 1000),
        ms(all.len() - 1),
    );
}
