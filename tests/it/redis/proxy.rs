//! A way to a server on which connections are cut, at the worst moments there are.

use crate::support::Random;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where a connection is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The server never gets the request.
    Before,
    /// The server has done as asked, and the client does not get the answer.
    After,
    /// It gets half of it.
    Within,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// One request in so many is cut; 0 is none.
    one_in: Arc<AtomicU64>,
    pub(crate) cuts: Arc<AtomicUsize>,
    /// Answers every request by itself: nobody is let in.
    refusing: Arc<AtomicBool>,
    /// This many requests from now is the one that gets nowhere; 0 is none. Whether it has come.
    hold_at: Arc<AtomicU64>,
    holding: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn start(to: u16, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut proxy = Proxy {
            port,
            one_in: Arc::default(),
            cuts: Arc::default(),
            refusing: Arc::default(),
            hold_at: Arc::default(),
            holding: Arc::default(),
            over: Arc::default(),
            accepting: None,
        };
        let (one_in, cuts) = (proxy.one_in.clone(), proxy.cuts.clone());
        let (refusing, over) = (proxy.refusing.clone(), proxy.over.clone());
        let (hold_at, holding) = (proxy.hold_at.clone(), proxy.holding.clone());
        proxy.accepting = Some(std::thread::spawn(move || {
            for (nth, stream) in listener.incoming().enumerate() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let random = Random::new(seed ^ (nth as u64) << 32);
                let (one_in, cuts, refusing) = (one_in.clone(), cuts.clone(), refusing.clone());
                let (hold_at, holding) = (hold_at.clone(), holding.clone());
                std::thread::spawn(move || {
                    let client = stream.unwrap();
                    let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                    let is_held = || {
                        let is_held = hold_at.load(Ordering::Relaxed) > 0
                            && hold_at.fetch_sub(1, Ordering::Relaxed) == 1;
                        holding.fetch_or(is_held, Ordering::Relaxed);
                        is_held
                    };
                    let _ = forward(&client, &server, random, &one_in, &cuts, &refusing, is_held);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        }));
        proxy
    }

    pub(crate) fn cut_one_in(&self, many: u64) {
        self.one_in.store(many, Ordering::Relaxed);
    }

    /// Holds back the request that comes so many requests from now.
    pub(crate) fn hold_at(&self, nth: u64) {
        self.holding.store(false, Ordering::Relaxed);
        self.hold_at.store(nth, Ordering::Relaxed);
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    pub(crate) fn refuse(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// Forwards a request, which may be several commands that were sent together, and its answers, by turns.
fn forward(
    mut client: &TcpStream,
    mut server: &TcpStream,
    mut random: Random,
    one_in: &AtomicU64,
    cuts: &AtomicUsize,
    refusing: &AtomicBool,
    is_held: impl Fn() -> bool,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    server.set_read_timeout(Some(Duration::from_secs(5)))?;
    loop {
        let (request, count) = read_all(&mut client, 1)?;
        if refusing.load(Ordering::Relaxed) {
            client.write_all(&b"-NOAUTH Authentication required.\r\n".repeat(count))?;
            continue;
        }
        if is_held() {
            // Until the client hangs up.
            std::io::copy(&mut client, &mut std::io::sink())?;
            return Ok(());
        }
        let many = one_in.load(Ordering::Relaxed);
        let cut = (many > 0 && random.one_in(many)).then(|| {
            cuts.fetch_add(1, Ordering::Relaxed);
            [Cut::Before, Cut::After, Cut::After, Cut::Within][random.place(4)]
        });
        if matches!(cut, Some(Cut::Before)) {
            return Ok(());
        }
        server.write_all(&request)?;
        let (answer, _) = read_all(&mut server, count)?;
        match cut {
            Some(Cut::Within) => return client.write_all(&answer[..answer.len() / 2]),
            Some(_) => return Ok(()),
            None => client.write_all(&answer)?,
        }
    }
}

/// At least so many whole items of the protocol, and how many they are.
pub(crate) fn read_all(from: &mut impl Read, least: usize) -> std::io::Result<(Vec<u8>, usize)> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..len]);
        let (mut at, mut count) = (0, 0);
        while let Some(len) = item_len(&bytes[at..]) {
            at += len;
            count += 1;
        }
        if at == bytes.len() && count >= least {
            return Ok((bytes, count));
        }
    }
}

/// The length of the item that begins here, if all of it is there.
fn item_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let number = || -> i64 { String::from_utf8_lossy(&bytes[1..end - 1]).parse().unwrap() };
    let mut len = end + 1;
    match bytes[0] {
        b'$' if number() >= 0 => len += number() as usize + 2,
        b'*' => {
            for _ in 0..number().max(0) {
                len += item_len(&bytes[len..])?;
            }
        }
        _ => {}
    }
    (len <= bytes.len()).then_some(len)
}
