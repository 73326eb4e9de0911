//! Long seeded runs of operations equal a `BTreeMap`.
