//! Which server has which key, and what a server says when it is not that one. Pure.
//!
//! A key's slot is the CRC-16 of what stands between its braces, modulo 16384. In a cluster each slot has one primary;
//! replicas are never asked, since one that lags behind would show a session that was logged out. A single server
//! is a cluster whose every slot is there.

use super::reply::{Reply, code};
use super::url::Address;
use crate::store::order::sort_by_number;
use std::collections::HashMap;

const SLOTS: u16 = 16384;

/// The slot of the keys with this tag.
pub(super) fn slot_of(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

/// Where each slot is, as far as this client knows.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Map {
    /// Sorted; empty for a single server.
    ranges: Vec<Range>,
    /// The slots that servers called moved since the ranges were read.
    moved: HashMap<u16, Address>,
    /// For what no range covers.
    any: Address,
    /// That one said of itself that it belongs to a cluster.
    is_part: bool,
}

#[derive(Debug, Clone)]
#[cfg_attr(test, derive(PartialEq))]
struct Range {
    first: u16,
    last: u16,
    primary: Address,
}

impl Map {
    pub(super) fn single(server: Address) -> Map {
        Map {
            ranges: Vec::new(),
            moved: HashMap::new(),
            any: server,
            is_part: false,
        }
    }

    /// The answer to `CLUSTER SLOTS`; `None` if it is none, or no slot has a server.
    pub(super) fn read(slots: &Reply, asked: &Address) -> Option<Map> {
        let Reply::Array(entries) = slots else {
            return None;
        };
        let ranges = entries.iter().map(|entry| Range::read(entry, asked));
        let mut ranges: Vec<_> = ranges.collect::<Option<_>>()?;
        sort_by_number(&mut ranges, |range| u64::from(range.first));
        let any = ranges.first()?.primary.clone();
        Some(Map {
            ranges,
            moved: HashMap::new(),
            any,
            is_part: false,
        })
    }

    pub(super) fn is_cluster(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Whether a server named another one, as only those of a cluster do, or said that it belongs to one, and none tells
    /// where all the slots are.
    pub(super) fn is_hidden_cluster(&self) -> bool {
        !self.is_cluster() && (self.is_part || !self.moved.is_empty())
    }

    /// Notes that a server said so.
    pub(super) fn learn_cluster(&mut self) {
        self.is_part = true;
    }

    pub(super) fn server(&self, slot: u16) -> &Address {
        if let Some(server) = self.moved.get(&slot) {
            return server;
        }
        let behind = self.ranges.partition_point(|range| range.first <= slot);
        let range = behind.checked_sub(1).and_then(|at| self.ranges.get(at));
        match range.filter(|range| slot <= range.last) {
            Some(range) => &range.primary,
            None => &self.any,
        }
    }

    /// Notes where a slot is now.
    pub(super) fn learn(&mut self, slot: u16, server: Address) {
        self.moved.insert(slot, server);
    }

    /// Every server that has a slot, each once.
    pub(super) fn primaries(&self) -> Vec<Address> {
        let ranged = self.ranges.iter().map(|range| &range.primary);
        let single = (!self.is_cluster()).then_some(&self.any);
        let mut primaries: Vec<Address> = Vec::new();
        for server in ranged.chain(single).chain(self.moved.values()) {
            if !primaries.contains(server) {
                primaries.push(server.clone());
            }
        }
        primaries
    }
}

impl Range {
    fn read(entry: &Reply, asked: &Address) -> Option<Range> {
        let Reply::Array(fields) = entry else {
            return None;
        };
        let [
            Reply::Int(first),
            Reply::Int(last),
            Reply::Array(primary),
            ..,
        ] = fields.as_slice()
        else {
            return None;
        };
        let (host, port) = match primary.as_slice() {
            [Reply::Bulk(host), Reply::Int(port), ..] => (str::from_utf8(host).ok()?, port),
            [Reply::Nil, Reply::Int(port), ..] => ("", port),
            _ => return None,
        };
        let slot = |number: &i64| u16::try_from(*number).ok().filter(|slot| *slot < SLOTS);
        Some(Range {
            first: slot(first)?,
            last: slot(last)?,
            primary: asked.beside(host, u16::try_from(*port).ok()?),
        })
    }
}

/// The meaning of an error that a server answered: what the client does about it.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Refusal {
    /// The slot is there now.
    Moved(Address),
    /// The slot is on its way there: this one command goes there, behind `ASKING`.
    Ask(Address),
    /// The server does not have the script's text.
    NoScript,
    /// It passes: wait, and ask again.
    Wait,
    /// It passes, and the slot may be elsewhere afterwards.
    WaitForOther,
    /// For good.
    Final,
}

