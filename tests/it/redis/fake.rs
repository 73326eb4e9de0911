//! A server that says what no real one can be made to say, and what the client must make of it.

use crate::support::each_at_once;
use shelflife::{ErrorKind, Existing, RedisOptions, RedisSessionStore, SessionId, SessionStore};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(super) const ID: &str = "AAECAwQFBgcICQoLDA0ODw";
/// The slot of its first three letters.
pub(super) const SLOT: u16 = 3073;
pub(super) const TIMEOUT: Duration = Duration::from_millis(400);

pub(super) fn id() -> SessionId {
    ID.parse().unwrap()
}

/// The act of a server on one command.
pub(super) enum Act {
    Say(Vec<u8>),
    /// Says so many elements, which are these, and the mark of the script that it was asked for.
    Answer(usize, Vec<u8>),
    /// As [`Act::Answer`], and then another thing that nobody asked for.
    AnswerThen(usize, Vec<u8>, Unasked),
    /// Says so much and hangs up.
    Last(Vec<u8>),
    /// Says it, and the number of the question, and hangs up.
    WholeLast(Vec<u8>),
    /// Says so much and nothing ever again.
    Stall(Vec<u8>),
    /// Says it a byte at a time, this long apart.
    Drip(Vec<u8>, Duration),
    /// Says it late.
    Late(Vec<u8>, Duration),
    /// Says one thing, and then another that nobody asked for.
    Then(Vec<u8>, Unasked),
}

/// Stands for the number of the question before.
const NUMBER: &[u8] = b"NUMBER";

/// The reply of a server, held until the test lets it go.
#[derive(Clone)]
pub(super) struct Unasked {
    bytes: Vec<u8>,
    /// Passed by the server and by the test, before it is said and after.
    moments: Arc<Barrier>,
}

/// The test's end of an [`Unasked`].
struct Coming(Arc<Barrier>);

impl Unasked {
    fn new(bytes: Vec<u8>) -> (Unasked, Coming) {
        let moments = Arc::new(Barrier::new(2));
        let coming = Coming(Arc::clone(&moments));
        (Unasked { bytes, moments }, coming)
    }

    fn say(&self, out: &mut TcpStream, number: &[u8]) -> std::io::Result<()> {
        let bytes = match self.bytes.strip_prefix(NUMBER) {
            Some(behind) => [&bulk(number), behind].concat(),
            None => self.bytes.clone(),
        };
        self.moments.wait();
        let said = out.write_all(&bytes);
        self.moments.wait();
        said
    }
}

impl Coming {
    /// Lets it be said, and returns when it has been.
    fn come(&self) {
        self.0.wait();
        self.0.wait();
    }
}

pub(super) fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}

/// A session of a user, as a server keeps it.
pub(super) fn value(user: &str) -> Vec<u8> {
    let mut value = Vec::new();
    let never = (1u64 << 48) - 1;
    for number in [1, 1_700_000_000_000, 1_700_000_000_000, never, never] {
        value.extend_from_slice(&number.to_be_bytes()[2..]);
    }
    value.extend_from_slice(b"somemark\xA1\x64user");
    value.push(0x60 + user.len() as u8);
    value.extend_from_slice(user.as_bytes());
    value
}

pub(super) fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

type Serve = dyn Fn(&[String]) -> Act + Send + Sync;

pub(super) struct Fake {
    pub(super) port: u16,
    pub(super) asked: Arc<Mutex<Vec<Vec<String>>>>,
    pub(super) connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Fake {
    /// A single server. It answers the commands with which a client connects; `serve` has the rest.
    pub(super) fn start(serve: impl Fn(&[String]) -> Act + Send + Sync + 'static) -> Fake {
        Fake::start_any(move |words| match words[0].as_str() {
            "CLUSTER" => say("-ERR This instance has cluster support disabled\r\n"),
            "INFO" => say("$0\r\n\r\n"),
            _ => serve(words),
        })
    }

    pub(super) fn start_any(serve: impl Fn(&[String]) -> Act + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve: Arc<Serve> = Arc::new(serve);
        let (asked, connections, over) = (Arc::default(), Arc::default(), Arc::default());
        let mut fake = Fake {
            port,
            asked,
            connections,
            over,
            accepting: None,
        };
        let (asked, connections, over) = (
            fake.asked.clone(),
            fake.connections.clone(),
            fake.over.clone(),
        );
        fake.accepting = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                connections.fetch_add(1, Ordering::Relaxed);
                let (serve, asked) = (serve.clone(), asked.clone());
                std::thread::spawn(move || converse(stream.unwrap(), &*serve, &asked));
            }
        }));
        fake
    }

    pub(super) fn store(&self) -> RedisSessionStore {
        let url = format!("redis://127.0.0.1:{}", self.port);
        RedisOptions::new().timeout(TIMEOUT).connect(&url).unwrap()
    }

    /// How often a command was asked for.
    pub(super) fn count(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|words| words[0] == name).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

