//! Values under names, in a plain list.
//!
//! It is kept in the order in which CBOR has the keys of a map, so that neither reading a session nor storing one has
//! anything to sort. An insertion may move all that stands behind it; but a session is stored as a whole, which costs
//! more.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use crate::store::order::sort_by;

/// Values, each as its CBOR, under names that differ.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Named {
    items: Vec<(String, Vec<u8>)>,
}

impl Named {
    /// Where a name stands, or would.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.items
            .binary_search_by(|(known, _)| rank(known).cmp(&rank(name)))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Vec<u8>> {
        let place = self.place(name).ok()?;
        self.items.get(place).map(|(_, value)| value)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    pub(super) fn insert(&mut self, name: &str, value: Vec<u8>) {
        match self.place(name) {
            Ok(place) => {
                if let Some((_, known)) = self.items.get_mut(place) {
                    *known = value;
                }
            }
            Err(place) => self.items.insert(place, (name.to_string(), value)),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(place) = self.place(name) {
            self.items.remove(place);
        }
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Vec<u8>)> {
        self.items.iter().map(|(name, value)| (&**name, value))
    }

    /// The names in the order of the alphabet.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.items.iter().map(|(name, _)| &**name).collect();
        sort_by(&mut names, |a, b| a.cmp(b));
        names
    }
}

/// The order of names: CBOR writes the length of a key before its letters.
fn rank(name: &str) -> (usize, &str) {
    (name.len(), name)
}

#[cfg(test)]
mod tests {
    use super::Named;
    use std::collections::BTreeMap;

    #[test]
    fn values_are_kept_under_their_names_as_a_map_keeps_them() {
        let (mut named, mut map) = (Named::default(), BTreeMap::new());
        for step in 0..2_000_u64 {
            let random = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let name = (random % 128).to_string();
            match random % 3 {
                0 => {
                    named.remove(&name);
                    map.remove(&name);
                }
                _ => {
                    named.insert(&name, step.to_le_bytes().to_vec());
                    map.insert(name.clone(), step.to_le_bytes().to_vec());
                }
            }
            assert_eq!(named.get(&name), map.get(&name), "step {step}");
            assert_eq!(named.contains(&name), map.contains_key(&name));
            assert!(named.names().into_iter().eq(map.keys()), "step {step}");
            assert_eq!((named.len(), named.is_empty()), (map.len(), map.is_empty()));
            let kept: BTreeMap<_, _> = named.iter().collect();
            assert!(
                kept.into_iter()
                    .eq(map.iter().map(|(name, value)| (&**name, value)))
            );
        }
    }

    #[test]
    fn values_stand_in_the_order_of_encoded_keys() {
        let mut named = Named::default();
        for name in ["b", "aa", "", "a", "ab"] {
            named.insert(name, Vec::new());
        }
        let names: Vec<&str> = named.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["", "a", "b", "aa", "ab"]);
    }
}
