//! Many nodes, one etcd, one true time: a queue of what happens when.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use mantle_protocol::{Answer, Change, Event, Instant, NodeName, Purpose, Request, Revision};

use super::clock::Micros;
use super::etcd::{Etcd, Try};
use super::fault::Fault;
use super::handoffs::Given;
use super::host::{Host, Order, Pending};
use super::invariants::Violation;
use super::kernel::Kernel;
use super::mutant::{Broken, Mutant};
use super::plan::Plan;
use super::random::Random;
use super::story::Story;

/// What reaches an agent.
pub(super) enum Post {
    /// The time it asked to be woken at.
    Wake,
    /// It takes in what has come since its last turn, all together.
    Turn,
    /// An answer from etcd.
    Reply { request: u64, attempt: u32, sent: Instant, answer: Answer },
    /// A try has taken too long.
    TimeOut { request: u64, attempt: u32 },
    /// All keys.
    Listed { revision: Revision, changes: Vec<Change> },
    /// The watch's news.
    News(Vec<Change>),
    /// The applier gets to their orders.
    Applier,
    /// The applier tries again what failed.
    Again(Order),
    /// A word of the applier.
    Word(Event),
}

/// What happens at some time.
pub(super) enum Item {
    /// Something reaches an agent, if it still is the one it was meant for.
    Post { at: usize, life: u32, post: Post },
    /// A try reaches etcd.
    Arrive(Try),
    /// etcd carries out a try.
    Commit(Try),
    /// A request to list and watch reaches etcd.
    List { at: usize, life: u32 },
    /// Something goes wrong, or is put right.
    Fault(Fault),
}

/// The world.
pub(super) struct World {
    pub(super) now: Micros,
    pub(super) random: Random,
    pub(super) mutant: Option<Mutant>,
    /// The one invariant that is judged; all if none is named.
    pub(super) judged: Option<&'static str>,
    pub(super) plan: Plan,
    pub(super) etcd: Etcd,
    pub(super) hosts: Vec<Host>,
    pub(super) story: Story,
    pub(super) violation: Option<Violation>,
    /// Who owns what, as etcd has it; where somebody else spoiled a record, whom it named last.
    pub(super) owners: BTreeMap<IpAddr, (NodeName, Revision)>,
    /// What was handed over last.
    pub(super) given: BTreeMap<IpAddr, Given>,
    queue: BTreeMap<(Micros, u64), Item>,
    number: u64,
}

impl World {
    pub(super) fn new(mut random: Random, mut plan: Plan, broken: Option<Broken>, story: Story) -> Self {
        let mutant = broken.map(|broken| broken.rule);
        let kernel = Kernel { timeless: mutant == Some(Mutant::NoKernelDeadline), ..Kernel::default() };
        let hosts = std::mem::take(&mut plan.hosts).into_iter();
        let hosts = hosts.map(|host| Host::new(host, kernel.clone())).collect();
        let faults = std::mem::take(&mut plan.schedule.faults);
        let etcd = Etcd::new(&mut random);
        let mut world = Self {
            now: 0,
            random,
            mutant,
            judged: broken.map(|broken| broken.judged_by),
            plan,
            etcd,
            hosts,
            story,
            violation: None,
            owners: BTreeMap::new(),
            given: BTreeMap::new(),
            queue: BTreeMap::new(),
            number: 0,
        };
        for at in 0..world.hosts.len() {
            let starts = world.hosts[at].plan.starts;
            let vips = world.plan.vips.clone();
            // A machine that is to be a clone is not started by itself.
            if starts < Micros::MAX {
                world.put(starts, Item::Fault(Fault::Start { at, remembers: true, vips }));
            }
            world.introduce(at);
        }
        for (at, fault) in faults {
            world.put(at, Item::Fault(fault));
        }
        world
    }

    /// Lets everything happen, until the plan's end or the first violation.
    pub(super) fn run(&mut self) {
        while let Some(((at, _), item)) = self.queue.pop_first() {
            if at > self.plan.end || self.violation.is_some() {
                break;
            }
            if self.now < self.plan.well && at >= self.plan.well {
                self.now = self.plan.well;
                self.all_is_well();
            }
            self.now = at;
            self.happen(item);
            self.others_do_not_notice();
        }
        self.now = self.plan.end.max(self.now);
        if self.violation.is_none() {
            self.all_is_well();
        }
    }

    pub(super) fn put(&mut self, at: Micros, item: Item) {
        self.number += 1;
        self.queue.insert((at, self.number), item);
    }

