//! A TCP service that gives back what it is sent, and a client's connections to it: each knows who serves it, and checks every
//! byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::host::Host;

const PORT: u16 = 7000;

/// How often a service looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Longer than TCP takes to repeat what was lost a few times; a connection that is dead shows itself by it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the client wants: the eight bytes that follow back, or so many bytes of the pattern, to there or from there.
const ECHO: u8 = 0;
const UPLOAD: u8 = 1;
const DOWNLOAD: u8 = 2;

/// Answers on a host at every address, until it is dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts it.
    pub fn start(host: &Host) -> Self {
        let name: Arc<str> = host.name().into();
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let listener = host.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)));
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen on port {PORT}: {error}"));
        listener.set_nonblocking(true).expect("a listener can be told not to wait");
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let (stopped, name) = (Arc::clone(&stopped), Arc::clone(&name));
                        thread::spawn(move || serve(stream, &name, &stopped));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// The client notices whatever goes wrong here.
fn serve(mut stream: TcpStream, name: &str, stopped: &AtomicBool) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[u8::try_from(name.len()).expect("a host's name is short")])?;
    stream.write_all(name.as_bytes())?;
    stream.set_read_timeout(Some(LOOK))?;
    loop {
        let mut kind = [0];
        match stream.read(&mut kind) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error),
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut word = [0; 8];
        stream.read_exact(&mut word)?;
        match kind[0] {
            UPLOAD => {
                let is_right = take(&mut stream, u64::from_be_bytes(word))?;
                stream.write_all(&[is_right.into()])?;
            }
            DOWNLOAD => give(&mut stream, u64::from_be_bytes(word))?,
            _ => stream.write_all(&word)?,
        }
        stream.set_read_timeout(Some(LOOK))?;
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The host that serves it.
    pub server: String,
    asked: u64,
}

impl Connection {
    /// Opens one from that host.
    pub fn open(host: &Host, vip: IpAddr) -> Self {
        let mut stream = host.run(move || {
            let connected = TcpStream::connect_timeout(&SocketAddr::new(vip, PORT), PATIENCE);
            connected.unwrap_or_else(|error| panic!("no connection to {vip}: {error}"))
        });
        let server = greeted(&mut stream).unwrap_or_else(|error| panic!("no word from {vip}: {error}"));
        Self { stream, server, asked: 0 }
    }

    /// A request and its answer, which must come.
    pub fn ask(&mut self) {
        self.tries().unwrap_or_else(|error| panic!("question {} to {:?}: {error}", self.asked, self.stream));
    }

    /// A request and its answer.
    pub fn tries(&mut self) -> io::Result<()> {
        self.asked += 1;
        let word = self.asked.to_be_bytes();
        let mut answer = [0; 8];
        self.command(ECHO, word)?;
        self.stream.read_exact(&mut answer)?;
        assert_eq!(answer, word);
        Ok(())
    }

    /// Sends so much there, all of which must come to be as it was.
    pub fn upload(&mut self, bytes: u64) {
        let mut is_right = [0];
        let done = self.command(UPLOAD, bytes.to_be_bytes()).and_then(|()| give(&mut self.stream, bytes));
        let done = done.and_then(|()| self.stream.read_exact(&mut is_right));
        done.unwrap_or_else(|error| panic!("upload to {:?}: {error}", self.stream));
        assert_eq!(is_right, [1], "what came was not what was sent");
    }

    /// Gets so much from there.
    pub fn download(&mut self, bytes: u64) {
        let done = self.command(DOWNLOAD, bytes.to_be_bytes()).and_then(|()| take(&mut self.stream, bytes));
        let is_right = done.unwrap_or_else(|error| panic!("download from {:?}: {error}", self.stream));
        assert!(is_right, "what came was not what was sent");
    }

    fn command(&mut self, kind: u8, word: [u8; 8]) -> io::Result<()> {
        let mut command = [kind; 9];
        command[1..].copy_from_slice(&word);
        self.stream.write_all(&command)
    }
}

/// The name of the host that has taken the connection.
fn greeted(stream: &mut TcpStream) -> io::Result<String> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut length = [0];
    stream.read_exact(&mut length)?;
    let mut name = vec![0; usize::from(length[0])];
    stream.read_exact(&mut name)?;
    String::from_utf8(name).map_err(io::Error::other)
}

/// As much as is written at a time.
const PIECE: usize = 1 << 16;

/// The piece of the pattern that begins there: no two are alike.
fn piece(at: u64) -> Vec<u8> {
    let mut piece = vec![0; PIECE];
    for (number, word) in (at / 8..).zip(piece.chunks_exact_mut(8)) {
        word.copy_from_slice(&u64::to_be_bytes(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    }
    piece
}

fn give(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    (0..bytes).step_by(PIECE).try_for_each(|at| stream.write_all(&piece(at)))
}

/// Takes so much, and says whether it is the pattern.
fn take(stream: &mut TcpStream, bytes: u64) -> io::Result<bool> {
    let (mut buffer, mut is_right) = (vec![0; PIECE], true);
    for at in (0..bytes).step_by(PIECE) {
        stream.read_exact(&mut buffer)?;
        is_right &= buffer == piece(at);
    }
    Ok(is_right)
}
