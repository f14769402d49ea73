//! The live choice of addresses: looks whenever a link or an address changes, keeps the files, and tells who wants to know.
//!
//! It has a thread of its own: it writes files and runs other people's programs, and neither may stand in the way of the
//! core or the hands. It needs no etcd, which may need it to start.
//!
//! Cancel-safety: the loop's `select!` waits on the links' events and a watch channel, of which nothing is lost when they
//! are dropped, since each look takes in everything anew; and on a sleep that is made anew each turn.

mod hook;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use self::hook::Hook;
use super::channel::News;
use super::{RunError, current_thread};
use crate::addresses::{
    Candidate, Keeper, Kept, Memory, Patience, Purpose, candidates, environment, environment_file, trouble,
    unfit, write_environments,
};
use crate::clock;
use crate::config::{Config, HTTP};
use crate::etcd::{SourceBook, Sources};
use crate::link::{LinkEvent, Links, machine_links};
use crate::observe::Counters;
use mantle_protocol::Event;

/// No deadline: a look at least this often costs nothing.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What changes comes in crowds, of containers as of VIPs that move: one look takes in all of it, and none of it is urgent.
const CROWD: Duration = Duration::from_millis(200);

/// The consumer by whose choice the agent itself goes.
const MANTLE: &str = "mantle";

/// Those within the agent who go by a choice.
pub(super) struct Users {
    /// Where the connections to etcd come from.
    pub(super) sources: SourceBook,
    /// Where HTTP is served, beside the address that the config names.
    pub(super) http: watch::Sender<Vec<IpAddr>>,
    /// The core, which publishes the node's own addresses.
    pub(super) news: mpsc::UnboundedSender<News>,
}

/// VIPs as the core knows them from etcd; nothing until it does.
type VipsOfCluster = watch::Receiver<Option<BTreeSet<IpAddr>>>;

/// Starts the thread; comes back when the files are up to date as far as they can be.
pub(super) fn start(
    config: &Config,
    vips_of_cluster: VipsOfCluster,
    users: Users,
    counters: Arc<Counters>,
) -> Result<(), RunError> {
    let runtime = current_thread()?;
    let (opened, result) = blocking::sync_channel(1);
    let config = config.clone();
    thread::Builder::new().name("mantle-addresses".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let links = match Links::open() {
                Ok(links) => links,
                // Whoever waited may have given up.
                Err(error) => return drop(opened.send(Err(error))),
            };
            let mut chooser = Chooser::new(links, config, users, counters, start_hooks());
            chooser.look(None);
            if opened.send(Ok(())).is_ok() {
                chooser.run(vips_of_cluster).await;
            }
        });
    })?;
    match result.recv() {
        Ok(outcome) => Ok(outcome?),
        Err(blocking::RecvError) => Err(io::Error::other("it ended before it began").into()),
    }
}

/// Waits for a change that is not of our own making: a VIP is never chosen, and its moves are none of this thread's business.
async fn foreign_change(links: &mut Links) {
    while let LinkEvent::Address { address, .. } = links.next().await {
        if !address.ours {
            return;
        }
    }
}

/// What connections to etcd are made from before anything has been chosen: what was, the last time.
pub(super) fn sources_at_start(config: &Config) -> Sources {
    // What is wrong with either is told by whoever chooses.
    let memory = Memory::load(&config.state_dir).unwrap_or_default();
    let machine = machine_links().map(|inventory| candidates(&inventory)).unwrap_or_default();
    let asked = config.addresses.named.contains_key(MANTLE);
    let chosen = memory.choices.get(&Purpose::named(MANTLE)).filter(|_| asked).cloned();
    sources(chosen.unwrap_or_default(), &machine, known_vips(config, &memory))
}

fn sources(chosen: Vec<IpAddr>, machine: &[Candidate], vips: BTreeSet<IpAddr>) -> Sources {
    let mut others: Vec<&Candidate> =
        machine.iter().filter(|candidate| unfit(candidate, &vips).is_none()).collect();
    // What would leave in a VIP's name most likely leaves by its link.
    let has_vip = |link: &str| machine.iter().any(|candidate| candidate.ours && candidate.link == link);
    others.sort_by_key(|candidate| !has_vip(&candidate.link));
    let others = others.into_iter().filter_map(|candidate| IpNet::new(candidate.ip, candidate.prefix).ok());
    Sources { chosen, others: others.collect(), vips }
}

fn chosen(purpose: &Purpose, all: &[Kept]) -> Vec<IpAddr> {
    let own = all.iter().find(|kept| kept.purpose == *purpose);
    own.map(|kept| kept.choice.addresses.clone()).unwrap_or_default()
}

/// The VIPs of the config, and of the cluster as far as they are known.
fn known_vips(config: &Config, memory: &Memory) -> BTreeSet<IpAddr> {
    config.vips.iter().map(|vip| vip.ip).chain(memory.vips.iter().copied()).collect()
}

fn start_hooks() -> mpsc::UnboundedSender<Hook> {
    let (hooks, mut inbox) = mpsc::unbounded_channel::<Hook>();
    tokio::spawn(async move {
        // One after the other: the last word is the newest.
        while let Some(hook) = inbox.recv().await {
            hook.run().await;
        }
    });
    hooks
}

