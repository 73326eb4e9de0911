//! The contents of a session, and how the changes of two requests are put together.

use super::lifetime::Lifetimes;
use std::collections::{BTreeMap, VecDeque};

/// How many form tokens are remembered; the oldest goes when one more is made.
pub(super) const FORM_TOKENS: usize = 32;

/// All of a session but its name and its times.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) user: Option<String>,
    /// When the user last proved to be who he is, by the store's clock.
    pub(super) confirmed: Option<u64>,
    /// A stamp of the user's credentials at the login.
    pub(super) credentials: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) label: Option<String>,
    pub(super) first_address: Option<String>,
    pub(super) remote_address: Option<String>,
    /// In place of the store's.
    pub(super) lifetimes: Option<Lifetimes>,
    /// The newest last.
    pub(super) form_tokens: VecDeque<String>,
    /// Each value as its CBOR.
    pub(super) data: BTreeMap<String, Vec<u8>>,
    /// Fields of a newer version beside these, as their CBOR.
    pub(super) unknown: BTreeMap<String, Vec<u8>>,
    /// The same, beside the contents.
    pub(super) unknown_outside: BTreeMap<String, Vec<u8>>,
}

impl Contents {
    /// The changes from `base` to these, on top of `current`: for each value and field the change counts, if there is
    /// one. Of the form tokens those stay that neither side has removed, the newest 32.
    pub(super) fn rebase(&self, base: &Contents, current: Contents) -> Contents {
        fn pick<T: PartialEq + Clone>(mine: &T, base: &T, current: T) -> T {
            if mine == base { current } else { mine.clone() }
        }
        let mut data = current.data;
        for key in base.data.keys() {
            if !self.data.contains_key(key) {
                data.remove(key);
            }
        }
        for (key, value) in &self.data {
            if base.data.get(key) != Some(value) {
                data.insert(key.clone(), value.clone());
            }
        }
        let mut form_tokens = current.form_tokens;
        form_tokens
            .retain(|token| self.form_tokens.contains(token) || !base.form_tokens.contains(token));
        for token in &self.form_tokens {
            if !base.form_tokens.contains(token) {
                form_tokens.push_back(token.clone());
            }
        }
        let beyond = form_tokens.len().saturating_sub(FORM_TOKENS);
        form_tokens.drain(..beyond);
        Contents {
            user: pick(&self.user, &base.user, current.user),
            confirmed: pick(&self.confirmed, &base.confirmed, current.confirmed),
            credentials: pick(&self.credentials, &base.credentials, current.credentials),
            agent: pick(&self.agent, &base.agent, current.agent),
            label: pick(&self.label, &base.label, current.label),
            first_address: pick(
                &self.first_address,
                &base.first_address,
                current.first_address,
            ),
            remote_address: pick(
                &self.remote_address,
                &base.remote_address,
                current.remote_address,
            ),
            lifetimes: pick(&self.lifetimes, &base.lifetimes, current.lifetimes),
            form_tokens,
            data,
            unknown: current.unknown,
            unknown_outside: current.unknown_outside,
        }
    }
}
