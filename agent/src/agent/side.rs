//! The side thread: signals, HTTP, the control socket, systemd. Nothing in here can delay the core.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep};

use super::RunError;
use super::channel::News;
use super::guardian::{Guard, Loss};
use crate::observe::{Feed, command, health, http, listen, serve};
use mantle_protocol::Event;

/// The side thread and what it needs.
pub(super) struct Side<'a> {
    pub(super) doors: Doors,
    pub(super) feed: Feed,
    pub(super) news: UnboundedSender<News>,
    pub(super) ended: oneshot::Receiver<()>,
    pub(super) guard: Option<&'a Guard>,
    /// How long what was handed over is served at most.
    pub(super) drain: Duration,
}

/// Where the agent can be reached: opened before it acts, so that one which can't be reached has done nothing.
pub(super) struct Doors {
    signals: Signals,
    control: UnixListener,
    http: Option<TcpListener>,
}

impl Doors {
    /// Opens them; belongs to the runtime it is called in.
    pub(super) async fn open(runtime_dir: &Path, address: Option<SocketAddr>) -> Result<Self, RunError> {
        let signals = Signals::new()?;
        let control = listen::control(runtime_dir)?;
        let http = match address {
            Some(address) => Some(listen::tcp(address).await?),
            None => None,
        };
        Ok(Self { signals, control, http })
    }
}

/// How often is looked whether anything still drains.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long an orderly end may take, beside the drain.
const END_WITHIN: Duration = Duration::from_secs(5);

impl Side<'_> {
    /// Serves until a signal, then ends the agent in order.
    pub(super) async fn run(mut self) -> Result<(), RunError> {
        let Doors { mut signals, control, http: public } = self.doors;
        let (asks, mut asked) = unbounded_channel();
        let commands = command::commanding(self.feed.clone(), asks);
        tokio::spawn(serve::serve(control, commands, serve::Limits::default()));
        let news = self.news.clone();
        tokio::spawn(async move {
            // The core is gone only when the agent ends; then whoever asked is told so by its channel's end.
            while let Some(asked) = asked.recv().await {
                let _ = news.send(News::HandOff(asked));
            }
        });
        if let Some(listener) = public {
            tokio::spawn(serve::serve(listener, http::public(self.feed.clone()), serve::Limits::default()));
        }
        tokio::spawn(watchdog(self.feed.clone()));
        if let Some(guard) = self.guard {
            tokio::spawn(watch_guardian(guard.loss()?));
        }
        notify(&[NotifyState::Ready]);
        let name = signals.next().await;
        tracing::info!(signal = name, "stopping: handing over or releasing every VIP");
        let longest = END_WITHIN + self.drain;
        // Whatever the unit's time-out: the drain is the config's.
        let most = u32::try_from((longest + END_WITHIN).as_micros()).unwrap_or(u32::MAX);
        notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(most)]);
        // The core is gone only if it has ended.
        let _ = self.news.send(News::Event(Event::Stop));
        tokio::select! {
            _ = &mut self.ended => {
                tracing::info!("stopped: everything is released");
                Ok(())
            }
            _ = signals.next() => Err(RunError::Cut),
            () = limit(|| self.feed.is_draining(), self.drain) => Err(RunError::Unreleased(END_WITHIN)),
        }
    }
}

/// Waits for as long as an orderly end may take: what is drained, and only that, may take its time, and then as long again to be
/// taken off.
async fn limit(is_draining: impl Fn() -> bool, drain: Duration) {
    let begun = Instant::now();
    let mut drained = begun;
    while drained.elapsed() < END_WITHIN {
        if is_draining() && begun.elapsed() < END_WITHIN + drain {
            drained = Instant::now();
        }
        sleep(LOOK_EVERY).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Tells systemd that the agent lives for as long as its core moves.
async fn watchdog(feed: Feed) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(limit / 3);
    loop {
        ticks.tick().await;
        if feed.heartbeat_age() < health::STALE {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// The agent goes on without its guardian, and says so: it takes one thread to fork another, and there are more by now.
async fn watch_guardian(loss: Loss) {
    let guardian = loss.lost().await;
    tracing::warn!(
        %guardian,
        "the guardian is gone: should this agent be killed too, another node takes over after the silence; a restart of \
         the agent brings one back"
    );
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd could not be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(10);

    /// How long an end may take in which something drains from one second to another.
    async fn longest(from: u64, to: u64) -> Duration {
        let begun = Instant::now();
        limit(|| (from..to).contains(&begun.elapsed().as_secs()), DRAIN).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_drained_has_its_time_to_be_taken_off() {
        for (from, to, seconds) in [(0, 0, 5), (0, 3, 8), (0, 7, 12), (4, 14, 19), (0, 60, 20), (6, 9, 5)] {
            // The last look at what drained was up to so much before that ended.
            let took = longest(from, to).await + LOOK_EVERY;
            let due = Duration::from_secs(seconds);
            assert!((due..due + 4 * LOOK_EVERY).contains(&took), "{from} to {to}: {took:?}");
        }
    }
}