fn converse(stream: TcpStream, serve: &Serve, asked: &Mutex<Vec<Vec<String>>>) {
    // It says the number of a question and the answer one after the other.
    stream.set_nodelay(true).unwrap();
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    let mut number = Vec::new();
    let (mut hangs_up, mut behind): (bool, Option<Unasked>) = (false, None);
    while let Some((words, mark)) = read_command(&mut input) {
        let answer = |count: usize, elements: &[u8]| {
            let count = format!("*{}\r\n", count + 1);
            [count.as_bytes(), elements, &bulk(&mark)].concat()
        };
        // The number of the question.
        if words[0] == "ECHO" {
            number = words[1].clone().into_bytes();
            if out.write_all(&bulk(&number)).is_err() {
                return;
            }
            if hangs_up {
                let _ = out.shutdown(std::net::Shutdown::Both);
                return;
            }
            if let Some(unasked) = behind.take()
                && unasked.say(&mut out, &number).is_err()
            {
                return;
            }
            continue;
        }
        asked.lock().unwrap().push(words.clone());
        let sent = match serve(&words) {
            Act::Say(bytes) => out.write_all(&bytes),
            Act::Answer(count, elements) => out.write_all(&answer(count, &elements)),
            Act::AnswerThen(count, elements, unasked) => {
                let sent = out.write_all(&answer(count, &elements));
                sent.and(unasked.say(&mut out, &number))
            }
            Act::Last(bytes) => {
                let _ = out.write_all(&bytes);
                let _ = out.shutdown(std::net::Shutdown::Both);
                return;
            }
            Act::Stall(bytes) => {
                let _ = out.write_all(&bytes);
                // Until the client hangs up.
                let _ = std::io::copy(&mut input, &mut std::io::sink());
                return;
            }
            Act::Drip(bytes, pause) => bytes.iter().try_for_each(|byte| {
                std::thread::sleep(pause);
                out.write_all(&[*byte])
            }),
            Act::Late(bytes, pause) => {
                std::thread::sleep(pause);
                out.write_all(&bytes)
            }
            Act::Then(said, unasked) => {
                behind = Some(unasked);
                out.write_all(&said)
            }
            Act::WholeLast(bytes) => {
                hangs_up = true;
                out.write_all(&bytes)
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The words of a command, and the last one as it is.
fn read_command(input: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|len| *len > 0)?;
    let count: usize = line.trim_start_matches('*').trim().parse().ok()?;
    let (mut words, mut last) = (Vec::new(), Vec::new());
    for _ in 0..count {
        line.clear();
        input.read_line(&mut line).ok()?;
        let len: usize = line.trim_start_matches('$').trim().parse().ok()?;
        let mut bytes = vec![0; len + 2];
        input.read_exact(&mut bytes).ok()?;
        bytes.truncate(len);
        words.push(String::from_utf8_lossy(&bytes).into_owned());
        last = bytes;
    }
    Some((words, last))
}

/// Loads the session; tells its user, or the error, and that it took no longer than a call may.
pub(super) fn load(store: &RedisSessionStore) -> Result<Option<String>, shelflife::Error> {
    let begun = Instant::now();
    let loaded = store.load_session(&id());
    let took = begun.elapsed();
    // A machine with much to do wakes late.
    assert!(took < TIMEOUT + Duration::from_millis(400), "{took:?}");
    let error = loaded
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(!error.contains(ID), "{error}");
    loaded.map(|session| session.map(|session| session.user().unwrap().to_string()))
}

#[test]
fn a_reply_larger_than_any_answer_is_refused_before_it_arrives() {
    for reply in [
        "$2147483648\r\n".to_string(),
        "$9223372036854775807\r\n".to_string(),
        "*1000000000\r\n".to_string(),
        "*1\r\n".repeat(10_000),
        "+".repeat(1 << 20),
        format!("${}\r\n", (16 << 20) + 47),
        ">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n".to_string(),
        "_\r\n".to_string(),
        "HTTP/1.1 400 Bad Request\r\n\r\n".to_string(),
    ] {
        let head = reply.chars().take(20).collect::<String>();
        let fake = Fake::start(move |_| Act::Stall(reply.clone().into_bytes()));
        let error = load(&fake.store()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{head:?}: {error}");
        assert_eq!(
            fake.count("GET"),
            1,
            "{head:?}: asking again gives the same"
        );
    }
}

#[test]
fn a_read_is_sent_again_over_another_connection_until_it_is_answered() {
    let good = bulk(&value("ann"));
    let half = good[..good.len() / 2].to_vec();
    each_at_once(0..4, |at| {
        let (good, half) = (good.clone(), half.clone());
        let times = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match (times.fetch_add(1, Ordering::Relaxed), at) {
            (0, 0) => Act::Last(half.clone()),
            (0, 1) => Act::Last(Vec::new()),
            (0, 2) => Act::Stall(half.clone()),
            (0, 3) => Act::Stall(Vec::new()),
            _ => Act::Say(good.clone()),
        });
        assert_eq!(
            load(&fake.store()).unwrap().as_deref(),
            Some("ann"),
            "case {at}"
        );
        assert_eq!(fake.count("GET"), 2, "case {at}");
    });
}

#[test]
fn silence_ends_at_the_deadline_however_it_drips() {
    let good = bulk(&value("ann"));
    let half = good[..good.len() / 2].to_vec();
    let pause = Duration::from_millis(20);
    each_at_once(0..4, |at| {
        let (good, half) = (good.clone(), half.clone());
        let fake = Fake::start(move |_| match at {
            0 => Act::Stall(Vec::new()),
            1 => Act::Stall(half.clone()),
            2 => Act::Drip(good.clone(), pause),
            _ => Act::Last(half.clone()),
        });
        let error = load(&fake.store()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "case {at}: {error}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    });
}

#[test]
fn nobody_gets_the_answer_to_an_earlier_question() {
    let extra = [bulk(&value("ann")), bulk(&value("bob"))].concat();
    let alone = bulk(&value("ann"));
    each_at_once(0..3, |at| {
        let (extra, alone) = (extra.clone(), alone.clone());
        let times = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match (times.fetch_add(1, Ordering::Relaxed), at) {
            // One more than was asked for, at once; after a while; and one that comes when nobody waits any more.
            (0, 0) => Act::Say(extra.clone()),
            (0, 1) => Act::Drip(extra.clone(), Duration::from_micros(300)),
            (0, 2) => Act::Late(alone.clone(), TIMEOUT),
            _ => say("$-1\r\n"),
        });
        let store = fake.store();
        // Nobody knows which of the two is the answer, so neither is.
        assert_eq!(load(&store).unwrap(), None, "case {at}");
        std::thread::sleep(TIMEOUT);
        for _ in 0..3 {
            assert_eq!(load(&store).unwrap(), None, "case {at}");
        }
    });
}

#[test]
fn a_reply_that_comes_unasked_is_nobodys_answer_however_late_it_is() {
    // A session, an absence, a refusal, and the number of an earlier question with what it was answered.
    for unasked in [
        bulk(&value("bob")),
        b"$-1\r\n".to_vec(),
        b"-ERR late\r\n".to_vec(),
        [NUMBER.to_vec(), bulk(&value("bob"))].concat(),
    ] {
        let shown = unasked.escape_ascii().to_string();
        let (unasked, coming) = Unasked::new(unasked);
        let calls = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            // Each connection that is taken then has been asked before and answered soundly.
            1 => Act::Then(bulk(&value("ann")), unasked.clone()),
            _ => Act::Say(bulk(&value("ann"))),
        });
        let store = fake.store();
        for time in 0..5 {
            assert_eq!(
                load(&store).unwrap().as_deref(),
                Some("ann"),
                "{shown}, {time}"
            );
            if time == 1 {
                coming.come();
            }
        }
    }
}

#[test]
fn the_answer_to_another_change_is_nobodys_however_late_it_is() {
    for text in [
        "*2\r\n:0\r\n$8\r\nsomemark\r\n",
        "*1\r\n:0\r\n",
        "*0\r\n",
        ":0\r\n",
        "+OK\r\n",
        "-ERR late\r\n",
    ] {
        let (unasked, coming) = Unasked::new(text.into());
        let calls = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Act::AnswerThen(1, b":1\r\n".to_vec(), unasked.clone()),
            _ => Act::Answer(1, b":1\r\n".to_vec()),
        });
        let store = fake.store();
        for time in 0..4 {
            match store.delete_session(&id()) {
                Ok(deleted) => assert!(deleted, "{text:?}, {time}"),
                // A refusal has no mark. It says nothing of the session, and the answer behind it is taken for no other.
                Err(error) => assert!(
                    time == 1 && text.starts_with('-'),
                    "{text:?}, {time}: {error}"
                ),
            }
            if time == 0 {
                coming.come();
            }
        }
    }
}

#[test]
fn a_slot_that_has_moved_is_followed_and_an_empty_host_is_the_one_that_was_asked() {
    let there = Fake::start(|_| Act::Say(bulk(&value("ann"))));
    let port = there.port;
    let fake = Fake::start(move |_| say(&format!("-MOVED {SLOT} :{port}\r\n")));
    let store = fake.store();
    for _ in 0..3 {
        assert_eq!(load(&store).unwrap().as_deref(), Some("ann"));
    }
    assert_eq!(
        (fake.count("GET"), there.count("GET")),
        (1, 3),
        "the slot is remembered"
    );
}

#[test]
fn a_primary_that_is_down_hides_neither_the_clock_nor_the_warning_of_the_others() {
    let own = Arc::new(AtomicUsize::new(0));
    let port = Arc::clone(&own);
    let fake = Fake::start_any(move |words| match words[0].as_str() {
        "CLUSTER" => {
            // Nobody listens at the first port.
            let range = |first: u16, last: u16, port: usize| {
                format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
            };
            let [down, up] = [(0, 8191, 1), (8192, 16383, port.load(Ordering::Relaxed))]
                .map(|(first, last, port)| range(first, last, port));
            say(&format!("*2\r\n{down}{up}"))
        }
        "INFO" => Act::Say(bulk(
            b"maxmemory:1000000\r\nmaxmemory_policy:allkeys-lru\r\n",
        )),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        _ => say("$-1\r\n"),
    });
    own.store(usize::from(fake.port), Ordering::Relaxed);
    let store = fake.store();
    assert!(store.warning().unwrap().contains("allkeys-lru"));
    let time = Duration::from_secs(1_700_000_000);
    assert_eq!(store.now(), std::time::UNIX_EPOCH + time);
}

#[test]
fn servers_that_send_in_circles_are_told() {
    let port = Arc::new(AtomicUsize::new(0));
    let other = Arc::clone(&port);
    let fake = Fake::start(move |_| {
        say(&format!(
            "-MOVED {SLOT} 127.0.0.1:{}\r\n",
            other.load(Ordering::Relaxed)
        ))
    });
    port.store(usize::from(fake.port), Ordering::Relaxed);
    let error = load(&fake.store()).unwrap_err();
    assert!(error.to_string().contains("in circles"), "{error}");
    // Seventeen at once, and the others with ever longer waits between.
    let asked = fake.count("GET");
    assert!((17..17 + 9).contains(&asked), "{asked}");
}

#[test]
fn a_slot_on_its_way_is_asked_for_with_asking_and_not_remembered() {
    let there = Fake::start(|words| match words[0].as_str() {
        "ASKING" => say("+OK\r\n"),
        _ => Act::Say(bulk(&value("ann"))),
    });
    let port = there.port;
    let fake = Fake::start(move |_| say(&format!("-ASK {SLOT} 127.0.0.1:{port}\r\n")));
    let store = fake.store();
    for _ in 0..3 {
        assert_eq!(load(&store).unwrap().as_deref(), Some("ann"));
    }
    assert_eq!(
        (fake.count("GET"), there.count("ASKING"), there.count("GET")),
        (3, 3, 3)
    );
    let asked = there.asked.lock().unwrap();
    let asked: Vec<_> = asked.iter().map(|words| words[0].as_str()).collect();
    assert_eq!(asked, ["ASKING", "GET"].repeat(3));
}

#[test]
fn what_passes_is_waited_for_and_what_does_not_is_busy() {
    let refusals = [
        "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-NOREPLICAS Not enough good replicas to write.\r\n",
        "-READONLY You can't write against a read only replica.\r\n",
    ];
    each_at_once(refusals, |refusal| {
        let times = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match times.fetch_add(1, Ordering::Relaxed) {
            0..3 => say(refusal),
            _ => Act::Say(bulk(&value("ann"))),
        });
        let loaded = load(&fake.store()).unwrap();
        assert_eq!(loaded.as_deref(), Some("ann"), "{refusal}");
        let fake = Fake::start(move |_| say(refusal));
        let begun = Instant::now();
        let error = load(&fake.store()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(
            begun.elapsed() > TIMEOUT / 2,
            "it gave up after {:?}",
            begun.elapsed()
        );
        assert!(fake.count("GET") < 20, "asked {} times", fake.count("GET"));
    });
}

#[test]
fn a_connection_to_a_server_that_became_a_replica_gives_way_to_one_to_its_successor() {
    // The address leads to another server by now, and the first connection still to the one from before.
    let before = OnceLock::new();
    let fake = Fake::start(move |_| {
        let this = std::thread::current().id();
        match *before.get_or_init(|| this) == this {
            true => say("-READONLY You can't write.\r\n"),
            false => Act::Say(bulk(&value("ann"))),
        }
    });
    assert_eq!(load(&fake.store()).unwrap().as_deref(), Some("ann"));
}

#[test]
fn a_server_that_loads_at_the_start_is_waited_for() {
    let times = AtomicUsize::new(0);
    let fake = Fake::start_any(move |words| match words[0].as_str() {
        "CLUSTER" if times.fetch_add(1, Ordering::Relaxed) < 3 => say("-LOADING\r\n"),
        "CLUSTER" => say("-ERR unknown command\r\n"),
        _ => say("$-1\r\n"),
    });
    assert_eq!(load(&fake.store()).unwrap(), None);
}

/// The reply to a scan that found the session.
fn found() -> Act {
    let key = format!("shelflife:{{{}}}{ID}", &ID[..3]);
    Act::Say([b"*2\r\n$1\r\n0\r\n*1\r\n".as_slice(), &bulk(key.as_bytes())].concat())
}

#[test]
fn a_list_waits_for_what_passes() {
    let times = AtomicUsize::new(0);
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" if times.fetch_add(1, Ordering::Relaxed) < 2 => say("-LOADING\r\n"),
        "SCAN" => found(),
        _ => Act::Say(bulk(&value("ann"))),
    });
    let listed: shelflife::Result<Vec<_>> = fake.store().iter_sessions().collect();
    assert_eq!(listed.unwrap().len(), 1);
}