impl Refusal {
    pub(super) fn read(text: &str, asked: &Address) -> Refusal {
        let mut words = text.split(' ').skip(1);
        // The slot comes first, and is that of the key that was asked for.
        let mut server = || {
            let (host, port) = words.nth(1)?.rsplit_once(':')?;
            Some(asked.beside(host, port.parse().ok()?))
        };
        match code(text) {
            "MOVED" => server().map_or(Refusal::Final, Refusal::Moved),
            "ASK" => server().map_or(Refusal::Final, Refusal::Ask),
            "NOSCRIPT" => Refusal::NoScript,
            "TRYAGAIN" | "LOADING" | "BUSY" | "NOREPLICAS" => Refusal::Wait,
            "CLUSTERDOWN" | "MASTERDOWN" | "READONLY" | "UNBLOCKED" => Refusal::WaitForOther,
            _ => Refusal::Final,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn slots_are_those_of_redis() {
        // From `CLUSTER KEYSLOT`.
        for (tag, slot) in [
            ("123456789", 12739),
            ("", 0),
            ("foo", 12182),
            ("x7Q", 10111),
        ] {
            assert_eq!(slot_of(tag.as_bytes()), slot, "{tag}");
        }
    }

    #[test]
    fn three_letters_of_an_id_reach_every_slot_about_equally() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut tags = vec![0; usize::from(SLOTS)];
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    tags[usize::from(slot_of(&[*a, *b, *c]))] += 1;
                }
            }
        }
        assert_eq!(
            (tags.iter().min(), tags.iter().max()),
            (Some(&8), Some(&23))
        );
    }

    fn range(first: i64, last: i64, host: Reply, port: i64) -> Reply {
        let primary = Reply::Array(vec![host, Reply::Int(port), Reply::Bulk(b"id".to_vec())]);
        Reply::Array(vec![
            Reply::Int(first),
            Reply::Int(last),
            primary.clone(),
            primary,
        ])
    }

    #[test]
    fn a_slot_is_with_its_primary_and_an_unknown_host_is_the_one_that_was_asked() {
        let asked = at("asked", 1);
        let slots = Reply::Array(vec![
            range(8000, 16383, Reply::Nil, 3),
            range(0, 99, Reply::Bulk(b"h".to_vec()), 1),
            range(100, 100, Reply::Bulk(vec![]), 2),
        ]);
        let mut map = Map::read(&slots, &asked).unwrap();
        for (slot, server) in [
            (0, at("h", 1)),
            (99, at("h", 1)),
            (100, at("asked", 2)),
            (101, at("h", 1)),
            (7999, at("h", 1)),
            (8000, at("asked", 3)),
            (16383, at("asked", 3)),
        ] {
            assert_eq!(*map.server(slot), server, "{slot}");
        }
        map.learn(5, at("new", 4));
        assert_eq!(*map.server(5), at("new", 4));
        assert_eq!(map.primaries().len(), 4);
        assert!(map.is_cluster() && !map.is_hidden_cluster());
        let mut single = Map::single(asked);
        assert!(!single.is_cluster() && !single.is_hidden_cluster());
        let mut part = single.clone();
        part.learn_cluster();
        single.learn(5, at("new", 4));
        for hidden in [single, part] {
            assert!(!hidden.is_cluster() && hidden.is_hidden_cluster());
        }
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let asked = at("asked", 1);
        let host = || Reply::Bulk(b"h".to_vec());
        for slots in [
            Reply::Nil,
            Reply::Array(vec![]),
            Reply::Array(vec![Reply::Int(1)]),
            Reply::Array(vec![Reply::Array(vec![Reply::Int(0), Reply::Int(1)])]),
            Reply::Array(vec![range(0, 16384, host(), 1)]),
            Reply::Array(vec![range(-1, 1, host(), 1)]),
            Reply::Array(vec![range(0, 1, host(), 65536)]),
            Reply::Array(vec![range(0, 1, Reply::Bulk(vec![0xFF]), 1)]),
        ] {
            assert_eq!(Map::read(&slots, &asked), None, "{slots:?}");
        }
    }

    #[test]
    fn every_refusal_has_its_remedy() {
        let asked = at("asked", 1);
        for (text, refusal) in [
            (
                "MOVED 3999 127.0.0.1:6381",
                Refusal::Moved(at("127.0.0.1", 6381)),
            ),
            ("MOVED 3999 :6381", Refusal::Moved(at("asked", 6381))),
            ("MOVED 3999 ?:6381", Refusal::Moved(at("asked", 6381))),
            ("MOVED 3999 ::1:6381", Refusal::Moved(at("::1", 6381))),
            ("ASK 1 h:2", Refusal::Ask(at("h", 2))),
            ("MOVED", Refusal::Final),
            ("MOVED 1 h:x", Refusal::Final),
            ("NOSCRIPT No matching script.", Refusal::NoScript),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                Refusal::Wait,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                Refusal::Wait,
            ),
            ("CLUSTERDOWN The cluster is down", Refusal::WaitForOther),
            (
                "READONLY You can't write against a read only replica.",
                Refusal::WaitForOther,
            ),
            (
                "ERR Error running script (call to f_0a): @user_script: 7: -READONLY You can't write",
                Refusal::WaitForOther,
            ),
            ("NOAUTH Authentication required.", Refusal::Final),
            ("", Refusal::Final),
        ] {
            assert_eq!(Refusal::read(text, &asked), refusal, "{text}");
        }
    }
}
