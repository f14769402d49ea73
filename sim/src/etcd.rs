//! etcd, and the way to it and back: tries that are lost or late, answers that are, a watch that is cut, late, doubled.

use std::rc::Rc;

use mantle_protocol::{Answer, Change, Compare, Instant, Key, Purpose, Record, Request, Value, Write};

use super::clock::Micros;
use super::handoffs::Given;
use super::host::Pending;
use super::random::Random;
use super::store::Store;
use super::world::{Item, Post, World};

/// One try of a request, on its way.
pub(super) struct Try {
    pub(super) at: usize,
    pub(super) life: u32,
    pub(super) number: u64,
    pub(super) attempt: u32,
    /// Just before it was sent, by its node's clock.
    pub(super) sent: Instant,
    pub(super) request: Rc<Request>,
}

/// etcd's members, as one.
pub(super) struct Etcd {
    pub(super) store: Store,
    /// What a backup has of it.
    pub(super) kept: Store,
    /// Whether nothing is committed.
    pub(super) stalled: bool,
    /// What waits for it to go on.
    pub(super) waiting: Vec<Item>,
    pub(super) slow_disk: bool,
    /// Whether any message may be lost.
    pub(super) lossy: bool,
    /// How many endpoints a request is tried at.
    endpoints: u32,
    requests: u64,
}

impl Etcd {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            store: Store::default(),
            kept: Store::default(),
            stalled: false,
            waiting: Vec::new(),
            slow_disk: false,
            lossy: false,
            endpoints: random.pick(&[1, 1, 3]),
            requests: 0,
        }
    }

    /// The number of the last try of a request.
    pub(super) fn last_attempt(&self) -> u32 {
        self.endpoints - 1
    }
}

impl World {
    /// How long a try may take before the next is made, by its node's clock.
    const TRY: std::time::Duration = std::time::Duration::from_millis(150);

    /// How long a message takes.
    fn way(&mut self) -> Micros {
        if self.random.percent(2) {
            self.random.between(0, 30 * self.plan.slowest)
        } else {
            self.random.between(100, self.plan.slowest)
        }
    }

    fn is_lost(&mut self) -> bool {
        self.etcd.lossy && self.random.percent(30)
    }

    /// Sends a request on its way.
    pub(super) fn ask(&mut self, at: usize, request: Request) {
        self.compares_what_it_writes(at, &request);
        let number = self.etcd.requests;
        self.etcd.requests += 1;
        let request = Rc::new(request);
        if self.dies_before_it_rewrites(at, &request) {
            return;
        }
        if self.is_to_be_late(at, &request) {
            return self.send_late(at, number, request);
        }
        if let Some(agent) = &mut self.hosts[at].agent {
            agent.pending.insert(number, Pending { request, attempt: 0, open: false });
        }
        self.attempt(at, number);
    }

    /// Makes the next try of a request.
    fn attempt(&mut self, at: usize, number: u64) {
        let (now, life) = (self.hosts[at].clock.at(self.now), self.hosts[at].life);
        let timeout = self.hosts[at].clock.truly(Self::TRY);
        let reaches = self.hosts[at].reaches_etcd && !self.is_lost();
        // A connection that is refused tells at once that nothing was sent.
        let refused = !reaches && self.random.percent(30);
        let Some(pending) = self.hosts[at].agent.as_mut().and_then(|agent| agent.pending.get_mut(&number))
        else {
            return;
        };
        let attempt = pending.attempt;
        pending.open |= !refused;
        if reaches {
            let request = Rc::clone(&pending.request);
            let way = self.way();
            self.put(self.now + way, Item::Arrive(Try { at, life, number, attempt, sent: now, request }));
        }
        let after = if refused { 50 } else { timeout };
        self.post(at, after, Post::TimeOut { request: number, attempt });
    }

    /// A try has taken too long, or was refused: the next, or no answer at all.
    pub(super) fn time_out(&mut self, at: usize, number: u64, attempt: u32) {
        let now = self.hosts[at].clock.at(self.now);
        let endpoints = self.etcd.endpoints;
        let Some(agent) = &mut self.hosts[at].agent else { return };
        let Some(pending) = agent.pending.get_mut(&number).filter(|pending| pending.attempt == attempt)
        else {
            return;
        };
        pending.attempt += 1;
        if pending.attempt < endpoints {
            self.attempt(at, number);
        } else if let Some(pending) = agent.pending.remove(&number) {
            let answer = if pending.open { Answer::Unknown } else { Answer::Failed };
            self.answer(at, &pending.request, now, answer);
        }
    }

    /// A try has reached etcd.
    pub(super) fn arrive(&mut self, attempt: Try) {
        if self.etcd.stalled {
            // The server gives up on some of what waits.
            if self.random.percent(75) {
                self.etcd.waiting.push(Item::Commit(attempt));
            }
            return;
        }
        let disk = if self.etcd.slow_disk {
            self.random.between(5_000, 90_000)
        } else {
            self.random.between(50, 900)
        };
        self.put(self.now + disk, Item::Commit(attempt));
    }

    /// What etcd compares of a request: all that it says, unless a rule is broken.
    pub(super) fn compares(&self, request: &Request) -> Vec<Compare> {
        self.mutant.map_or_else(|| request.txn.compares().to_vec(), |mutant| mutant.compares(request))
    }

