//! The core loop: waits, feeds the protocol, carries out its effects.
//!
//! It has a thread and a runtime of its own, shared only with the connections to etcd: no scrape, slow disk or netlink
//! call can delay a renewal. Cancel-safety: the loop's `select!` waits on channels, whose news leave them only
//! as they are received, and on a sleep, which is made anew each turn; nothing else is awaited.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::channel::{KnownVips, News, Order};
use super::lateness::Lateness;
use super::showing::Showing;
use super::story;
use crate::clock;
use crate::dataplane::RightCell;
use crate::etcd::{Committed, Etcd, StoreEvent};
use crate::observe::Counters;
use crate::observe::command::{Asked, Moved};
use mantle_protocol::{Effect, Event, How, Instant, Node, Notice, Purpose, Request, Revision};

/// The core loop and what it drives.
pub(super) struct Core {
    /// The protocol.
    pub(super) node: Node,
    /// Where its transactions go.
    pub(super) etcd: Etcd,
    /// How long a transaction is tried.
    pub(super) patience: Duration,
    /// The right, as the kernel program sees it, where there is one.
    pub(super) right: Option<RightCell>,
    /// Where its stances go.
    pub(super) hands: UnboundedSender<Order>,
    /// Where the answers to its transactions come from.
    pub(super) news: UnboundedSender<News>,
    /// What the rest of the agent sees of it.
    pub(super) showing: Showing,
    /// How late it is.
    pub(super) lateness: Lateness,
    /// What it counts.
    pub(super) counters: Arc<Counters>,
    /// Who wants to know which VIPs the cluster has.
    pub(super) known_vips: KnownVips,
    /// Who waits for a handoff's outcome.
    pub(super) asked: BTreeMap<IpAddr, Vec<oneshot::Sender<Result<Moved, String>>>>,
}

