//! Every sequence of three operations that a small vocabulary can say, four with `SHELF_SOAK=1`: what seeds miss by
//! chance.

use super::*;

/// Everything that can be said of one or two keys in a few words.
fn vocabulary() -> Vec<Step> {
    let value = |tag| Value { tag, len: 20 };
    vec![
        Insert(First, 5, value(1), Life::Endless),
        Insert(Second, 5, value(2), Life::Endless),
        Insert(First, 0, value(3), Life::LongOver),
        Remove(Second, 5),
        Keep(First, 0),
        Batch(
            First,
            vec![
                (5, Some((value(4), Life::Endless))),
                (0, None),
                (6, Some((value(5), Life::Over))),
                (5, None),
                (7, Some((value(6), Life::Endless))),
            ],
        ),
        Clear(First),
        Snapshot(First),
        RemoveUnchanged(Second),
        Compact(First),
        Compact(Second),
        Leave(First),
        Reopen(Second),
        Truncate(First),
    ]
}

#[test]
fn every_short_sequence_of_operations_answers_as_a_map_does() {
    let start = Instant::now();
    let vocabulary = vocabulary();
    let len = if is_soak() { 4 } else { 3 };
    let ground = || real(Durability::Os, Compaction::Manual, false);
    let count = vocabulary.len().pow(len);
    for nth in 0..count {
        let mut rest = nth;
        let steps: Vec<_> = (0..len)
            .map(|_| {
                let step = vocabulary[rest % vocabulary.len()].clone();
                rest /= vocabulary.len();
                step
            })
            .collect();
        if let Err(what) = outcome(|| run(&ground(), &steps)) {
            panic!("{what}\nafter {steps:?}");
        }
    }
    let secs = start.elapsed().as_secs_f64();
    metric("model_short_sequences", count, None, secs);
}
