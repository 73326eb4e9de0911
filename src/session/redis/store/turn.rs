//! Logins of one user under a cap, one at a time.
//!
//! Counting a user's sessions takes a walk over all servers, which no script can do. So a login under a cap first takes
//! the user's turn: a key with its mark, which ends by itself should the client die. Another login waits. The turn is
//! renewed right before the session is stored, and then lasts longer than storing it may take: so no two logins that
//! count at once store at once, on one server and in a cluster. It is broken only by what can undo any write: a
//! failover to a replica that did not have the key yet.

use super::super::super::id::hex;
use super::super::super::sha256::sha256;
use super::super::keys::RedisKey;
use super::super::pause::Pause;
use super::super::scripts::{Script, TURN, TURN_OVER};
use super::{NUMBERS, Store, is_done};
use crate::error::{Error, Result};

pub(in crate::session) struct Turn<'a> {
    store: &'a Store,
    key: RedisKey,
    mark: [u8; 8],
}

impl Store {
    /// Waits for the turn of a user.
    pub(in crate::session) fn turn_of(&self, user: &str) -> Result<Turn<'_>> {
        self.check_not_editing()?;
        let hash = sha256(user.as_bytes());
        let turn = Turn {
            store: self,
            key: self.keys.of_turn(&hex(hash.get(..16).unwrap_or_default())),
            mark: self.mark()?,
        };
        let mut pause = Pause::new(self.client.deadline());
        while !turn.ask(&TURN, b"0")? {
            if !pause.wait() {
                return Err(Error::not_now(
                    "another login of the same user is under way",
                ));
            }
        }
        Ok(turn)
    }
}

impl Turn<'_> {
    /// Makes sure that nobody else had it since it was taken, and that it lasts for another call.
    pub(in crate::session) fn renew(&self) -> Result<()> {
        match self.ask(&TURN, b"1")? {
            true => Ok(()),
            false => Err(Error::not_now(
                "counting the sessions of a user took longer than the turn to do so lasts",
            )),
        }
    }

    /// Lets the next one in. Should that fail, the turn ends by itself.
    pub(in crate::session) fn end(self) {
        let _ = self.ask(&TURN_OVER, b"");
    }

    fn ask(&self, script: &'static Script, held: &[u8]) -> Result<bool> {
        // From when the server gets this: its answer takes a call at most, and storing the session another.
        let lasts = self.store.client.timeout().saturating_mul(4);
        let command = (self.store)
            .command(script, &self.key, NUMBERS)?
            .with(&self.mark)
            .with(lasts.as_millis().to_string().as_bytes())
            .with(held);
        is_done(self.store.client.call(&command)?)
    }
}