#[test]
fn a_session_that_a_server_does_not_let_go_is_told() {
    let fake = Fake::start(|words| match words[0].as_str() {
        "SCAN" => found(),
        "UNLINK" => say("-NOPERM this user has no permissions to run the 'unlink' command\r\n"),
        _ => Act::Answer(1, b":1\r\n".to_vec()),
    });
    let store = fake.store();
    let error = store.setup(Existing::Overwrite).unwrap_err().to_string();
    assert!(error.contains("NOPERM"), "{error}");
}

#[test]
fn a_refusal_in_the_middle_of_a_pipeline_is_that_commands_alone() {
    let keys = [
        "AAECAwQFBgcICQoLDA0ODw",
        "BBECAwQFBgcICQoLDA0ODw",
        "CCECAwQFBgcICQoLDA0ODw",
    ];
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" => {
            let keys = keys.map(|key| bulk(format!("shelflife:{{{}}}{key}", &key[..3]).as_bytes()));
            Act::Say([b"*2\r\n$1\r\n0\r\n*3\r\n".as_slice(), &keys.concat()].concat())
        }
        "GETRANGE" => Act::Say(bulk(&value("ann")[..38])),
        _ if words[1].contains("BBE") => {
            say("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
        }
        _ => Act::Say(bulk(&value("ann"))),
    });
    let store = fake.store();
    let listed: Vec<_> = store.iter_sessions().collect();
    assert_eq!(
        listed.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(listed[1].as_ref().unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
}

#[test]
fn what_a_server_quotes_of_a_command_is_not_repeated() {
    let quoted = format!("-ERR unknown command 'GET', with args beginning with: '{ID}'\r\n");
    let fake = Fake::start(move |_| say(&quoted));
    let error = load(&fake.store()).unwrap_err();
    assert!(error.to_string().contains("ERR"), "{error}");
}
