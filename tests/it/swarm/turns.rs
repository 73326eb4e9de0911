//! Calls that were made, and what may be there after them.

use super::model::{Answer, At, Model, Rules, Time};
use super::step::Step::{self, *};
use shelflife::Durability;

/// The states after a change, and how far the disk had been changed when that began.
pub(super) struct Turn {
    pub(super) from: usize,
    pub(super) states: Vec<Model>,
}

/// A call that was made, under what circumstances, and what came of it; `None`: it failed.
pub(super) struct Made<'a> {
    pub(super) step: &'a Step,
    pub(super) at: At,
    pub(super) answer: Option<Answer>,
}

/// Whether there was a switch to a new file is not known.
pub(super) fn or_compacted(states: &mut Vec<Model>, now: Time, rules: Rules) {
    let mut compacted = states.clone();
    let drop_old = |state: &mut Model| state.compact(now, rules);
    compacted.iter_mut().for_each(drop_old);
    states.append(&mut compacted);
}

pub(super) fn distinct(states: Vec<Model>) -> Vec<Model> {
    let mut distinct: Vec<Model> = Vec::with_capacity(states.len());
    for state in states {
        if !distinct.contains(&state) {
            distinct.push(state);
        }
    }
    distinct
}

/// Adds what the state may be after the calls, made in any order, of which each that failed did its work or did not.
pub(super) fn explain(state: &Model, calls: &[&Made<'_>], found: &mut Vec<Model>) {
    if calls.is_empty() {
        found.push(state.clone());
    }
    for (nth, call) in calls.iter().enumerate() {
        let rest = [&calls[..nth], &calls[nth + 1..]].concat();
        let mut after = state.clone();
        if after.take(call.step, &call.at, call.answer.as_ref()) {
            explain(&after, &rest, found);
        }
        if call.answer.is_none() {
            explain(state, &rest, found);
        }
    }
}

impl Made<'_> {
    /// Whether all that was written is durable, since this succeeded.
    pub(super) fn is_durable(&self, durability: Durability) -> bool {
        match (self.step, &self.answer) {
            (_, None | Some(Answer::Corrupt)) => false,
            (Sync(_), _) => true,
            // A handle that has written nothing syncs nothing when it is closed.
            (Reopen(_) | Leave(_) | Close(_), _) => false,
            // These may have found nothing to do.
            (Touch(..) | Has(..), _) => false,
            (Renew(..) | Save(..), Some(answer)) => {
                durability == Durability::Immediate && *answer == Answer::Stored
            }
            (
                LogoutUser(..) | LogoutOthers(..) | LogoutHandle(..) | RemoveUnchanged(..),
                Some(Answer::Count(0)),
            ) => false,
            (LoginCapped(..), Some(Answer::Full)) => false,
            (Sweep(..), Some(Answer::Swept(0, _))) => false,
            (Logout(..) | Edit(..), Some(Answer::Bool(false) | Answer::Session(None))) => false,
            (step, _) => durability == Durability::Immediate && !step.is_read(),
        }
    }
}
