//! The agent: a few threads around the protocol.
//!
//! | thread | runs | may wait for |
//! |---|---|---|
//! | `mantle-core` | the protocol and the connections to etcd | etcd, the clock |
//! | `mantle-hands` | addresses, announcements, the kernel program | netlink, the clock |
//! | `mantle-health`, if there are checks | tries them and judges the results | what is checked |
//! | `mantle-replies`, if asked for | rules and routes for replies | netlink |
//! | `mantle-addresses` | the choice of addresses, its files and hooks | netlink, files, the clock |
//! | main | signals, HTTP, the control socket, systemd; a look at etcd each minute | clients, etcd |
//!
//! They share nothing but channels. A panic in any of them ends the process: the fences hold without it, and the next
//! agent resumes the session; or, if none comes in time, the [`guardian`] gives up what it held.

mod addresses;
mod channel;
mod core;
pub mod fitness;
pub mod guardian;
mod hands;
mod lateness;
mod listeners;
mod priority;
mod replies;
mod runtime_dir;
mod showing;
mod side;
mod story;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::{self, JoinHandle};

use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use self::channel::{KnownVips, News, Order};
use self::core::Core;
use self::guardian::Guard;
use self::hands::{Hands, Tools};
use self::lateness::Lateness;
use self::replies::Replies;
pub use self::runtime_dir::{RuntimeDir, RuntimeDirError, socket};
use self::showing::{Facts, Showing};
use self::side::{Doors, Side};
use crate::announce::{Announcements, Pace, PaceError};
use crate::clock;
use crate::config::Config;
use crate::dataplane::RightCell;
use crate::etcd::{self, Etcd, Surveyor};
use crate::health::{Checks, Report};
use crate::link::OpenError;
use crate::observe::{feed, listen, snapshot};
use mantle_protocol::{Event, Node, Settings};

/// Why an agent cannot run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The agent's clock is not the kernel program's.
    #[error(
        "CLOCK_BOOTTIME is shifted by {0} in the agent's time namespace, but not for the kernel program, which ends rights by it; run \
         mantle in the machine's own time namespace"
    )]
    TimeNamespace(String),
    /// The runtime directory cannot be had.
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    /// The links cannot be read or changed.
    #[error(transparent)]
    Links(#[from] OpenError),
    /// The announcements' pace is none.
    #[error(transparent)]
    Pace(#[from] PaceError),
    /// The etcd settings cannot be used.
    #[error("cannot use the etcd settings: {what}: {source}")]
    Etcd {
        /// What was tried.
        what: String,
        /// What came back.
        source: io::Error,
    },
    /// Metrics or status cannot be served.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// A thread or its runtime cannot be started.
    #[error("cannot start a thread of the agent: {0}")]
    Thread(#[from] io::Error),
    /// The agent was told to stop and could not release everything in time.
    #[error(
        "not everything was released within {0:?}: the guardian goes on with it for a while, else another node takes over \
         once this one's silence is over"
    )]
    Unreleased(std::time::Duration),
    /// A second signal cut the release short.
    #[error(
        "ended at once by a second signal: the rest is left to the guardian, or to another node once this one's silence is \
         over"
    )]
    Cut,
}

/// What would ask the etcd that `config` names, with the rights of the agent it describes.
pub fn surveyor(config: &Config) -> Result<Surveyor, RunError> {
    Ok(Surveyor::new(etcd_settings(config)?, config.node.clone()))
}

/// Runs the agent until a signal ends it; with its guardian, if there is one.
pub fn run(config: &Config, mut guard: Option<Guard>) -> Result<(), RunError> {
    end_on_panic();
    if let Some(shift) = clock::shift() {
        return Err(RunError::TimeNamespace(shift));
    }
    let runtime_dir = RuntimeDir::lock(&config.runtime_dir, || guard.iter_mut().for_each(Guard::arm))?;
    let runtime = current_thread()?;
    let doors = runtime.block_on(Doors::open(&config.runtime_dir, config.http.listen))?;
    let way_to_etcd = etcd_settings(config)?;
    let sources = way_to_etcd.sources.clone();
    let surveyor = Surveyor::new(way_to_etcd.clone(), config.node.clone());
    let etcd = Etcd::new(way_to_etcd);
    let vips: BTreeMap<IpAddr, Arc<str>> =
        config.vips.iter().map(|vip| (vip.ip, vip.link.as_str().into())).collect();
    let settings = Settings {
        name: config.node.clone(),
        machine: runtime_dir.machine().to_owned(),
        timing: config.timing,
        priority: config.priority,
        when_nobody_is_ready: config.health.when_nobody_is_ready,
        drain: config.handoff.drain,
        preempt: config.handoff.preempt,
        vips: vips.keys().copied().collect(),
    };
    let facts = facts(config, &settings, vips.clone());
    let node = Node::new(settings);
    let (publisher, feed) = feed(Showing::first(&facts, &node, &etcd), clock::now);
    let counters = Arc::clone(publisher.counters());
    let (news, inbox) = mpsc::unbounded_channel();
    let (orders, order_inbox) = mpsc::unbounded_channel();

    let pace = Pace::new(config.announce.burst.clone(), config.announce.refresh)?;
    let tools = Tools {
        vips,
        announcements: Announcements::new(pace),
        mode: config.dataplane.mode,
        pin_name: pin_name(&config.runtime_dir),
        runtime_dir: config.runtime_dir.clone(),
        right: config.timing.lease,
        news: news.clone(),
        counters: Arc::clone(&counters),
    };
    // Before the hands: the core must not hear of a VIP that could be worn before it hears that nothing has checked it yet.
    let checks = start_checks(config, news.clone())?;
    let replies = Replies::start(config)?;
    let (right, hands) = start_hands(order_inbox, tools)?;
    let (known_vips, vips_of_cluster) = KnownVips::new();
    let (told, chosen_for_http) = watch::channel(Vec::new());
    addresses::start(
        config,
        vips_of_cluster,
        addresses::Users { sources, http: told, news: news.clone() },
        Arc::clone(&counters),
    )?;

    let core = Core {
        node,
        etcd,
        patience: config.timing.lease,
        right,
        hands: orders,
        news: news.clone(),
        showing: Showing::new(publisher, facts),
        lateness: Lateness::new(config.timing.renew),
        counters,
        known_vips,
        asked: BTreeMap::new(),
    };
    let ended = start_core(core, inbox)?;
    let look = fitness::watch(surveyor, config.timing, feed.clone());
    runtime.block_on(async {
        tokio::spawn(look);
        if let Some(public) = config.http.listen {
            tokio::spawn(listeners::serve_chosen(chosen_for_http, public.port(), feed.clone()));
        }
        let drain = config.handoff.drain;
        Side { doors, feed, news, ended, guard: guard.as_ref(), drain }.run().await
    })?;
    // Everything is off: the hands are about to take the kernel program away.
    let _ = hands.join();
    if let Some(replies) = replies {
        replies.close();
    }
    drop(checks);
    if let Some(guard) = guard {
        guard.dismiss();
    }
    Ok(())
}

