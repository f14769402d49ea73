//! The connections of a load, all on one thread: those that stay open and go on asking, and new ones all the time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Rates;
use super::server::PORT;
use crate::host::Host;
use crate::namespace::finish;

/// Longer than TCP takes to repeat what was lost a few times; a connection that is dead shows itself by it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many are opened at once in the beginning: fewer than a listener has room for.
const AT_ONCE: u32 = 100;

/// Asks until it is stopped.
#[derive(Debug)]
pub(super) struct Askers {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Asked>,
}

/// What became of questions of one kind.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Questions that were answered.
    pub answered: u32,
    /// The longest time until an answer.
    pub longest: Duration,
    /// What failed, by what was said of it.
    pub failed: BTreeMap<String, u32>,
}

/// What became of the connections.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Of the questions on connections that stayed open. One that fails asks no more.
    pub old: Tally,
    /// Of new connections, each with one question.
    pub new: Tally,
    /// How long was asked.
    pub took: Duration,
}

impl Tally {
    /// Answers a second.
    pub(super) fn rate(&self, took: Duration) -> f64 {
        f64::from(self.answered) / took.as_secs_f64()
    }

    fn note(&mut self, done: io::Result<Duration>) {
        match done {
            Ok(took) => {
                self.answered += 1;
                self.longest = self.longest.max(took);
            }
            Err(error) => *self.failed.entry(error.to_string()).or_default() += 1,
        }
    }
}

impl Askers {
    /// Every connection that is to stay is open when this returns.
    pub(super) fn start(host: &Host, vip: IpAddr, rates: Rates) -> Self {
        host.run(use_every_port);
        let (stop, stopped) = watch::channel(false);
        let (opened, open) = mpsc::channel();
        let thread = host.on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}"));
            let all = ask_all(SocketAddr::new(vip, PORT), rates, stopped, opened);
            LocalSet::new().block_on(&runtime, all)
        });
        open.recv().unwrap_or_else(|_| panic!("not all connections to {vip} could be opened"));
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Asked {
        self.stop.send_replace(true);
        finish(self.thread.join())
    }
}

/// Hundreds of connections a second use up the ports that there are by default within a minute, which a closed one keeps.
fn use_every_port() {
    for (setting, value) in [("ip_local_port_range", "10000 65000"), ("tcp_tw_reuse", "1")] {
        let path = format!("/proc/sys/net/ipv4/{setting}");
        fs::write(&path, value).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    }
}

async fn ask_all(
    vip: SocketAddr,
    rates: Rates,
    mut stopped: watch::Receiver<bool>,
    opened: mpsc::Sender<()>,
) -> Asked {
    let mut streams = Vec::new();
    for _ in 0..rates.connections.div_ceil(AT_ONCE) {
        let some = (0..AT_ONCE).map(|_| open(vip));
        for stream in futures_util::future::join_all(some).await {
            streams.push(stream.unwrap_or_else(|error| panic!("no connection to {vip}: {error}")));
        }
    }
    streams.truncate(usize::try_from(rates.connections).expect("32 bits fit"));
    let asked = Rc::<RefCell<Asked>>::default();
    let begun = Instant::now();
    for (number, stream) in (0..).zip(streams) {
        // Each at a time of its own within the pause.
        let first = begun + rates.pause * number / rates.connections;
        tokio::task::spawn_local(go_on_asking(stream, first, rates.pause, asked.clone(), stopped.clone()));
    }
    // Whoever waits for it is there.
    let _ = opened.send(());
    let mut due = interval_at(begun, Duration::from_secs(1) / rates.new_connections);
    let mut last = Vec::new();
    loop {
        tokio::select! {
            _ = due.tick() => {
                let asked = asked.clone();
                last.push(tokio::task::spawn_local(async move {
                    let done = ask_anew(vip).await;
                    asked.borrow_mut().new.note(done);
                }));
                last.retain(|task| !task.is_finished());
            }
            // An error is a load that was dropped, which is over as well.
            _ = stopped.changed() => break,
        }
    }
    let took = begun.elapsed();
    // What is under way counts too.
    futures_util::future::join_all(last).await;
    let mut asked = asked.borrow().clone();
    asked.took = took;
    asked
}

async fn go_on_asking(
    mut stream: TcpStream,
    first: Instant,
    pause: Duration,
    asked: Rc<RefCell<Asked>>,
    stopped: watch::Receiver<bool>,
) {
    let mut due = interval_at(first, pause);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut number = 0;
    while !*stopped.borrow() {
        due.tick().await;
        number += 1;
        let done = ask(&mut stream, number).await;
        let is_dead = done.is_err();
        asked.borrow_mut().old.note(done);
        if is_dead {
            return;
        }
    }
}

async fn ask_anew(vip: SocketAddr) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut stream = open(vip).await?;
    ask(&mut stream, 0).await?;
    Ok(begun.elapsed())
}

async fn open(vip: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(PATIENCE, TcpStream::connect(vip)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A question and its answer; how long that took.
async fn ask(stream: &mut TcpStream, number: u64) -> io::Result<Duration> {
    let (begun, word) = (Instant::now(), number.to_be_bytes());
    let mut answer = [0; 8];
    timeout(PATIENCE, async {
        stream.write_all(&word).await?;
        stream.read_exact(&mut answer).await
    })
    .await??;
    assert_eq!(answer, word, "an answer to another question");
    Ok(begun.elapsed())
}
