//! The idle connections to each server.
//!
//! A call takes one for each command, or makes one, and puts it back when it is sound. So there are as many
//! connections as calls at the same time, and no thread waits for another's.

use super::connection::{Connection, now};
use super::url::Address;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of one server. More calls at once than this connect anew.
const IDLE_MAX: usize = 16;

/// A connection that nobody needed for so long is closed when another is put back.
const IDLE_TIME: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Pool {
    /// The last one used is the last.
    idle: Mutex<HashMap<Address, Vec<(Duration, Connection)>>>,
}

impl Pool {
    /// A connection on which nothing is under way.
    pub(super) fn take(&self, server: &Address) -> Option<Connection> {
        loop {
            let (_, mut connection) = self.lock().get_mut(server)?.pop()?;
            // Also right after its last use: a reply that came unasked would be taken for the next question's.
            if connection.is_ours() && connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(&self, server: &Address, connection: Connection) {
        if !connection.is_sound() {
            return;
        }
        let now = now();
        let mut idle = self.lock();
        let of_server = match idle.get_mut(server) {
            Some(of_server) => of_server,
            None => idle.entry(server.clone()).or_default(),
        };
        if of_server.len() < IDLE_MAX {
            of_server.push((now, connection));
        }
        let is_old = |since: Duration| now.saturating_sub(since) >= IDLE_TIME;
        if of_server.first().is_some_and(|(since, _)| is_old(*since)) {
            of_server.retain(|(since, _)| !is_old(*since));
        }
    }

    /// Closes the connections to servers that are no longer of use.
    pub(super) fn keep(&self, servers: &[Address]) {
        self.lock().retain(|server, _| servers.contains(server));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Vec<(Duration, Connection)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle: usize = self.lock().values().map(Vec::len).sum();
        f.debug_struct("Pool").field("idle", &idle).finish()
    }
}