/// The loop turns at least this often, so that a heartbeat shows that it does.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Core {
    /// Runs until everything is released after [`Event::Stop`].
    pub(super) async fn run(
        mut self,
        mut inbox: UnboundedReceiver<News>,
        mut store: UnboundedReceiver<StoreEvent>,
    ) {
        let mut turned = clock::now();
        loop {
            // What came due during the last turn is late from then on.
            let next = self.node.deadline().min(turned + LONGEST_WAIT);
            let due = next.max(turned);
            let mut events = Vec::new();
            tokio::select! {
                biased;
                news = inbox.recv() => match news {
                    Some(news) => events.extend(self.translate(news)),
                    None => return,
                },
                Some(news) = store.recv() => events.extend(self.translate_store(news)),
                () = sleep(due.since(clock::now())) => events.push(Event::Tick),
            }
            // What has come in meanwhile is answered together: many VIPs at once cost etcd a few transactions.
            while let Ok(news) = inbox.try_recv() {
                events.extend(self.translate(news));
            }
            while let Ok(news) = store.try_recv() {
                events.extend(self.translate_store(news));
            }
            let now = clock::now();
            self.woke(due, now);
            if !events.is_empty() && self.step(now, events) {
                return;
            }
            self.showing.show(now, self.lateness.worst(), &self.node, &self.etcd);
            turned = now;
        }
    }

    /// Measures how late the loop turns at `now`, something having been `due`.
    fn woke(&mut self, due: Instant, now: Instant) {
        if now < due {
            return;
        }
        let late = now.since(due);
        self.counters.lateness.observe(late);
        if self.lateness.was(late, now) {
            tracing::warn!(
                "the core thread was {late:?} late, and renewals with it: the machine is short of processor time, or the \
                 agent was stopped for a while"
            );
        }
    }

    /// Feeds events; says whether the node has ended.
    fn step(&mut self, now: Instant, events: Vec<Event>) -> bool {
        let mut ended = false;
        for effect in self.node.handle_all(now, events) {
            match effect {
                Effect::Commit(request) => self.commit(request),
                Effect::AssumeRole(vip, stance) => self.order(Order::Stand(vip, stance)),
                Effect::Grant(session, until) => {
                    if let Some(right) = &self.right {
                        right.grant(session, until);
                    }
                    self.lease_moved(session, until);
                }
                Effect::Revoke(session) => {
                    if let Some(right) = &self.right {
                        right.revoke();
                    }
                    self.lease_moved(session, Instant::ZERO);
                }
                Effect::Relist => self.etcd.restart_watch(),
                Effect::Notify(happening) => {
                    self.count(&happening);
                    self.answer_asked(&happening);
                    story::tell(&happening);
                    self.showing.soon();
                }
                Effect::Ended => ended = true,
            }
        }
        ended
    }

    fn translate(&mut self, news: News) -> Option<Event> {
        match news {
            News::Event(event) => {
                if matches!(event, Event::RoleConfirmed(..)) {
                    self.showing.soon();
                }
                Some(event)
            }
            News::Waits(waits) => {
                self.showing.waits(waits);
                None
            }
            News::Fences(fences) => {
                self.showing.fences(fences);
                None
            }
            News::Health(report) => {
                self.showing.health(report);
                None
            }
            News::Connections(counts) => {
                self.showing.connections(counts);
                None
            }
            News::HandOff(Asked { vip, to, outcome }) => {
                self.asked.entry(vip).or_default().push(outcome);
                Some(Event::HandOff { vip, to })
            }
            News::Counts(counts) => {
                self.showing.counts(counts);
                None
            }
        }
    }

    fn translate_store(&mut self, news: StoreEvent) -> Option<Event> {
        match news {
            StoreEvent::Listed { revision, changes } => {
                self.showing.seen(revision);
                self.known_vips.listed(&changes);
                tracing::debug!(revision, keys = changes.len(), "listed");
                Some(Event::Listed(revision, changes))
            }
            StoreEvent::Changes { revision, changes } => {
                self.showing.seen(revision);
                self.known_vips.changed(&changes);
                Some(Event::Changed(changes))
            }
            StoreEvent::Foreign { key, revision } => {
                self.counters.garbage.inc();
                tracing::warn!(key, revision, "a key below our prefix is none of ours; ignored");
                None
            }
            StoreEvent::Lost(loss) => {
                self.counters.watch_restarts.inc();
                tracing::warn!("no news from etcd: {loss}");
                None
            }
        }
    }

    /// Sends a transaction on its way; its answer comes back as news.
    fn commit(&self, request: Request) {
        let (etcd, news, counters) = (self.etcd.clone(), self.news.clone(), Arc::clone(&self.counters));
        let patience = self.patience;
        // The core is gone only when the agent ends; then nobody waits for an answer.
        let answer = move |request: Request, committed: Committed| {
            let sent = committed.sent.unwrap_or(request.decided);
            let _ = news.send(News::Event(Event::Answered { request, sent, answer: committed.answer }));
            news
        };
        tokio::spawn(async move {
            if request.purpose != Purpose::Renew {
                let committed = etcd.commit(&request.txn, patience).await;
                answer(request, committed);
                return;
            }
            let session = request.session;
            let mut renewal = etcd.renew(request.txn.clone(), patience);
            let committed = renewal.answer().await;
            let took = clock::now().since(committed.sent.unwrap_or(request.decided));
            counters.renewed(&committed.answer, took);
            let news = answer(request, committed);
            while let Some(sent) = renewal.acknowledged_too().await {
                let _ = news.send(News::Event(Event::AcknowledgedToo { session, sent }));
            }
        });
    }

    /// The lease has moved in the kernel program, for all VIPs with one store; the applier hears of it.
    fn lease_moved(&mut self, session: Revision, until: Instant) {
        self.showing.soon();
        self.order(Order::Right(session, until));
    }

    fn order(&self, order: Order) {
        if self.hands.send(order).is_err() {
            tracing::error!("the thread that stands to the VIPs is gone");
        }
    }

    /// Tells whoever asked for a handoff what has become of it.
    fn answer_asked(&mut self, happening: &Notice) {
        let (vip, outcome) = match happening {
            Notice::HandedOver { vip, to, epoch, .. } => (vip, Ok(Moved { to: to.clone(), epoch: *epoch })),
            Notice::NotHandedOver { vip, why } => (vip, Err(why.to_string())),
            _ => return,
        };
        for asked in self.asked.remove(vip).unwrap_or_default() {
            // Who asked may have given up.
            let _ = asked.send(outcome.clone());
        }
    }

    fn count(&self, happening: &Notice) {
        let counters = &self.counters;
        match happening {
            Notice::BecameOwner { how: How::Claimed, .. } => {
                counters.claims.inc();
            }
            Notice::BecameOwner { how: How::TookOver { .. }, .. } => {
                counters.takeovers.inc();
            }
            Notice::HandedOver { .. } => {
                counters.handoffs.inc();
            }
            Notice::Released { .. } => {
                counters.releases.inc();
            }
            Notice::LeaseExpired { vips } => {
                counters.lapses.inc_by(u64::try_from(*vips).unwrap_or(u64::MAX));
            }
            Notice::Garbage(_) => {
                counters.garbage.inc();
            }
            _ => {}
        }
    }
}
