//! What each thing that happens does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Entry, Mutant, State};
use mantle_protocol::{
    Answer, Effect, Event, Instant, Key, Node, Purpose, Record, Request, Role, Value, Write,
};

use super::Model;
use super::action::{Action, End, Fault, Waiting};
use super::state::{Agent, Ask, Host, State as World, Word};

impl World {
    /// Lets something happen.
    pub(super) fn happen(&mut self, model: &Model, action: Action) {
        if let Action::Wake(at)
        | Action::Hear(at)
        | Action::HearAll(at)
        | Action::News(at, _)
        | Action::List(at)
        | Action::Applier(at) = action
        {
            self.turn = Some(at);
        }
        self.change(model, action);
        self.turn = self.turn.filter(|at| self.can_step(*at));
    }

    fn change(&mut self, model: &Model, action: Action) {
        match action {
            Action::Pass => {
                self.now += 1;
                self.dawn = true;
                return;
            }
            Action::Fault(fault) => {
                self.faults -= 1;
                self.strike(model, fault);
                return;
            }
            Action::End(end) => {
                self.end(model, end);
                return;
            }
            Action::Stop(at) => {
                self.orders -= 1;
                self.tell(model, at, Event::Stop);
            }
            Action::HandOff(at) => {
                self.orders -= 1;
                for vip in model.addresses() {
                    self.tell(model, at, Event::HandOff { vip, to: None });
                }
            }
            Action::Unready(at) => {
                self.orders -= 1;
                self.tell(model, at, model.facts(at, false));
            }
            Action::Wake(at) => self.tell(model, at, Event::Tick),
            Action::Hear(at) => {
                let word = self.of_agent(at, |agent| agent.words.remove(0));
                self.tell(model, at, word.event);
            }
            Action::HearAll(at) => {
                let events = self.of_agent(at, Agent::take_all);
                self.tell_all(model, at, events);
            }
            Action::News(at, key) => self.hear_news(model, at, &key, false),
            Action::List(at) => {
                let listed = Event::Listed(self.store.revision, self.store.list());
                self.of_agent(at, |agent| agent.lists = false);
                self.tell(model, at, listed);
            }
            Action::Applier(at) => self.hosts[at].change(|host| host.applier(model)),
            Action::Commit(at) => {
                let ask = self.hosts[at].change(|host| host.asks.remove(0));
                self.commit(model, at, &ask);
            }
            Action::GiveUp(at, waiting, number) => self.give_up(model, at, waiting, number),
        }
        self.dawn = false;
    }

    fn strike(&mut self, model: &Model, fault: Fault) {
        match fault {
            Fault::Freeze(at) => {
                let now = self.micros();
                self.hosts[at].change(|host| {
                    if model.breaks(Mutant::ClockStopsWhileFrozen) {
                        host.clock.stop(now);
                    }
                    if let Some(agent) = &mut host.agent {
                        agent.is_frozen = true;
                    }
                });
            }
            Fault::Kill(at) => self.hosts[at].change(Host::dismiss),
            Fault::Cut(at) => self.hosts[at].change(|host| host.is_cut = true),
            Fault::LateAsk(at) => self.hosts[at].change(|host| {
                let ask = host.asks.remove(0);
                host.late_asks.push(ask);
            }),
            Fault::LateAnswer(at) => self.of_agent(at, |agent| {
                let mut word = agent.words.remove(0);
                for change in word.news.drain(..) {
                    agent.news.entry(change.key.clone()).or_default().push(change);
                }
                agent.late_words.push(word);
            }),
            Fault::Hold(at, key) => self.of_agent(at, |agent| {
                agent.held.insert(key);
            }),
            Fault::Deafen(at) => {
                let keys = model.keys();
                self.of_agent(at, |agent| agent.held = keys);
            }
            Fault::Double(at, key) => {
                self.hear_news(model, at, &key, true);
                self.dawn = false;
            }
            Fault::SlowApplier(at) => self.of_agent(at, |agent| agent.slow_applier = true),
            Fault::Delete(at) => {
                let write = Write::Delete(Self::session_key(at));
                let changes = self.store.change(|store| store.force(&write));
                for host in &mut self.hosts {
                    host.change(|host| host.show(&changes));
                }
            }
        }
    }

    fn end(&mut self, model: &Model, end: End) {
        match end {
            End::Thaw(at) => {
                let now = self.micros();
                self.hosts[at].change(|host| {
                    host.clock.go_on(now);
                    if let Some(agent) = &mut host.agent {
                        agent.is_frozen = false;
                    }
                });
            }
            End::Start { at, remembers } => self.start(model, at, remembers),
            End::Join(at) => self.hosts[at].change(|host| host.is_cut = false),
            End::Ask(at, number) => self.hosts[at].change(|host| {
                let ask = host.late_asks.remove(number);
                host.asks.push(ask);
            }),
            End::Answer(at, number) => self.of_agent(at, |agent| {
                let word = agent.late_words.remove(number);
                agent.words.push(word);
            }),
            End::Let(at, key) => self.of_agent(at, |agent| {
                agent.held.remove(&key);
            }),
            End::Echo(at, number) => self.of_agent(at, |agent| {
                let change = agent.echoes.remove(number);
                agent.news.entry(change.key.clone()).or_default().push(change);
            }),
            End::Applier(at) => self.of_agent(at, |agent| agent.slow_applier = false),
        }
    }

