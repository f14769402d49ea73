//! A relay between one host and etcd: to that host alone etcd can be made slow, silent about its changes, or away.
//!
//! It knows just enough of HTTP/2 (RFC 9113) to tell a watch from a call: a call's request has an end, a watch's has
//! none while it lasts. Calls and watches share a connection, so nothing less would silence the one and not the other.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::host::Host;

/// Where the first relay of a host listens, and the others above it: etcd's port is for a member that may run there.
const FIRST_PORT: u16 = 2479;

/// A relay between one host and etcd, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    /// Ends every connection there is.
    cut: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How the relay treats what passes.
#[derive(Debug, Default)]
struct Manner {
    delay: Duration,
    connections: Vec<Streams>,
    is_cut: bool,
}

/// The streams of one connection.
#[derive(Debug, Default)]
struct Streams {
    /// Those whose request has not ended: watches, and calls that are just being made.
    open: BTreeSet<u32>,
    /// Those whose answers are kept back.
    silenced: BTreeSet<u32>,
}

impl Relay {
    /// Starts a relay on a host to an etcd without TLS, `endpoint`; `number` tells it from the host's other relays.
    pub(crate) fn start(host: &Host, endpoint: &str, number: u16) -> Self {
        let port = FIRST_PORT + number;
        let member = endpoint.strip_prefix("http://").expect("the relay reads no TLS").to_owned();
        let listener = host.run(move || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen for the relay: {error}"));
        listener.set_nonblocking(true).expect("a listener takes that");
        let manner = Arc::<Mutex<Manner>>::default();
        let (stop, stopped) = oneshot::channel();
        let (treated, cut) = (Arc::clone(&manner), Arc::<Notify>::default());
        let ending = Arc::clone(&cut);
        let thread = host.on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}")).block_on(async {
                tokio::select! {
                    // Ends when told to, or with the relay.
                    _ = stopped => {}
                    () = serve(listener, member, treated, ending) => {}
                }
            });
        });
        Self { port, manner, cut, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens, for the config of the agent on its host.
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// From now on whatever etcd says arrives so much later; what it is told arrives at once.
    pub fn delay_answers(&self, delay: Duration) {
        lock(&self.manner).delay = delay;
    }

    /// Every connection ends, and there is none until [`Self::mend`].
    pub fn cut(&self) {
        lock(&self.manner).is_cut = true;
        self.cut.notify_waiters();
    }

    /// Connections can be made again.
    pub fn mend(&self) {
        lock(&self.manner).is_cut = false;
    }

    /// The watches there are now show nothing any more, though they stay open and calls beside them are answered. Those
    /// begun later are as good as ever.
    pub fn silence_watches(&self) {
        for streams in &mut lock(&self.manner).connections {
            streams.silenced = streams.open.clone();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    member: String,
    manner: Arc<Mutex<Manner>>,
    cut: Arc<Notify>,
) {
    let listener = TcpListener::from_std(listener).expect("a runtime runs here");
    while let Ok((near, _)) = listener.accept().await {
        let connection = {
            let mut manner = lock(&manner);
            if manner.is_cut {
                continue;
            }
            manner.connections.push(Streams::default());
            manner.connections.len() - 1
        };
        let (member, manner) = (member.clone(), Arc::clone(&manner));
        let ended = Arc::clone(&cut).notified_owned();
        tokio::spawn(async move {
            tokio::select! {
                // Whichever side ended it, it ends for the other side too: that is all there is to tell.
                _ = relay(near, &member, &manner, connection) => {}
                () = ended => {}
            }
        });
    }
}

async fn relay(near: TcpStream, member: &str, manner: &Mutex<Manner>, connection: usize) -> io::Result<()> {
    let far = TcpStream::connect(member).await?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let (queue, queued) = mpsc::unbounded_channel();
    tokio::select! {
        ended = pass_requests(near_in, far_out, manner, connection) => ended,
        ended = queue_answers(far_in, queue, manner, connection) => ended,
        ended = pass_answers(queued, near_out) => ended,
    }
}

async fn pass_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    manner: &Mutex<Manner>,
    connection: usize,
) -> io::Result<()> {
    // RFC 9113, section 3.4: what a client says before its first frame.
    let mut preface = [0; 24];
    from.read_exact(&mut preface).await?;
    to.write_all(&preface).await?;
    loop {
        let frame = Frame::read(&mut from).await?;
        lock(manner).connections[connection].requested(&frame);
        to.write_all(&frame.0).await?;
    }
}

async fn queue_answers(
    mut from: OwnedReadHalf,
    queue: mpsc::UnboundedSender<(Instant, Frame)>,
    manner: &Mutex<Manner>,
    connection: usize,
) -> io::Result<()> {
    loop {
        let frame = Frame::read(&mut from).await?;
        let due = {
            let manner = lock(manner);
            if manner.connections[connection].keeps_back(&frame) {
                continue;
            }
            Instant::now() + manner.delay
        };
        // The other end of the queue is polled beside this one, and ends with it.
        let _ = queue.send((due, frame));
    }
}

async fn pass_answers(
    mut queued: mpsc::UnboundedReceiver<(Instant, Frame)>,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    while let Some((due, frame)) = queued.recv().await {
        sleep_until(due).await;
        to.write_all(&frame.0).await?;
    }
    // What fills the queue has its own reason to end.
    pending().await
}

/// A frame as it stands on the wire (RFC 9113, section 4.1).
struct Frame(Vec<u8>);

impl Frame {
    const HEADER: usize = 9;
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const END_STREAM: u8 = 1;

    async fn read(from: &mut OwnedReadHalf) -> io::Result<Self> {
        let mut bytes = vec![0; Self::HEADER];
        from.read_exact(&mut bytes).await?;
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        bytes.resize(Self::HEADER + length, 0);
        from.read_exact(&mut bytes[Self::HEADER..]).await?;
        Ok(Self(bytes))
    }

    fn kind(&self) -> u8 {
        self.0[3]
    }

    fn ends_stream(&self) -> bool {
        let ends = matches!(self.kind(), Self::DATA | Self::HEADERS) && self.0[4] & Self::END_STREAM != 0;
        ends || self.kind() == Self::RST_STREAM
    }

    fn stream(&self) -> u32 {
        u32::from_be_bytes([self.0[5] & 0x7f, self.0[6], self.0[7], self.0[8]])
    }
}

impl Streams {
    fn requested(&mut self, frame: &Frame) {
        if frame.kind() == Frame::HEADERS {
            self.open.insert(frame.stream());
        }
        if frame.ends_stream() {
            self.open.remove(&frame.stream());
        }
    }

    /// Only the data: headers change the state of the connection's compression, and the client must follow it.
    fn keeps_back(&self, frame: &Frame) -> bool {
        frame.kind() == Frame::DATA && self.silenced.contains(&frame.stream())
    }
}

fn lock(manner: &Mutex<Manner>) -> MutexGuard<'_, Manner> {
    manner.lock().unwrap_or_else(PoisonError::into_inner)
}
