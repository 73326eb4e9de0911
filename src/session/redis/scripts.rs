//! The verbs that change a session, each one script that a server runs with nobody between.
//!
//! A value is a head of 38 bytes, big-endian, and the CBOR of the session's contents:
//!
//! | bytes | what |
//! |---|---|
//! | 6 | version; 0 is a *tombstone*: a session was here less than a minute ago |
//! | 6 | created, in milliseconds since 1970 by the server's clock |
//! | 6 | accessed; of a tombstone 1 if the session has another id now, else 0 |
//! | 6 | idle lifetime in milliseconds: its own, or that of the store that wrote or used it last; 2^48 - 1 is without end |
//! | 6 | absolute lifetime, likewise |
//! | 8 | the mark of the write: random, so that nobody else writes the same |
//!
//! A tombstone of a session that has another id has the key of that in place of the contents: a look for
//! all sessions of a user must not lose one by that.
//!
//! A number of six bytes is exact in Lua, whose numbers are doubles.
//!
//! **Each script may be sent twice.** Its last argument is a mark, which no other command has. A client whose
//! connection broke does not know whether its command was carried out, and sends it again with the same mark. A script
//! that finds its mark at the key answers that it was carried out, and changes no session. A script that stores a session
//! leaves its mark in the head, and one that ends a session in the tombstone. [`TOUCH`] leaves none, since to note a use
//! again does no harm, nor does [`TURN`], whose turn ends by itself. The tombstone also keeps a creation that was held up
//! on its way from bringing a session back that was created by the second try and deleted since.
//!
//! **The mark tells two writes of one version apart.** A primary that is lost with its last write leaves a replica at
//! the version before, and the next write has the lost one's number. A copy of the lost one must not pass for a copy of
//! that: so a script that compares versions compares marks as well, where the client knows it.
//!
//! **Each answer ends with the mark of the question**, behind what the verbs below say. So an answer to another
//! question is told from it.
//!
//! **A script's keys lie in one slot**: there is one, or a new id that has the tag of the old one.

use super::sha1::sha1_hex;
use std::sync::OnceLock;

/// Bytes before the contents.
pub(super) const HEAD_BYTES: usize = 38;

/// The last ones of these, and behind every answer.
pub(super) const MARK_BYTES: usize = 8;

/// A lifetime without end: a number of six bytes has no larger value.
pub(super) const NEVER: u64 = (1 << 48) - 1;

pub(super) struct Script {
    body: &'static str,
    /// The text and its name. Written by the first thread that asks.
    whole: OnceLock<(String, String)>,
}

impl Script {
    const fn new(body: &'static str) -> Script {
        Script {
            body,
            whole: OnceLock::new(),
        }
    }