    /// A new agent, told what every new agent is told.
    pub(super) fn start(&mut self, model: &Model, at: usize, remembers: bool) {
        let now = self.clock(at);
        let found = self.hosts[at].change(|host| {
            host.life += 1;
            host.incarnation += u8::from(!remembers);
            host.agent = Some(Agent::new(Node::new(model.settings(at, host.incarnation))));
            let stands = |ip: &IpAddr| host.kernel.stands(*ip, now);
            host.kernel.entries.keys().copied().filter(stands).collect::<BTreeSet<_>>()
        });
        let halfway = found.iter().copied().filter(|ip| self.hosts[at].kernel.is_halfway(*ip)).collect();
        let standing = if model.breaks(Mutant::EntriesOutliveTheSession) { BTreeSet::new() } else { found };
        self.tell(model, at, Event::Found { standing, halfway });
        self.tell(model, at, model.facts(at, true));
    }

    fn hear_news(&mut self, model: &Model, at: usize, key: &Key, again: bool) {
        let change = self.of_agent(at, |agent| {
            let news = agent.news.get_mut(key).expect("only what there is news of is offered");
            let change = news.remove(0);
            if news.is_empty() {
                agent.news.remove(key);
            }
            if again {
                agent.echoes.push(change.clone());
            }
            change
        });
        self.tell(model, at, Event::Changed(vec![change]));
    }

    fn give_up(&mut self, model: &Model, at: usize, waiting: Waiting, number: usize) {
        let request = self.hosts[at].change(|host| {
            let asks = match waiting {
                Waiting::Cut => &mut host.asks,
                Waiting::There => &mut host.late_asks,
                Waiting::Back => {
                    let agent = host.agent.as_mut().expect("its answers are its own");
                    return match agent.late_words.remove(number).event {
                        Event::Answered { request, .. } => request,
                        event => unreachable!("{event:?} is no answer"),
                    };
                }
            };
            asks[number].given_up = true;
            Request::clone(&asks[number].request)
        });
        let sent = self.clock(at);
        self.tell(model, at, Event::Answered { request, sent, answer: Answer::Unknown });
    }

    /// etcd carries out a request, shows what it changed, and answers.
    fn commit(&mut self, model: &Model, at: usize, ask: &Ask) {
        let whole = || ask.request.txn.compares().to_vec();
        let compares = model.broken.map_or_else(whole, |mutant| mutant.compares(&ask.request));
        let (answer, changes) =
            self.store.change(|store| store.commit_if(&compares, ask.request.txn.writes()));
        let done = matches!(answer, Answer::Done(_));
        if done
            && (self.gives_up_what_stands(at, &ask.request)
                || self.hands_over_what_is_heard(at, &ask.request))
        {
            self.broken = Some("I4");
        }
        if done && self.names_what_is_gone(&ask.request) {
            self.broken = Some("I5");
        }
        let is_heard = ask.life == self.hosts[at].life && !ask.given_up && self.hosts[at].agent.is_some();
        for (other, host) in self.hosts.iter_mut().enumerate() {
            if !(changes.is_empty() || (other == at && is_heard)) {
                host.change(|host| host.show(&changes));
            }
        }
        if is_heard {
            let request = Request::clone(&ask.request);
            let event = Event::Answered { request, sent: ask.sent, answer };
            // The answer comes before the watch's news of the same, which then are none.
            self.of_agent(at, |agent| agent.words.push(Word { event, news: changes }));
        }
    }

    /// I5, from outside: a record that is written names a session that is gone.
    fn names_what_is_gone(&self, request: &Request) -> bool {
        request.txn.writes().iter().any(|write| {
            let Write::Put(Key::Vip(_), Value::Record(Record { owner: Some(owner) })) = write else {
                return false;
            };
            let session = self.store.keys.get(&Key::Node(owner.node.clone()));
            session.is_none_or(|entry| entry.created != owner.session)
        })
    }

    /// I4, from outside: a release, or the end of a session, while the address stands.
    fn gives_up_what_stands(&self, at: usize, request: &Request) -> bool {
        let (kernel, now) = (&self.hosts[at].kernel, self.clock(at));
        let nobody = Value::Record(Record { owner: None });
        request.txn.writes().iter().any(|write| match write {
            Write::Put(Key::Vip(ip), value) => *value == nobody && kernel.stands(*ip, now),
            Write::Delete(Key::Node(_)) if request.purpose == Purpose::End => {
                kernel.entries.keys().any(|ip| kernel.stands(*ip, now))
            }
            _ => false,
        })
    }