    /// etcd carries out a try, shows what it changed, and answers.
    pub(super) fn commit(&mut self, attempt: Try) {
        if self.etcd.stalled {
            self.etcd.waiting.push(Item::Commit(attempt));
            return;
        }
        self.meddle_at_the_worst_moment(&attempt);
        let (answer, changes) =
            self.etcd.store.commit_if(&self.compares(&attempt.request), attempt.request.txn.writes());
        self.story.tell(self.now, || {
            let (name, purpose) = (&self.hosts[attempt.at].plan.name, attempt.request.purpose);
            match &answer {
                Answer::Done(revision) => {
                    format!("etcd: carries out {name}'s {purpose:?} at revision {revision}")
                }
                _ => format!("etcd: refuses {name}'s {purpose:?}"),
            }
        });
        if let Answer::Done(_) = answer {
            self.note_renewal(&attempt);
            self.released_what_was_off(&attempt);
            self.silent_where_it_changes_hands(&attempt);
            self.note_handover(&attempt);
            self.names_what_is_there(&attempt);
            self.story.count(attempt.request.purpose);
        } else if attempt.request.purpose == Purpose::TakeOver {
            self.story.counts.refused_takeovers += 1;
        }
        self.owners_stay(&changes);
        self.note_owners(&changes);
        self.show(&changes);
        let host = &self.hosts[attempt.at];
        if host.reaches_etcd && !self.is_lost() {
            let way = self.way();
            let Try { at, life, number: request, attempt, sent, .. } = attempt;
            self.put(
                self.now + way,
                Item::Post { at, life, post: Post::Reply { request, attempt, sent, answer } },
            );
        }
    }

    /// Keeps what was handed over, to whom and when.
    fn note_handover(&mut self, attempt: &Try) {
        if attempt.request.purpose != Purpose::HandOver {
            return;
        }
        for write in attempt.request.txn.writes() {
            let Write::Put(Key::Vip(ip), Value::Record(Record { owner: Some(owner) })) = write else {
                continue;
            };
            let to = self.hosts.iter().position(|host| host.plan.name == owner.node.as_str());
            if let Some(to) = to {
                let life = self.hosts[to].life;
                self.given.insert(*ip, Given { when: self.now, to, life, session: owner.session });
            }
        }
    }

    /// What a lease may count from: etcd has carried out a renewal that was sent then.
    fn note_renewal(&mut self, attempt: &Try) {
        for write in attempt.request.txn.writes() {
            if let Write::Put(key @ Key::Node(_), _) = write
                && let Some(entry) = self.etcd.store.keys.get(key)
            {
                let sent = self.hosts[attempt.at].renewed.entry(entry.created).or_default();
                *sent = attempt.sent.max(*sent);
            }
        }
    }

    /// Puts what changed on its way to every watch.
    pub(super) fn show(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        for at in 0..self.hosts.len() {
            if !self.hosts[at].hears_watch
                || !self.hosts[at].agent.as_ref().is_some_and(|agent| agent.listening)
            {
                continue;
            }
            if changes.len() == 1 || self.random.percent(50) {
                self.show_to(at, changes.to_vec());
            } else {
                // Of one transaction each key's news may come by itself.
                for of_one_key in changes.chunk_by(|one, next| one.key == next.key) {
                    self.show_to(at, of_one_key.to_vec());
                }
            }
        }
    }

    fn show_to(&mut self, at: usize, changes: Vec<Change>) {
        // A watch begins behind its list.
        let list = self.hosts[at].agent.as_ref().map_or(0, |agent| agent.lists_at);
        let mut arrives = (self.now + self.way()).max(list + 1);
        if self.plan.unruly {
            if self.random.percent(10) {
                let again = arrives + self.random.between(0, 500_000);
                self.post(at, again - self.now, Post::News(changes.clone()));
            }
        } else if let Some(agent) = &mut self.hosts[at].agent {
            // News of one key keep their order; news of different keys do not.
            for change in &changes {
                arrives = arrives.max(agent.latest.get(&change.key).map_or(0, |latest| latest + 1));
            }
            for change in &changes {
                agent.latest.insert(change.key.clone(), arrives);
            }
        }
        self.post(at, arrives - self.now, Post::News(changes));
    }

    /// Asks etcd for a list and for what changes after it.
    pub(super) fn listen(&mut self, at: usize) {
        let life = self.hosts[at].life;
        let way = self.way();
        // The watch before is given up: it never goes on behind a gap.
        if let Some(agent) = &mut self.hosts[at].agent {
            agent.listening = false;
        }
        self.put(self.now + way, Item::List { at, life });
    }

    /// etcd answers with a list and watches from there.
    pub(super) fn list(&mut self, at: usize, life: u32) {
        if life != self.hosts[at].life {
            return;
        }
        if self.etcd.stalled || self.is_lost() || !self.hosts[at].hears_watch || !self.hosts[at].reaches_etcd
        {
            // Tried again until it succeeds.
            let pause = self.random.between(10_000, 100_000);
            return self.put(self.now + pause, Item::List { at, life });
        }
        let way = self.way();
        if let Some(agent) = &mut self.hosts[at].agent {
            (agent.listening, agent.lists_at) = (true, self.now + way);
        }
        let (revision, changes) = (self.etcd.store.revision, self.etcd.store.list());
        self.post(at, way, Post::Listed { revision, changes });
    }

    /// Goes on with what waited during a stall, in any order.
    pub(super) fn go_on(&mut self) {
        self.etcd.stalled = false;
        for item in std::mem::take(&mut self.etcd.waiting) {
            let after = self.random.between(0, 20_000);
            self.put(self.now + after, item);
        }
    }
}
