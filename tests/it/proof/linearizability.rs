//! Whether concurrent calls on one key can be explained by calls one after the other.
//!
//! The search is that of Wing and Gong (Testing and Verifying Concurrent Objects, 1993), and remembers the states that
//! it has been in, as Lowe has it (Testing for Linearizability, 2017). A history is linearizable if that of each key is
//! (Herlihy and Wing, 1990), so each key is checked alone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A call on one key. Values are numbers, which a test may encode as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Get,
    Insert(u64),
    Remove,
    /// An update that adds to the value; what is absent counts as 0.
    Add(u64),
}

/// The answer of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `Get`: what it found. `Add`: what it was given.
    Value(Option<u64>),
    /// `Insert`: the key is new. `Remove`: it was there.
    Changed(bool),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) call: Call,
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    /// `None`: it failed, or the process that made it was killed. Such a call happened at any time after it was
    /// invoked, or never.
    pub(crate) answer: Option<Answer>,
}

/// One after the other, a call does this.
pub(crate) fn apply(state: Option<u64>, call: Call) -> (Option<u64>, Answer) {
    match call {
        Call::Get => (state, Answer::Value(state)),
        Call::Insert(value) => (Some(value), Answer::Changed(state.is_none())),
        Call::Remove => (None, Answer::Changed(state.is_some())),
        Call::Add(value) => (Some(state.unwrap_or(0) + value), Answer::Value(state)),
    }
}

/// Whether some order explains all answers: each call happens once, between its invocation and its return.
pub(crate) fn is_linearizable(initial: Option<u64>, operations: &[Operation]) -> bool {
    assert!(operations.len() <= 128, "longer histories take too long");
    let answered = |done: u128| {
        let all = operations.iter().enumerate();
        all.filter(move |(index, operation)| done >> index & 1 == 0 && operation.answer.is_some())
    };
    let mut seen = HashSet::new();
    let mut ahead = vec![(0_u128, initial)];
    while let Some((done, state)) = ahead.pop() {
        // A call that was invoked after another had returned comes after it.
        let Some(first) = answered(done)
            .map(|(_, operation)| operation.returned)
            .min()
        else {
            return true;
        };
        for (index, operation) in operations.iter().enumerate() {
            if done >> index & 1 == 1 || operation.invoked > first {
                continue;
            }
            let (state, answer) = apply(state, operation.call);
            let explained = operation.answer.is_none_or(|given| given == answer);
            if explained && seen.insert((done | 1 << index, state)) {
                ahead.push((done | 1 << index, state));
            }
        }
    }
    false
}

/// Calls on many keys, noted by those who make them.
#[derive(Debug, Default)]
pub(crate) struct History {
    clock: AtomicU64,
    keys: Mutex<BTreeMap<u64, Vec<Operation>>>,
}

impl History {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes a call and what it answers; `None` is an error.
    pub(crate) fn note(&self, key: u64, call: Call, make: impl FnOnce() -> Option<Answer>) {
        let operation = Operation {
            call,
            invoked: self.now(),
            returned: u64::MAX,
            answer: None,
        };
        // Noted before it is made: the process that makes it may be killed meanwhile.
        let index = {
            let mut keys = self.keys.lock().unwrap();
            let operations = keys.entry(key).or_default();
            operations.push(operation);
            operations.len() - 1
        };
        let answer = make();
        let returned = self.now();
        if let Some(operation) = self
            .keys
            .lock()
            .unwrap()
            .get_mut(&key)
            .map(|key| &mut key[index])
        {
            (operation.answer, operation.returned) = (answer, returned);
        }
    }

    /// # Panics
    /// If no order explains what was answered for a key, with that history. All keys were absent at first.
    pub(crate) fn check(&self, how_to_repeat: &dyn std::fmt::Display) {
        for (key, operations) in self.keys.lock().unwrap().iter() {
            if !is_linearizable(None, operations) {
                let lines = operations
                    .iter()
                    .map(|operation| format!("{operation:?}\n"));
                panic!(
                    "no order explains key {key}, {how_to_repeat}:\n{}",
                    lines.collect::<String>()
                );
            }
        }
    }
}