    /// I4 for a handoff, from outside: a record is handed over while its giver's kernel answers.
    fn hands_over_what_is_heard(&self, at: usize, request: &Request) -> bool {
        let (kernel, now) = (&self.hosts[at].kernel, self.clock(at));
        request.purpose == Purpose::HandOver
            && request.txn.writes().iter().any(|write| match write {
                Write::Put(Key::Vip(ip), _) => kernel.is_heard(*ip, now),
                _ => false,
            })
    }

    /// Feeds an agent one event and carries out what it wants done.
    fn tell(&mut self, model: &Model, at: usize, event: Event) {
        self.tell_all(model, at, vec![event]);
    }

    /// Feeds an agent several events in one turn.
    fn tell_all(&mut self, model: &Model, at: usize, events: Vec<Event>) {
        let now = self.clock(at);
        self.hosts[at].change(|host| host.tell(model, now, events));
    }

    fn of_agent<R>(&mut self, at: usize, change: impl FnOnce(&mut Agent) -> R) -> R {
        self.hosts[at]
            .change(|host| change(host.agent.as_mut().expect("only what an agent can do is offered")))
    }

    pub(super) fn session_key(at: usize) -> Key {
        Key::Node(Model::name(at))
    }
}

impl Host {
    fn dismiss(&mut self) {
        self.agent = None;
        self.life += 1;
    }

    fn show(&mut self, changes: &[mantle_protocol::Change]) {
        let Some(agent) = &mut self.agent else { return };
        for change in changes {
            agent.news.entry(change.key.clone()).or_default().push(change.clone());
        }
    }

    fn tell(&mut self, model: &Model, now: Instant, mut events: Vec<Event>) {
        let Some(agent) = &mut self.agent else { return };
        if let Some(mutant) = model.broken {
            let standing = agent.node.standing();
            events = events.into_iter().map(|event| mutant.tells(event, now, standing)).collect();
        }
        for effect in agent.node.handle_all(now, events) {
            self.carry_out(model, now, effect);
        }
    }

    fn carry_out(&mut self, model: &Model, now: Instant, effect: Effect) {
        let Some(agent) = &mut self.agent else { return };
        match effect {
            Effect::Commit(request) => {
                let request = Arc::new(request);
                self.asks.push(Ask { life: self.life, sent: now, request, given_up: false });
            }
            Effect::AssumeRole(ip, role) => {
                agent.orders.push((ip, role, agent.mark));
                if model.breaks(Mutant::HandsOverUnconfirmed) && matches!(role, Role::Yielding { .. }) {
                    agent.words.push(Word { event: Event::RoleConfirmed(ip, role), news: Vec::new() });
                }
            }
            Effect::Grant(session, until) => {
                agent.mark = session;
                if model.breaks(Mutant::EntriesOutliveTheSession) {
                    for entry in self.kernel.entries.values_mut() {
                        entry.mark = session;
                    }
                }
                self.kernel.grant(session, until);
            }
            Effect::Revoke(session) => self.kernel.grant(session, Instant::ZERO),
            Effect::Relist => agent.lists = true,
            Effect::Notify(_) => {}
            Effect::Ended => self.dismiss(),
        }
    }

    /// Carries out the next order and confirms it.
    fn applier(&mut self, model: &Model) {
        let Some(agent) = &mut self.agent else { return };
        let (ip, role, ordered_under) = agent.orders.remove(0);
        match role {
            Role::Off => {
                self.kernel.entries.remove(&ip);
            }
            Role::Owner { .. } => {
                let mark =
                    if model.breaks(Mutant::MarkedWhenArmed) { self.kernel.mark } else { ordered_under };
                self.kernel.entries.insert(ip, Entry { state: State::Owner, mark, expires: None });
                self.served = true;
            }
            Role::Prepared { .. } | Role::Yielding { .. } | Role::Forwarding { .. } => {
                let opens = model.breaks(Mutant::OpensOnTheOffer) && matches!(role, Role::Prepared { .. });
                let state = if opens { Some(State::Owner) } else { State::of(role) };
                if let Some(state) = state {
                    self.kernel.entries.insert(ip, Entry { state, mark: ordered_under, expires: None });
                }
                self.drained |= matches!(role, Role::Forwarding { .. });
            }
        }
        agent.words.push(Word { event: Event::RoleConfirmed(ip, role), news: Vec::new() });
    }
}

impl Agent {
    /// Everything that it can hear now: answers and confirmations first, then each key's news.
    fn take_all(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for word in std::mem::take(&mut self.words) {
            events.push(word.event);
        }
        let keys: Vec<_> = self.audible().cloned().collect();
        for key in keys {
            events.extend(
                self.news.remove(&key).into_iter().flatten().map(|change| Event::Changed(vec![change])),
            );
        }
        events
    }

    fn new(node: Node) -> Self {
        Self {
            node,
            mark: 0,
            is_frozen: false,
            words: Vec::new(),
            late_words: Vec::new(),
            news: BTreeMap::new(),
            held: BTreeSet::new(),
            echoes: Vec::new(),
            lists: true,
            orders: Vec::new(),
            slow_applier: false,
        }
    }
}
