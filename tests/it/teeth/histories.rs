//! The checker of histories rejects what no order explains, and accepts what one does.

use crate::proof::linearizability::{Answer::*, Call::*, *};

fn done(invoked: u64, returned: u64, call: Call, answer: Answer) -> Operation {
    Operation {
        call,
        invoked,
        returned,
        answer: Some(answer),
    }
}

fn failed(invoked: u64, returned: u64, call: Call) -> Operation {
    Operation {
        call,
        invoked,
        returned,
        answer: None,
    }
}

#[test]
fn planted_bad_histories_are_rejected() {
    let bad: [(&str, Vec<Operation>); 12] = [
        (
            "a value from nowhere",
            vec![done(0, 1, Get, Value(Some(1)))],
        ),
        (
            "a lost insert",
            vec![
                done(0, 1, Insert(1), Changed(true)),
                done(2, 3, Get, Value(None)),
            ],
        ),
        (
            "a stale read",
            vec![
                done(0, 1, Insert(1), Changed(true)),
                done(2, 3, Insert(2), Changed(false)),
                done(4, 5, Get, Value(Some(1))),
            ],
        ),
        (
            "two reads that see a write come and go",
            vec![
                done(0, 9, Insert(1), Changed(true)),
                done(1, 2, Get, Value(Some(1))),
                done(3, 4, Get, Value(None)),
            ],
        ),
        (
            "two readers that disagree on the order of writes",
            vec![
                done(0, 20, Insert(1), Changed(true)),
                done(0, 20, Insert(2), Changed(false)),
                done(1, 2, Get, Value(Some(1))),
                done(3, 4, Get, Value(Some(2))),
                done(5, 6, Get, Value(Some(1))),
            ],
        ),
        (
            "two that both inserted what was absent",
            vec![
                done(0, 5, Insert(1), Changed(true)),
                done(0, 5, Insert(2), Changed(true)),
            ],
        ),
        (
            "two that both removed it",
            vec![
                done(0, 1, Insert(1), Changed(true)),
                done(2, 5, Remove, Changed(true)),
                done(2, 5, Remove, Changed(true)),
            ],
        ),
        (
            "a resurrected key",
            vec![
                done(0, 1, Insert(1), Changed(true)),
                done(2, 3, Remove, Changed(true)),
                done(4, 5, Get, Value(Some(1))),
            ],
        ),
        (
            "a lost update",
            vec![
                done(0, 5, Add(1), Value(None)),
                done(0, 5, Add(1), Value(None)),
            ],
        ),
        (
            "an update that counted twice",
            vec![
                done(0, 1, Add(1), Value(None)),
                done(2, 3, Get, Value(Some(2))),
            ],
        ),
        (
            "a failed write that happened before it was made",
            vec![done(0, 1, Get, Value(Some(7))), failed(2, 3, Insert(7))],
        ),
        (
            "a failed update that happened twice",
            vec![
                failed(0, 1, Add(1)),
                done(2, 3, Get, Value(Some(1))),
                done(4, 5, Get, Value(Some(2))),
            ],
        ),
    ];
    for (what, history) in &bad {
        assert!(!is_linearizable(None, history), "{what}");
    }
}

#[test]
fn histories_that_an_order_explains_are_accepted() {
    let good: [(&str, Vec<Operation>); 6] = [
        ("nothing", vec![]),
        (
            "overlapping, either way",
            vec![
                done(0, 5, Insert(1), Changed(true)),
                done(0, 5, Get, Value(None)),
                done(0, 5, Get, Value(Some(1))),
            ],
        ),
        (
            "an order that is not that of the invocations",
            vec![
                done(0, 9, Insert(1), Changed(false)),
                done(1, 8, Insert(2), Changed(true)),
                done(10, 11, Get, Value(Some(1))),
            ],
        ),
        (
            "a failed write that happened late",
            vec![
                failed(0, 1, Insert(7)),
                done(2, 3, Get, Value(None)),
                done(4, 5, Get, Value(Some(7))),
            ],
        ),
        (
            "a failed write that never happened",
            vec![
                failed(0, 1, Remove),
                failed(0, 1, Insert(3)),
                done(2, 3, Get, Value(None)),
            ],
        ),
        (
            "updates in turn",
            vec![
                done(0, 9, Add(2), Value(Some(3))),
                done(0, 9, Add(3), Value(None)),
                done(10, 11, Remove, Changed(true)),
            ],
        ),
    ];
    for (what, history) in &good {
        assert!(is_linearizable(None, history), "{what}");
    }
}

/// Every order of every subset that holds all that were answered.
fn by_brute_force(state: Option<u64>, left: &[Operation]) -> bool {
    if left.iter().all(|operation| operation.answer.is_none()) {
        return true;
    }
    (0..left.len()).any(|index| {
        let next = left[index];
        let mut rest = left.to_vec();
        rest.remove(index);
        let (state, answer) = apply(state, next.call);
        let in_time = rest
            .iter()
            .all(|other| other.answer.is_none() || other.returned >= next.invoked);
        in_time && next.answer.is_none_or(|given| given == answer) && by_brute_force(state, &rest)
    })
}

#[test]
fn agrees_with_trying_every_order() {
    let mut state = 1_u64;
    let mut below = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let (mut good, mut bad) = (0, 0);
    for case in 0..20_000 {
        let history: Vec<Operation> = (0..1 + below(5))
            .map(|_| {
                let invoked = below(8);
                let (call, answer) = match below(4) {
                    0 => (Get, Value([None, Some(1), Some(2)][below(3) as usize])),
                    1 => (Insert(1 + below(2)), Changed(below(2) == 0)),
                    2 => (Remove, Changed(below(2) == 0)),
                    _ => (Add(1), Value([None, Some(1)][below(2) as usize])),
                };
                match below(6) {
                    0 => failed(invoked, invoked + below(6), call),
                    _ => done(invoked, invoked + below(6), call, answer),
                }
            })
            .collect();
        let expected = by_brute_force(None, &history);
        assert_eq!(
            is_linearizable(None, &history),
            expected,
            "case {case}: {history:?}"
        );
        *if expected { &mut good } else { &mut bad } += 1;
    }
    assert!(good > 2_000 && bad > 2_000, "{good} good, {bad} bad");
}

#[test]
fn a_history_is_noted_while_it_happens_and_a_bad_one_is_shown() {
    let history = History::default();
    history.note(1, Insert(5), || Some(Changed(true)));
    history.note(1, Insert(6), || None);
    history.note(2, Get, || Some(Value(None)));
    history.check(&"never");
    history.note(1, Get, || Some(Value(Some(7))));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.check(&"seed 3")));
    let text = *panic.unwrap_err().downcast::<String>().unwrap();
    assert!(
        text.starts_with("no order explains key 1, seed 3:\n"),
        "{text}"
    );
    assert_eq!(text.matches("Operation").count(), 3);
}