/// Starts the checks, if there are any; what they say reaches the core as news.
fn start_checks(config: &Config, news: mpsc::UnboundedSender<News>) -> io::Result<Option<Checks>> {
    let checks = &config.health.checks;
    if checks.is_empty() {
        return Ok(None);
    }
    let vips = config.vips.iter().map(|vip| vip.ip).collect();
    let mut judged = None;
    let tell = move |report: Report| {
        let verdicts = (judged.as_ref() != Some(&report.vips)).then(|| report.vips.clone());
        // What it looks like first: whoever sees a VIP's readiness change is to find the reason there already. The core is
        // gone only when the agent ends; then nobody needs the news.
        let _ = news.send(News::Health(report));
        if let Some(verdicts) = verdicts {
            judged = Some(verdicts.clone());
            let _ = news.send(News::Event(Event::Health(verdicts)));
        }
    };
    Checks::start(checks, &vips, tell).map(Some)
}

/// The name that the kernel program is pinned under: one per runtime directory, as there is one agent in each.
fn pin_name(runtime_dir: &Path) -> String {
    let path = runtime_dir.strip_prefix("/run").unwrap_or(runtime_dir);
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

/// A thread that panics takes the process with it: half an agent is worse than none.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn facts(config: &Config, settings: &Settings, links: BTreeMap<IpAddr, Arc<str>>) -> Facts {
    Facts {
        node: snapshot::Node {
            name: config.node.clone(),
            cluster: config.cluster.as_str().into(),
            machine: settings.machine.as_str().into(),
            agent_version: env!("CARGO_PKG_VERSION"),
            started_at: clock::now(),
        },
        timing: config.timing,
        links,
    }
}

fn etcd_settings(config: &Config) -> Result<etcd::Settings, RunError> {
    let given = &config.etcd;
    let mut settings = etcd::Settings::new(given.endpoints.clone(), config.key_prefix());
    settings.hedge_within = config.timing.renew;
    settings.sources.write(addresses::sources_at_start(config));
    settings.tls = given
        .ca_file
        .clone()
        .map(|ca| etcd::Tls { ca, identity: given.cert_file.clone().zip(given.key_file.clone()) });
    if let (Some(name), Some(file)) = (&given.username, &given.password_file) {
        let password = std::fs::read_to_string(file).map_err(|source| RunError::Etcd {
            what: format!("reading the password in {}", file.display()),
            source,
        })?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        settings.user = Some(etcd::User { name: name.clone(), password });
    }
    Ok(settings)
}

fn current_thread() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Starts the hands' thread; comes back once the links are open, with the right as the kernel program sees it.
fn start_hands(
    orders: mpsc::UnboundedReceiver<Order>,
    tools: Tools,
) -> Result<(Option<RightCell>, JoinHandle<()>), RunError> {
    let runtime = current_thread()?;
    let (opened, result) = blocking::sync_channel(1);
    let thread = thread::Builder::new().name("mantle-hands".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let (hands, outcome) = match Hands::open(tools) {
                Ok(hands) => {
                    let right = hands.right();
                    (Some(hands), Ok(right))
                }
                Err(error) => (None, Err(error)),
            };
            let waited_for = opened.send(outcome).is_ok();
            if let Some(hands) = hands.filter(|_| waited_for) {
                hands.run(orders).await;
            }
        });
    })?;
    match result.recv() {
        Ok(outcome) => Ok((outcome?, thread)),
        Err(blocking::RecvError) => Err(io::Error::other("it ended before it began").into()),
    }
}

/// Starts the core's thread; what it gives tells when everything is released.
fn start_core(core: Core, inbox: mpsc::UnboundedReceiver<News>) -> io::Result<oneshot::Receiver<()>> {
    let runtime = current_thread()?;
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name("mantle-core".to_owned()).spawn(move || {
        priority::raise();
        runtime.block_on(async move {
            let (store, store_inbox) = mpsc::unbounded_channel();
            tokio::spawn(core.etcd.clone().follow(store));
            core.run(inbox, store_inbox).await;
        });
        // Whoever waited may have given up.
        let _ = done.send(());
    })?;
    Ok(ended)
}
