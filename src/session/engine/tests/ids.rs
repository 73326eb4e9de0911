//! Ids that are drawn for new sessions.

use super::*;
use crate::session::record_key::identity_of;

#[test]
fn a_failure_to_look_whether_an_id_is_free_is_told_as_it_is() {
    let mut here = engine(Process::new(&map()));
    here.records.peek = |memory, key| match identity_of(key) {
        Some(_) => Err(Error::other("the disk is away")),
        None => memory.peek(key),
    };
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let error = here.save(&mut session).unwrap_err();
    assert!(error.to_string().contains("the disk is away"), "{error}");
    assert!(session.id().is_none());
}