struct Chooser {
    links: Links,
    config: Config,
    keeper: Keeper,
    memory: Memory,
    users: Users,
    counters: Arc<Counters>,
    hooks: mpsc::UnboundedSender<Hook>,
    /// What the core was last told to publish.
    published: Vec<IpAddr>,
    /// What was last said of each choice, so that it is said once.
    said: BTreeMap<Purpose, (bool, Vec<IpAddr>)>,
    /// What last went wrong with the files.
    complained: Vec<String>,
}

impl Chooser {
    fn new(
        links: Links,
        config: Config,
        users: Users,
        counters: Arc<Counters>,
        hooks: mpsc::UnboundedSender<Hook>,
    ) -> Self {
        let memory = Memory::load(&config.state_dir).unwrap_or_else(|error| {
            tracing::warn!("earlier choices of addresses are forgotten: {error}");
            Memory::default()
        });
        let keeper = Keeper::new(&config.addresses, &memory.choices, Patience::AGENT, clock::now());
        let (published, said, complained) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { links, config, keeper, memory, users, counters, hooks, published, said, complained }
    }

    async fn run(mut self, mut vips_of_cluster: VipsOfCluster) {
        loop {
            let now = clock::now();
            let wait = self.keeper.deadline().map_or(LONGEST_WAIT, |at| at.since(now)).min(LONGEST_WAIT);
            tokio::select! {
                () = foreign_change(&mut self.links) => sleep(CROWD).await,
                changed = vips_of_cluster.changed() => {
                    // The core is gone only when the agent ends.
                    if changed.is_err() {
                        return;
                    }
                    sleep(CROWD).await;
                }
                () = sleep(wait) => {}
            }
            while self.links.next().now_or_never().is_some() {}
            let vips = vips_of_cluster.borrow_and_update().clone();
            self.look(vips);
        }
    }

    fn look(&mut self, vips_of_cluster: Option<BTreeSet<IpAddr>>) {
        if let Some(vips) = vips_of_cluster {
            self.memory.vips = vips;
        }
        let vips = known_vips(&self.config, &self.memory);
        let machine = candidates(self.links.inventory());
        let all = self.keeper.look(clock::now(), &machine, &vips);
        // First: a renewal may be about to need it.
        self.users.sources.write(sources(chosen(&Purpose::named(MANTLE), &all), &machine, vips));
        let http = chosen(&Purpose::named(HTTP), &all);
        self.users.http.send_if_modified(|known| {
            let changed = *known != http;
            *known = http;
            changed
        });
        self.publish(&all);
        self.keep_files(&all);
        for kept in &all {
            self.say(kept);
        }
        // After the files: what is told can be read.
        self.call_hooks(&all);
    }

    /// Tells the core which addresses are the node's own: those that it speaks to etcd from, if they were asked for; else what
    /// an etcd member here would tell others.
    fn publish(&mut self, all: &[Kept]) {
        let asked = self.config.addresses.named.contains_key(MANTLE);
        let purpose = if asked { Purpose::named(MANTLE) } else { Purpose::EtcdAdvertised };
        let own = chosen(&purpose, all);
        if self.published != own {
            self.published.clone_from(&own);
            // The core is gone only when the agent ends.
            let _ = self.users.news.send(News::Event(Event::Addresses(own)));
        }
    }

    fn keep_files(&mut self, all: &[Kept]) {
        let (written, mut errors) = write_environments(&self.config.runtime_dir, &self.config.addresses, all);
        for consumer in written {
            let file = environment_file(&self.config.runtime_dir, &consumer);
            tracing::info!(consumer, file = %file.display(), "environment file written");
        }
        self.memory.choices = self.keeper.choices();
        errors.extend(self.memory.save(&self.config.state_dir).err());
        let complaints: Vec<String> = errors.iter().map(ToString::to_string).collect();
        for complaint in complaints.iter().filter(|complaint| !self.complained.contains(complaint)) {
            tracing::error!("{complaint}");
        }
        self.complained = complaints;
    }

    fn say(&mut self, kept: &Kept) {
        let addresses = || kept.choice.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        let stale = kept.choice.stale || kept.choice.addresses.is_empty();
        let purpose = kept.purpose.to_string();
        self.counters.choices.show(purpose.clone(), addresses(), stale, kept.changed_from.is_some());
        if let Some(before) = &kept.changed_from {
            let before = before.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            tracing::info!(purpose, addresses = addresses().join(" "), before, "addresses chosen");
        }
        // A first choice that is about to be made is no trouble.
        if kept.waits && !kept.choice.stale {
            return;
        }
        let now_so = (stale, kept.choice.addresses.clone());
        if self.said.insert(kept.purpose.clone(), now_so.clone()).as_ref() == Some(&now_so) {
            return;
        }
        if let Some(trouble) = trouble(kept) {
            tracing::warn!("{trouble}");
        }
    }

    fn call_hooks(&self, all: &[Kept]) {
        let wishes = &self.config.addresses;
        for (consumer, command) in &wishes.on_change {
            // A first choice is no change: nobody has used another one.
            let changed = |kept: &&Kept| kept.changed_from.as_ref().is_some_and(|before| !before.is_empty());
            if !all.iter().filter(|kept| kept.purpose.consumer() == consumer).any(|kept| changed(&kept)) {
                continue;
            }
            let environment = environment(consumer, wishes, all).unwrap_or_default();
            let hook = Hook::new(consumer, command, &environment);
            // Its task lives as long as this one.
            let _ = self.hooks.send(hook);
        }
    }
}
