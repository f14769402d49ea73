//! A node, and a store that behaves as etcd does: revisions grow, transactions are all or nothing, a watch tells all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use mantle::wire::Mac;
use mantle_protocol::{
    Answer, Change, Compare, Effect, Entry, Event, Instant, Key, Node, Request, Revision, Role, Settings,
    Timing, Value, WhenNobodyIsReady, Write,
};

/// What becomes of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is carried out, and answered.
    #[default]
    Answered,
    /// It is not carried out, and the node knows.
    Failed,
    /// It is carried out, and the node hears nothing.
    Late,
    /// It is not carried out, and the node hears nothing.
    Lost,
}

/// The most that a node may want done at one instant: beyond that it turns in circles.
const MOST_STEPS: usize = 2000;

/// The node's MAC.
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

pub(super) struct World {
    node: Node,
    now: Instant,
    revision: Revision,
    store: BTreeMap<Key, Entry>,
    fates: VecDeque<Fate>,
}

impl World {
    pub(super) fn new() -> Self {
        let vips: BTreeSet<IpAddr> =
            ["10.0.0.1", "fd00::1"].map(|vip| vip.parse().expect("an address")).into();
        let settings = Settings {
            name: "a".parse().expect("a name"),
            machine: "m".to_owned(),
            timing: Timing::DEFAULT,
            priority: 100,
            when_nobody_is_ready: WhenNobodyIsReady::Hold,
            drain: Duration::from_secs(2),
            preempt: Some(Duration::from_secs(1)),
            vips: vips.clone(),
        };
        let now = Instant::from_boot(Duration::from_secs(1000));
        let mut world = Self {
            node: Node::new(settings),
            now,
            revision: 1,
            store: BTreeMap::new(),
            fates: VecDeque::new(),
        };
        let links = BTreeMap::from([("eth0".to_owned(), MAC)]);
        world.tell(Event::Found { standing: BTreeSet::new(), halfway: BTreeSet::new() });
        let macs = vips.iter().map(|vip| (*vip, MAC)).collect();
        world.tell(Event::Facts { links, ready: vips, bound: Timing::DEFAULT.lease, macs });
        world.list();
        world
    }

    /// A foreign hand writes a key.
    pub(super) fn put(&mut self, key: Key, value: Value) {
        self.revision += 1;
        let change = self.write(key, value);
        self.tell(Event::Changed(vec![change]));
    }

    /// A foreign hand deletes a key.
    pub(super) fn delete(&mut self, key: &Key) {
        if self.store.remove(key).is_some() {
            self.revision += 1;
            let change = Change { key: key.clone(), revision: self.revision, entry: None };
            self.tell(Event::Changed(vec![change]));
        }
    }

    /// Time passes; the node is woken whenever it wants to be.
    pub(super) fn wait(&mut self, millis: u16) {
        let end = self.now + Duration::from_millis(millis.into());
        for _ in 0..40 {
            let due = self.node.deadline();
            if due >= end {
                break;
            }
            self.now = self.now.max(due) + Duration::from_millis(1);
            self.tell(Event::Tick);
        }
        self.now = self.now.max(end);
        self.tell(Event::Tick);
    }

    /// The watch begins anew.
    pub(super) fn list(&mut self) {
        let all = self.store.keys().map(|key| self.read(key)).collect();
        self.tell(Event::Listed(self.revision, all));
    }

    /// Decides what becomes of a transaction of the node's that has none decided yet.
    pub(super) fn next(&mut self, fate: Fate) {
        self.fates.push_back(fate);
    }

    fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut steps = 0;
        while let Some(event) = events.pop_front() {
            for effect in self.node.handle(self.now, event) {
                steps += 1;
                assert!(steps < MOST_STEPS, "the node turns in circles: {effect:?}");
                self.carry_out(effect, &mut events);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, events: &mut VecDeque<Event>) {
        match effect {
            Effect::Commit(request) => {
                let answer = self.commit(&request, events);
                // On its way for a millisecond.
                let sent = self.now;
                self.now = self.now + Duration::from_millis(1);
                events.push_back(Event::Answered { request, sent, answer });
            }
            Effect::AssumeRole(vip, role) => {
                if matches!(role, Role::Owner { .. }) {
                    assert!(self.node.lease() > Instant::ZERO, "I2: owner of {vip} without a lease");
                }
                events.push_back(Event::RoleConfirmed(vip, role));
            }
            Effect::Grant(_, until) => {
                assert!(until <= self.now + Timing::DEFAULT.lease, "I3: a lease from a renewal not yet sent");
            }
            Effect::Relist => {
                let all = self.store.keys().map(|key| self.read(key)).collect();
                events.push_back(Event::Listed(self.revision, all));
            }
            Effect::Notify(_) | Effect::Revoke(_) => {}
            Effect::Ended => panic!("nobody asked the node to end"),
        }
    }

    fn commit(&mut self, Request { txn, .. }: &Request, events: &mut VecDeque<Event>) -> Answer {
        assert!(!txn.compares().is_empty(), "I5: {txn:?} compares nothing");
        assert!(txn.writes().len() <= 128, "etcd takes 128 operations");
        let fate = self.fates.pop_front().unwrap_or_default();
        match fate {
            Fate::Failed => return Answer::Failed,
            Fate::Lost => return Answer::Unknown,
            Fate::Answered | Fate::Late => {}
        }
        let holds = txn.compares().iter().all(|compare| match compare {
            Compare::Created(key, revision) => {
                self.store.get(key).map_or(0, |entry| entry.created) == *revision
            }
            Compare::Modified(key, revision) => {
                self.store.get(key).map_or(0, |entry| entry.modified) == *revision
            }
        });
        let answer = if holds {
            self.revision += 1;
            let changes = txn.writes().iter().map(|write| match write {
                Write::Put(key, value) => self.write(key.clone(), value.clone()),
                Write::Delete(key) => {
                    self.store.remove(key);
                    Change { key: key.clone(), revision: self.revision, entry: None }
                }
            });
            let changes = changes.collect();
            events.push_back(Event::Changed(changes));
            Answer::Done(self.revision)
        } else {
            let found = txn.compares().iter().map(|compare| self.read(compare.key())).collect();
            Answer::Refused { revision: self.revision, found }
        };
        if fate == Fate::Late { Answer::Unknown } else { answer }
    }

    fn write(&mut self, key: Key, value: Value) -> Change {
        let created = self.store.get(&key).map_or(self.revision, |entry| entry.created);
        let entry = Entry { created, modified: self.revision, value };
        self.store.insert(key.clone(), entry.clone());
        Change { key, revision: self.revision, entry: Some(entry) }
    }

    fn read(&self, key: &Key) -> Change {
        match self.store.get(key) {
            Some(entry) => Change { key: key.clone(), revision: entry.modified, entry: Some(entry.clone()) },
            None => Change { key: key.clone(), revision: self.revision, entry: None },
        }
    }
}
