//! A relay between one host and etcd: to that host alone etcd can be made slow, silent about its changes, or away.
//!
//! It knows just enough of HTTP/2 (RFC 9113) to tell a watch from a call: a call's request has an end, a watch's has
//! none while it lasts. Calls and watches share a connection, so nothing less would silence the one and not the other.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::mem;
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
    holds_watches: bool,
    is_cut: bool,
}

/// The streams of one connection.
#[derive(Debug)]
struct Streams {
    /// Those whose request has not ended: watches, and calls that are just being made.
    open: BTreeSet<u32>,
    /// Those whose answers are kept back for good.
    silenced: BTreeSet<u32>,
    /// What is kept back until watches go on.
    held: Vec<Frame>,
    /// What is on its way to the host.
    queue: mpsc::UnboundedSender<(Instant, Frame)>,
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

    /// From now on watches show nothing until [`Self::let_watches_go`]; calls beside them are answered.
    pub fn hold_watches(&self) {
        lock(&self.manner).holds_watches = true;
    }

    /// What watches were to show meanwhile is shown, in its order, and they go on.
    pub fn let_watches_go(&self) {
        let mut manner = lock(&self.manner);
        manner.holds_watches = false;
        let due = Instant::now() + manner.delay;
        for streams in &mut manner.connections {
            for frame in mem::take(&mut streams.held) {
                // A connection that has ended is owed nothing.
                let _ = streams.queue.send((due, frame));
            }
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
        let (connection, queued) = {
            let mut manner = lock(&manner);
            if manner.is_cut {
                continue;
            }
            let (queue, queued) = mpsc::unbounded_channel();
            manner.connections.push(Streams::new(queue));
            (manner.connections.len() - 1, queued)
        };
        let (member, manner) = (member.clone(), Arc::clone(&manner));
        let ended = Arc::clone(&cut).notified_owned();
        tokio::spawn(async move {
            tokio::select! {
                // Whichever side ended it, it ends for the other side too: that is all there is to tell.
                _ = relay(near, &member, &manner, connection, queued) => {}
                () = ended => {}
            }
        });
    }
}

async fn relay(
    near: TcpStream,
    member: &str,
    manner: &Mutex<Manner>,
    connection: usize,
    queued: mpsc::UnboundedReceiver<(Instant, Frame)>,
) -> io::Result<()> {
    let far = TcpStream::connect(member).await?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        ended = pass_requests(near_in, far_out, manner, connection) => ended,
        ended = queue_answers(far_in, manner, connection) => ended,
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

async fn queue_answers(mut from: OwnedReadHalf, manner: &Mutex<Manner>, connection: usize) -> io::Result<()> {
    loop {
        let frame = Frame::read(&mut from).await?;
        let mut manner = lock(manner);
        let (due, holds) = (Instant::now() + manner.delay, manner.holds_watches);
        manner.connections[connection].answered(due, frame, holds);
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
    // It is not, as long as the relay knows the connection.
    pending().await
}

/// A frame as it stands on the wire (RFC 9113, section 4.1).
#[derive(Debug)]
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
    fn new(queue: mpsc::UnboundedSender<(Instant, Frame)>) -> Self {
        Self { open: BTreeSet::new(), silenced: BTreeSet::new(), held: Vec::new(), queue }
    }

    fn requested(&mut self, frame: &Frame) {
        if frame.kind() == Frame::HEADERS {
            self.open.insert(frame.stream());
        }
        if frame.ends_stream() {
            self.open.remove(&frame.stream());
        }
    }

    /// Of a watch's answers only the data is kept back: headers change the state of the connection's compression, and the client must
    /// follow it.
    fn answered(&mut self, due: Instant, frame: Frame, holds_watches: bool) {
        let (is_data, stream) = (frame.kind() == Frame::DATA, frame.stream());
        if is_data && self.silenced.contains(&stream) {
            return;
        }
        if is_data && holds_watches && self.open.contains(&stream) {
            self.held.push(frame);
            return;
        }
        // The other end of the queue is polled beside what reads answers, and ends with it.
        let _ = self.queue.send((due, frame));
    }
}

fn lock(manner: &Mutex<Manner>) -> MutexGuard<'_, Manner> {
    manner.lock().unwrap_or_else(PoisonError::into_inner)
}