    /// Puts something on its way to the agent that runs there now.
    pub(super) fn post(&mut self, at: usize, after: Micros, post: Post) {
        let life = self.hosts[at].life;
        self.put(self.now + after, Item::Post { at, life, post });
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Post { at, life, post } if life == self.hosts[at].life => {
                if self.hosts[at].is_frozen {
                    self.hosts[at].mailbox.push(post);
                } else {
                    self.receive(at, post);
                }
            }
            Item::Post { .. } => {}
            Item::Arrive(attempt) => self.arrive(attempt),
            Item::Commit(attempt) => self.commit(attempt),
            Item::List { at, life } => self.list(at, life),
            Item::Fault(fault) => self.strike(fault),
        }
    }

    fn receive(&mut self, at: usize, post: Post) {
        match post {
            Post::Wake => self.wake(at),
            Post::Turn => self.turn(at),
            Post::Reply { request, attempt, sent, answer } => self.reply(at, request, attempt, sent, answer),
            Post::TimeOut { request, attempt } => self.time_out(at, request, attempt),
            Post::Listed { revision, changes } => {
                self.story
                    .tell(self.now, || format!("{}: lists at revision {revision}", self.hosts[at].plan.name));
                self.give(at, Event::Listed(revision, changes));
            }
            Post::News(changes) => self.give(at, Event::Changed(changes)),
            Post::Applier => self.applier(at),
            Post::Again(order) => self.try_again(at, order),
            Post::Word(event) => self.give(at, event),
        }
    }

    fn wake(&mut self, at: usize) {
        let clock = self.hosts[at].clock.at(self.now);
        let Some(agent) = &mut self.hosts[at].agent else { return };
        agent.wake = None;
        if agent.node.deadline() <= clock {
            self.give(at, Event::Tick);
        } else {
            self.set_alarm(at);
        }
    }

    fn reply(&mut self, at: usize, number: u64, attempt: u32, sent: Instant, answer: Answer) {
        let hedged = self.plan.hedged;
        let Some(agent) = &mut self.hosts[at].agent else { return };
        let counts = |pending: &Pending| hedged || pending.attempt == attempt;
        if agent.pending.get(&number).is_some_and(counts)
            && let Some(pending) = agent.pending.remove(&number)
        {
            if hedged && pending.request.purpose == Purpose::Renew {
                agent.renewed.insert(number, pending.request.session);
            }
            self.answer(at, &pending.request, sent, answer);
        } else if let (Some(session), Answer::Done(_)) = (agent.renewed.get(&number).copied(), answer) {
            self.give(at, Event::AcknowledgedToo { session, sent });
        }
    }

    /// Tells an agent what became of its request.
    pub(super) fn answer(&mut self, at: usize, request: &Rc<Request>, sent: Instant, answer: Answer) {
        self.story.tell(self.now, || {
            let outcome = match &answer {
                Answer::Done(revision) => format!("done at revision {revision}"),
                Answer::Refused { revision, .. } => format!("refused at revision {revision}"),
                Answer::Failed => "failed".to_owned(),
                Answer::Unknown => "of unknown outcome".to_owned(),
            };
            let purpose = request.purpose;
            format!(
                "{}: {purpose:?} of {:?} {outcome}, sent {sent:?}",
                self.hosts[at].plan.name, request.session
            )
        });
        let request = Request::clone(request);
        self.give(at, Event::Answered { request, sent, answer });
    }

    /// Gives an agent one event. It takes that in at once, or is busy for a moment and then takes in, in one turn, all that has
    /// come meanwhile.
    pub(super) fn give(&mut self, at: usize, event: Event) {
        let is_busy = self.random.percent(self.plan.batched);
        let Some(agent) = &mut self.hosts[at].agent else { return };
        agent.inbox.push(event);
        if agent.turns {
            return;
        }
        if is_busy {
            agent.turns = true;
            let after = self.random.between(20, 5_000);
            self.post(at, after, Post::Turn);
        } else {
            self.turn(at);
        }
    }

    /// Feeds an agent all that has come and carries out what it wants done.
    fn turn(&mut self, at: usize) {
        let now = self.hosts[at].clock.at(self.now);
        let mutant = self.mutant;
        let Some(agent) = &mut self.hosts[at].agent else { return };
        agent.turns = false;
        let mut events = std::mem::take(&mut agent.inbox);
        if let Some(mutant) = mutant {
            let standing = agent.node.standing();
            events = events.into_iter().map(|event| mutant.tells(event, now, standing)).collect();
        }
        let news =
            |event: &Event| matches!(event, Event::Listed(..) | Event::Changed(_) | Event::Answered { .. });
        let shows = events.iter().any(news);
        let effects = agent.node.handle_all(now, events);
        for effect in effects {
            self.carry_out(at, effect);
        }
        self.set_alarm(at);
        self.agent_is_in_order(at, shows);
    }

    /// Sees to it that the agent is woken when it asks to be, or a little later.
    fn set_alarm(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let Some(agent) = &mut host.agent else { return };
        let due = host.clock.reaches(agent.node.deadline()).max(self.now);
        if due > self.plan.end || agent.wake.is_some_and(|wake| wake <= due) {
            return;
        }
        agent.wake = Some(due);
        let late = self.random.between(10, 1_500);
        let life = host.life;
        self.put(due + late, Item::Post { at, life, post: Post::Wake });
    }
}
