//! Real servers on free loopback ports, which end with the test, and the words to ask them directly.

use crate::support::skip;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One `redis-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    dir: TempDir,
    extra: Vec<String>,
    running: Option<(Child, ChildStdin, u32)>,
}

/// Runs a server for as long as its own standard input is open: so it ends with the test process, however that ends. A
/// test that goes on says so first, and its server's folder stays.
const WATCH: &str = r#""$@" <&- >&2 & echo $!; read -r goes_on; kill -9 $! 2>/dev/null; wait $!
[ -n "$goes_on" ] || rm -rf "$FOLDER""#;

/// Whether there is a `redis-server` here. Without one the test prints that it was skipped.
pub(crate) fn is_there(test: &str) -> bool {
    // Asked once: the claims of a session store ask some thousand times.
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = *THERE.get_or_init(|| {
        let version = Command::new("redis-server").arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    });
    if !there {
        skip(test, "no redis-server");
    }
    there
}

/// A server or a cluster that has not started by then will not, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers of a cluster meet at their ports and as much. Redis 6.2 can't be told another number.
const BUS_PORT: u16 = 10_000;

/// A port that is free, as is the one at which a server of a cluster meets the others.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bus = port.checked_add(BUS_PORT);
        if bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return port;
        }
    }
}

impl Server {
    pub(crate) fn start(extra: &[&str]) -> Server {
        // Between the look for a free port and its use somebody else may take it.
        for _ in 0..10 {
            let mut server = Server {
                port: free_port(),
                dir: tempfile::tempdir().unwrap(),
                extra: extra.iter().map(ToString::to_string).collect(),
                running: None,
            };
            if server.run() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// Starts it, or starts it again with what it has on disk.
    pub(crate) fn run(&mut self) -> bool {
        let log = File::create(self.dir.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "sh", "redis-server"]);
        command.env("FOLDER", self.dir.path());
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(self.dir.path());
        command
            .arg("--unixsocket")
            .arg(self.dir.path().join("socket"));
        command.args(&self.extra);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(log).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut first = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut first).unwrap();
        let pid = first.trim().parse().unwrap();
        self.running = Some((child, stdin, pid));
        // Another server may have taken the port meanwhile, and would answer in place of this one.
        let own = format!("process_id:{pid}\r\n");
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(mut asked) = Asked::connect(self.port) {
                let answer = asked.ask(&[b"PING"]);
                if answer.starts_with("+PONG") {
                    if asked.ask(&[b"INFO", b"server"]).contains(&own) {
                        return true;
                    }
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some((mut child, mut stdin, _)) = self.running.take() {
            let _ = stdin.write_all(b"goes on\n");
            drop(stdin);
            let _ = child.wait();
        }
    }

    /// Stops it in the middle of whatever it does, or lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        if let Some((_, _, pid)) = &self.running {
            let status = Command::new("kill").args([name, &pid.to_string()]).status();
            assert!(status.unwrap().success());
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn socket_url(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked::connect(self.port).unwrap()
    }

    /// One command, and the first line and the bytes of its answer.
    pub(crate) fn ask(&self, words: &[&[u8]]) -> String {
        self.asked().ask(words)
    }

    pub(crate) fn say(&self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.ask(&words)
    }

    /// The keys that begin so.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let answer = self.say(&format!("KEYS {prefix}*"));
        let lines = answer.lines().filter(|line| line.starts_with(prefix));
        lines.map(String::from).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A connection of the test's own, which knows as much of RESP as it needs.
pub(crate) struct Asked(BufReader<TcpStream>);

impl Asked {
    pub(crate) fn connect(port: u16) -> std::io::Result<Asked> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Asked(BufReader::new(stream)))
    }

    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> String {
        String::from_utf8_lossy(&self.ask_bytes(words)).into_owned()
    }

    /// The answer as it came, without the line ends of strings.
    pub(crate) fn ask_bytes(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).bytes());
            command.extend_from_slice(word);
            command.extend(b"\r\n");
        }
        let mut answer = Vec::new();
        if self.0.get_mut().write_all(&command).is_ok() {
            self.read(&mut answer);
        }
        answer
    }

    fn read(&mut self, answer: &mut Vec<u8>) {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line).is_err() || line.len() < 3 {
            return;
        }
        let text = String::from_utf8_lossy(&line[1..line.len() - 2]).into_owned();
        match line[0] {
            b'$' if text != "-1" => {
                let mut bytes = vec![0; text.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes).unwrap();
                answer.extend_from_slice(&bytes[..bytes.len() - 2]);
                answer.push(b'\n');
            }
            b'*' if text != "-1" => {
                for _ in 0..text.parse::<usize>().unwrap() {
                    self.read(answer);
                }
            }
            _ => {
                answer.extend_from_slice(&line[..line.len() - 2]);
                answer.push(b'\n');
            }
        }
    }
}

/// The cluster of all tests that do not stop its servers, each with a prefix of its own. One test alone moves a slot, for
/// two that are moved at once would not know of each other. It ends with the process.
pub(crate) fn shared_cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start_ahead)
}

/// Three primaries.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    /// Their names within the cluster.
    ids: Vec<String>,
}

const SLOTS: u16 = 16384;

impl Cluster {
    /// A cluster without options of its own. A cluster takes seconds to start, and waits for most of them: so the first
    /// that is asked for starts all those that the tests take.
    pub(crate) fn start_ahead() -> Cluster {
        static AHEAD: OnceLock<Mutex<Vec<JoinHandle<Cluster>>>> = OnceLock::new();
        // A machine with much to do may let a server wait for longer than a second: that is no death.
        let extra = ["--cluster-node-timeout", "10000"];
        let start = || std::thread::spawn(move || Cluster::start(&extra));
        let ahead = AHEAD.get_or_init(|| Mutex::new((0..3).map(|_| start()).collect()));
        let next = ahead.lock().unwrap().pop();
        next.unwrap_or_else(start).join().unwrap()
    }

    pub(crate) fn start(extra: &[&str]) -> Cluster {
        let extra = [
            &["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
            extra,
        ]
        .concat();
        let servers: Vec<Server> = (0..3).map(|_| Server::start(&extra)).collect();
        let third = SLOTS / 3;
        for (at, server) in servers.iter().enumerate() {
            let first = third * at as u16;
            let end = if at == 2 { SLOTS } else { first + third };
            // Redis 6.2 takes no range.
            let slots: Vec<String> = (first..end).map(|slot| slot.to_string()).collect();
            let added = server.say(&format!("CLUSTER ADDSLOTS {}", slots.join(" ")));
            assert_eq!(added.trim(), "+OK");
            let epoch = server.say(&format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1));
            assert_eq!(epoch.trim(), "+OK");
        }
        for server in &servers[1..] {
            let met = servers[0].say(&format!("CLUSTER MEET 127.0.0.1 {}", server.port));
            assert_eq!(met.trim(), "+OK");
        }
        let ids = servers
            .iter()
            .map(|server| server.say("CLUSTER MYID").trim().to_string());
        let cluster = Cluster {
            ids: ids.collect(),
            servers,
        };
        cluster.settle();
        cluster
    }

    /// Until every server knows all slots.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + PATIENCE;
        let is_settled = || {
            self.servers.iter().all(|server| {
                let info = server.say("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        };
        while !is_settled() {
            assert!(Instant::now() < until, "the cluster does not settle");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn url(&self) -> String {
        self.servers[0].url()
    }

    /// Moves a slot with its keys, the way a resharding does.
    pub(crate) fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to);
        let target = &self.servers[to];
        loop {
            let keys = self.servers[from].say(&format!("CLUSTER GETKEYSINSLOT {slot} 10"));
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let mut words: Vec<&[u8]> = vec![b"MIGRATE", b"127.0.0.1"];
            let port = target.port.to_string();
            words.extend([port.as_bytes(), b"", b"0", b"5000", b"KEYS"]);
            words.extend(keys.iter().map(|key| key.as_bytes()));
            let moved = self.servers[from].ask(&words);
            assert!(
                moved.starts_with("+OK") || moved.starts_with("+NOKEY"),
                "{moved}"
            );
        }
        self.end_move(slot, from, to);
    }

    pub(crate) fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let importing = self.servers[to].say(&format!(
            "CLUSTER SETSLOT {slot} IMPORTING {}",
            self.ids[from]
        ));
        assert_eq!(importing.trim(), "+OK");
        let migrating = self.servers[from].say(&format!(
            "CLUSTER SETSLOT {slot} MIGRATING {}",
            self.ids[to]
        ));
        assert_eq!(migrating.trim(), "+OK");
    }

    pub(crate) fn end_move(&self, slot: u16, from: usize, to: usize) {
        let others = (0..self.servers.len()).filter(|at| *at != to && *at != from);
        for at in [to, from].into_iter().chain(others) {
            let settled =
                self.servers[at].say(&format!("CLUSTER SETSLOT {slot} NODE {}", self.ids[to]));
            assert_eq!(settled.trim(), "+OK");
        }
        self.agree();
    }

    /// Until every server knows of the latest move. Two moves that do not know of each other end with two servers that
    /// each say the slot is theirs, which no operator would bring about.
    fn agree(&self) {
        let until = Instant::now() + PATIENCE;
        let epoch = |server: &Server| {
            let info = server.say("CLUSTER INFO");
            let line = info
                .lines()
                .find(|line| line.starts_with("cluster_current_epoch:"));
            line.unwrap_or_default().to_string()
        };
        loop {
            let epochs: Vec<_> = self.servers.iter().map(epoch).collect();
            if epochs.windows(2).all(|two| two[0] == two[1]) {
                return;
            }
            assert!(Instant::now() < until, "{epochs:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Which server says that it has a slot.
    pub(crate) fn owner(&self, slot: u16) -> usize {
        let slots = [0, SLOTS / 3, SLOTS / 3 * 2];
        slots.iter().rposition(|first| slot >= *first).unwrap()
    }
}

/// The task of a child process: to start a server and end.
const TASK: &str = "SHELF_REDIS_SERVER_TASK";

/// The child process's side; in an ordinary run it has nothing to do.
#[test]
fn child_process() {
    if std::env::var_os(TASK).is_some() {
        let server = Box::leak(Box::new(Server::start(&[])));
        let (_, _, pid) = server.running.as_ref().unwrap();
        eprintln!("server {pid} {}", server.dir.path().display());
    }
}

#[test]
fn a_server_and_its_folder_end_with_the_process_that_started_it() {
    if !is_there("a_server_and_its_folder_end_with_the_process_that_started_it") {
        return;
    }
    let (_, this) = module_path!().split_once("::").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--exact", &format!("{this}::child_process")])
        .env(TASK, "1")
        .output()
        .unwrap();
    let said = String::from_utf8(child.stderr).unwrap();
    let mut lines = said.lines().filter_map(|line| line.strip_prefix("server "));
    let (pid, folder) = lines.next().unwrap().split_once(' ').unwrap();
    let process = format!("/proc/{pid}");
    let until = Instant::now() + Duration::from_secs(60);
    while [&process[..], folder]
        .map(Path::new)
        .iter()
        .any(|path| path.exists())
    {
        assert!(Instant::now() < until, "{said}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