    fn whole(&self) -> &(String, String) {
        self.whole.get_or_init(|| {
            let text = [BEGINNING, self.body, END].concat();
            let sha = sha1_hex(text.as_bytes());
            (text, sha)
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.whole().0
    }

    /// The name by which a server knows the script once it has run it.
    pub(super) fn sha(&self) -> &str {
        &self.whole().1
    }
}

/// The beginning of every script: the clock, the head of the key, and the ways to write. `ended` and `over` remove what
/// they call so.
///
/// A client that waits for replicas waits for what its own connection has written. So a script that has ended the
/// session already writes something.
///
/// The expiry is one millisecond early since a server still shows a key at the very moment at which it expires. A
/// server that is out of memory refuses the tombstone, and must not refuse to end a session: it goes without.
const BEGINNING: &str = "local ours = ARGV[#ARGV]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local key = KEYS[1]
local head = redis.call('GETRANGE', key, 0, 37)
local there, sound = #head > 0, #head == 38
local version, created, accessed, idle, absolute, mark = 0, now, now, 0, 0, ''
if sound then
  version, created, accessed, idle, absolute = struct.unpack('>I6I6I6I6I6', head)
  mark = string.sub(head, 31, 38)
end
local function last(created, accessed, idle, absolute)
  return math.min(accessed + idle, created + absolute)
end
local function ended()
  if last(created, accessed, idle, absolute) > now then return false end
  redis.call('UNLINK', key)
  return true
end
local alive = sound and version > 0
if alive and ended() then there, alive, mark = false, false, '' end
local function has_own() return redis.call('GETRANGE', key, 38, 38) == string.char(130) end
local function over(contents)
  if last(created, accessed, idle, absolute) > now then return false end
  return string.byte(contents) ~= 130 and not has_own() and ended()
end
local function seen(n, by) return version == tonumber(n) and (by == '' or by == mark) end
local function used()
  if accessed > now + 60000 then return math.min(created, now), now end
  return created, math.max(accessed, now)
end
local function put(key, version, created, accessed, idle, absolute, contents)
  local head = struct.pack('>I6I6I6I6I6', version, created, accessed, idle, absolute) .. ours
  local value, till = head .. contents, last(created, accessed, idle, absolute)
  if till < 281474976710655 then
    redis.call('SET', key, value, 'PXAT', string.format('%.0f', math.max(till - 1, 1)))
  else
    redis.call('SET', key, value)
  end
  return value
end
local function bury(key, moved, to)
  local head = struct.pack('>I6I6I6I6I6', 0, now, moved, 0, 0) .. ours
  local set = redis.pcall('SET', key, head .. (to or ''), 'PX', 60000)
  if set.err then redis.call('UNLINK', key) end
end
local function confirm()
  redis.call('PEXPIREAT', key, string.format('%.0f', now + 60000))
  return {1}
end
local function answer()
";

const END: &str = "
end
local said = answer()
said[#said + 1] = ours
return said
";

/// idle, absolute, contents: `{1, created, accessed}`, or `{0}` if the id is taken.
pub(super) static CREATE: Script = Script::new(
    "
if mark == ours then return {1, created, accessed} end
if there then return {0} end
put(key, 1, now, now, tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3])
return {1, now, now}
",
);

/// version and mark that were seen, idle, absolute, contents: `{1, version, created, accessed}`, `{0}` if the session is
/// gone, `{2, value}` if it is of another write. It is gone as well if it is over by the lifetimes of the store that
/// saves it. One that has a lifetime of its own, or gets one by this very change, is stored, however short its life is.
pub(super) static SAVE: Script = Script::new(
    "
if not alive then return {0} end
if mark == ours then return {1, version, created, accessed} end
if not seen(ARGV[1], ARGV[2]) then return {2, redis.call('GET', key)} end
created, accessed = used()
idle, absolute = tonumber(ARGV[3]), tonumber(ARGV[4])
if over(ARGV[5]) then return {0} end
put(key, version + 1, created, accessed, idle, absolute, ARGV[5])
return {1, version + 1, created, accessed}
",
);

/// resolution, idle, absolute: `{1, created, accessed, end}`, or `{0}` if there is no session.
///
/// The lifetimes are those of the store that uses the session. They take the place of those that another store wrote,
/// with other options or from a copy, unless the session has its own: its contents stand in an array then. So do those
/// beside which a newer version keeps fields, and such a session goes on with the lifetimes that it was saved with.
///
/// A server that is out of memory, or can't write to its disk, refuses to note the use. The session can be read, and so
/// the page that only reads it goes on; it ends as if it had not been used.
pub(super) static TOUCH: Script = Script::new(
    "
if not alive then return {0} end
local due = math.min(tonumber(ARGV[1]), math.floor(idle / 10))
if now - accessed >= due or accessed > now + 60000 then
  created, accessed = used()
  if not has_own() then idle, absolute = tonumber(ARGV[2]), tonumber(ARGV[3]) end
  if ended() then return {0} end
  local till = last(created, accessed, idle, absolute)
  local times = struct.pack('>I6I6I6I6', created, accessed, idle, absolute)
  local set = redis.pcall('SETRANGE', key, 6, times)
  if type(set) == 'table' then
    if not (string.find(set.err, 'OOM') or string.find(set.err, 'MISCONF')) then return set end
    created, accessed, idle, absolute = struct.unpack('>I6I6I6I6', string.sub(head, 7, 30))
    return {1, created, accessed, last(created, accessed, idle, absolute)}
  end
  if till < 281474976710655 then
    redis.call('PEXPIREAT', key, string.format('%.0f', till - 1))
  else
    redis.call('PERSIST', key)
  end
end
return {1, created, accessed, last(created, accessed, idle, absolute)}
",
);

/// Nothing: `{1}`, or `{0}` if there was no session. A value under the key that is no session is deleted as well. An end
/// that somebody else asked for is made sure of: replicas may not have confirmed it.
pub(super) static DELETE: Script = Script::new(
    "
if mark == ours then return confirm() end
if not alive then
  if not sound then return {redis.call('UNLINK', key)} end
  confirm()
  return {0}
end
bury(key, 0)
return {1}
",
);

/// version and mark that were seen, accessed or -1: `{1}` if it was as given and is deleted, `{0}` if there is none,
/// `{2, value}` if it changed.
pub(super) static DELETE_IF: Script = Script::new(
    "
if mark == ours then return confirm() end
if not alive then return {0} end
local at = tonumber(ARGV[3])
if not seen(ARGV[1], ARGV[2]) or (at >= 0 and accessed ~= at) then return {2, redis.call('GET', key)} end
bury(key, 0)
return {1}
",
);

/// Of the old key and the new one; version and mark, or -1 for a copy that was not changed and so takes over what is
/// stored; idle, absolute, whether the session begins anew, contents: `{1, value}`, `{0}`, `{2, value}`, or `{3}` if
/// the new id is taken. The lifetimes are as those of [`TOUCH`], and what is over by them is gone as for [`SAVE`].
///
/// The new one is stored first: a server that is out of memory refuses that, and nothing has changed.
pub(super) static MOVE: Script = Script::new(
    "
if not alive then
  if mark == ours then
    local moved = redis.call('GET', KEYS[2])
    confirm()
    if moved then return {1, moved} end
  end
  return {0}
end
local contents, keeps = ARGV[6], false
if tonumber(ARGV[1]) < 0 then
  contents, keeps = redis.call('GETRANGE', key, 38, -1), has_own()
elseif not seen(ARGV[1], ARGV[2]) then return {2, redis.call('GET', key)} end
if not keeps then idle, absolute = tonumber(ARGV[3]), tonumber(ARGV[4]) end
if redis.call('EXISTS', KEYS[2]) == 1 then return {3} end
created, accessed = used()
if ARGV[5] == '1' then created = now end
if over(contents) then return {0} end
local value = put(KEYS[2], version + 1, created, accessed, idle, absolute, contents)
bury(key, 1, KEYS[2])
return {1, value}
",
);

/// version, created, accessed, idle, absolute, contents, of a session that another store has: `{1}`, or `{0}` if
/// this server has the same or a later state of it, or has ended it a moment ago.
pub(super) static IMPORT: Script = Script::new(
    "
if mark == ours then return {1} end
if there and sound and not alive then return {0} end
local seen, last_use = tonumber(ARGV[1]), tonumber(ARGV[3])
if alive and (version > seen or (version == seen and accessed >= last_use)) then return {0} end
put(key, seen, tonumber(ARGV[2]), last_use, tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6])
return {1}
",
);

/// Of the key of a user's turn to log in under a cap; what its holder left there, how long it lasts, and 1 if it must be
/// held already: `{1}` if it is held now, `{0}` if it is another's.
pub(super) static TURN: Script = Script::new(
    "
if head ~= ARGV[1] and (there or ARGV[3] == '1') then return {0} end
redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
return {1}
",
);

/// As [`TURN`]: it is held no more.
pub(super) static TURN_OVER: Script = Script::new(
    "
if head == ARGV[1] then redis.call('UNLINK', key) end
return {1}
",
);
