//! The idle connections to each server.
//!
//! A call takes one for each command, or makes one, and puts it back when it is sound. So there are as many
//! connections as calls at the same time, and no thread waits for another's.

use super::connection::Connection;
use super::url::Address;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of one server. More calls at once than this connect anew.
const IDLE_MAX: usize = 16;

/// A connection that nobody needed for so long is closed when another is put back, to whichever server: to one that is
/// gone none ever is.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// A connection that nobody needed for so long is looked at before its next use: the server may have closed it, and a
/// change that is sent in vain has an outcome that is not known at once.
const TRUSTED_TIME: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Pool {
    /// Locked to take a connection or to put one back, never while one is in use.
    idle: Mutex<Idle>,
}

/// Of each server, and the last one used is the last, with when that was. Servers are few: looking through them costs
/// less than hashing a name.
#[derive(Default)]
struct Idle(Vec<(Address, Vec<(Duration, Connection)>)>);

impl Idle {
    fn of(&mut self, server: &Address) -> Option<&mut Vec<(Duration, Connection)>> {
        let mut servers = self.0.iter_mut();
        let found = servers.find(|(known, _)| known == server);
        found.map(|(_, connections)| connections)
    }
}

impl Pool {
    /// A connection on which nothing is under way.
    pub(super) fn take(&self, server: &Address, now: Duration) -> Option<Connection> {
        loop {
            let (since, mut connection) = self.lock().of(server)?.pop()?;
            let is_trusted = now.saturating_sub(since) < TRUSTED_TIME;
            if connection.is_ours() && (is_trusted || connection.is_quiet()) {
                return Some(connection);
            }
        }
    }

    /// Closes the idle connections to a server of which one broke: it may have been started anew.
    pub(super) fn forget(&self, server: &Address) {
        if let Some(connections) = self.lock().of(server) {
            connections.clear();
        }
    }

    /// Takes a connection back whose last use began then.
    pub(super) fn put(&self, server: &Address, connection: Connection, used: Duration) {
        if !connection.is_sound() {
            return;
        }
        let mut idle = self.lock();
        match idle.of(server) {
            Some(of_server) => {
                if of_server.len() < IDLE_MAX {
                    of_server.push((used, connection));
                }
            }
            None => idle.0.push((server.clone(), vec![(used, connection)])),
        }
        let is_old = |since: Duration| used.saturating_sub(since) >= IDLE_TIME;
        idle.0.retain_mut(|(_, connections)| {
            if connections.first().is_some_and(|(since, _)| is_old(*since)) {
                connections.retain(|(since, _)| !is_old(*since));
            }
            !connections.is_empty()
        });
    }

    /// Closes the connections to servers that are no longer of use.
    pub(super) fn keep(&self, servers: &[Address]) {
        self.lock().0.retain(|(server, _)| servers.contains(server));
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle: usize = self.lock().0.iter().map(|(_, idle)| idle.len()).sum();
        f.debug_struct("Pool").field("idle", &idle).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::url::Login;
    use super::*;
    use std::net::TcpListener;

    /// A server that is gone, or got another address, is never put back to.
    #[test]
    fn a_connection_that_nobody_needed_for_a_minute_is_closed_whichever_server_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let real = Address::Tcp {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
        };
        let until = super::super::connection::now() + Duration::from_secs(60);
        let pool = Pool::default();
        for nth in 0..100 {
            let host = format!("10.0.0.{nth}");
            let server = Address::Tcp { host, port: 1 };
            let connection = Connection::open(&real, &Login::default(), until).unwrap();
            pool.put(&server, connection, IDLE_TIME * nth);
            let servers = pool.lock().0.len();
            assert!(servers <= 1, "{servers} servers, {pool:?}");
        }
    }
}
