//! What can happen next in a state.

use std::collections::BTreeMap;

use mantle_protocol::{Event, Key, Purpose};

use super::state::{Agent, Host, State};

/// One thing that can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A tick passes.
    Pass,
    /// An agent is woken by its timer.
    Wake(usize),
    /// An agent hears its next answer or confirmation.
    Hear(usize),
    /// An agent hears all that has come, in one turn.
    HearAll(usize),
    /// An agent hears a key's next news.
    News(usize, Key),
    /// An agent is given a list of all keys.
    List(usize),
    /// The applier carries out its next order.
    Applier(usize),
    /// etcd carries out a node's next request.
    Commit(usize),
    /// An agent is told that the outcome of its request is unknown.
    GiveUp(usize, Waiting, usize),
    /// Something goes wrong.
    Fault(Fault),
    /// Something is put right.
    End(End),
    /// An agent is told to hand its VIPs over.
    HandOff(usize),
    /// An agent is told to end.
    Stop(usize),
    /// None of a node's links is ready any more.
    Unready(usize),
}

/// Where the request is of which an agent has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Behind a cut.
    Cut,
    /// Held up on its way there.
    There,
    /// Carried out or refused; its answer is held up.
    Back,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An agent freezes.
    Freeze(usize),
    /// An agent is killed.
    Kill(usize),
    /// Nothing that a node asks reaches etcd.
    Cut(usize),
    /// A request is held up.
    LateAsk(usize),
    /// An answer is held up.
    LateAnswer(usize),
    /// A key's news are held up.
    Hold(usize, Key),
    /// All that a node would hear of the watch is held up.
    Deafen(usize),
    /// A key's news come now and once more.
    Double(usize, Key),
    /// The applier does not get to its orders.
    SlowApplier(usize),
    /// Somebody deletes a node's session.
    Delete(usize),
}

/// How what went wrong is put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A frozen agent goes on.
    Thaw(usize),
    /// An agent is started: with its predecessor's runtime directory or without.
    Start {
        /// Where.
        at: usize,
        /// Whether it finds that directory.
        remembers: bool,
    },
    /// A node reaches etcd again.
    Join(usize),
    /// A request that was held up goes on.
    Ask(usize, usize),
    /// An answer that was held up goes on.
    Answer(usize, usize),
    /// A key's news go on.
    Let(usize, Key),
    /// News come once more.
    Echo(usize, usize),
    /// The applier goes on.
    Applier(usize),
}

impl State {
    /// Everything that can happen now.
    ///
    /// Whatever can happen at once does before time passes; what does not is a fault. A fault begins only where it keeps
    /// something from happening: earlier would make no difference. What was held up goes on at the beginning of a tick.
    ///
    /// What one machine does is nothing to another before etcd has carried out something: so one machine after the
    /// other, whichever is first, does all that it can, in any order of its own, and then etcd carries out what was asked
    /// of it, in any order.
    pub(super) fn offer(&self, actions: &mut Vec<Action>) {
        match self.turn {
            Some(at) => self.offer_steps(at, actions),
            None => (0..self.hosts.len()).for_each(|at| self.offer_steps(at, actions)),
        }
        if actions.is_empty() {
            let asking = |at: &usize| !self.hosts[*at].asks.is_empty() && !self.hosts[*at].is_cut;
            actions.extend((0..self.hosts.len()).filter(asking).map(Action::Commit));
        }
        // Nobody dawdles for free.
        if actions.is_empty() {
            actions.push(Action::Pass);
        }
        if self.dawn {
            for at in 0..self.hosts.len() {
                self.offer_ends(at, actions);
            }
        }
        if self.faults > 0 {
            self.offer_faults(actions);
        }
    }

    /// What a machine can do by itself.
    fn offer_steps(&self, at: usize, actions: &mut Vec<Action>) {
        let Some(agent) = self.hosts[at].awake() else { return };
        if !agent.words.is_empty() {
            actions.push(Action::Hear(at));
        }
        if !agent.orders.is_empty() && !agent.slow_applier {
            actions.push(Action::Applier(at));
        }
        if agent.lists && agent.held.is_empty() {
            actions.push(Action::List(at));
        }
        actions.extend(agent.audible().map(|key| Action::News(at, key.clone())));
        if agent.is_due(self.clock(at)) {
            actions.push(Action::Wake(at));
        }
        if agent.words.len() + agent.audible().count() > 1 {
            actions.push(Action::HearAll(at));
        }
    }

    /// What can go wrong with what is about to happen.
    fn offer_faults(&self, actions: &mut Vec<Action>) {
        let mut faults = Vec::new();
        let mut acting = BTreeMap::new();
        for action in &*actions {
            match action {
                Action::Commit(at) => faults.extend([Fault::Cut(*at), Fault::LateAsk(*at)]),
                Action::Hear(at) => {
                    acting.entry(*at).or_insert(false);
                    let word = self.hosts[*at].agent.as_ref().and_then(|agent| agent.words.first());
                    if word.is_some_and(|word| matches!(word.event, Event::Answered { .. })) {
                        faults.push(Fault::LateAnswer(*at));
                    }
                }
                Action::Applier(at) => {
                    acting.entry(*at).or_insert(false);
                    faults.push(Fault::SlowApplier(*at));
                }
                Action::News(at, key) => {
                    acting.insert(*at, true);
                    faults.extend([Fault::Hold(*at, key.clone()), Fault::Double(*at, key.clone())]);
                }
                Action::List(at) => {
                    acting.insert(*at, true);
                }
                Action::Wake(at) => {
                    acting.entry(*at).or_insert(false);
                }
                _ => {}
            }
        }
        for (at, is_told) in acting {
            if is_told && self.hosts[at].agent.as_ref().is_some_and(|agent| agent.held.is_empty()) {
                faults.push(Fault::Deafen(at));
            }
            faults.extend([Fault::Freeze(at), Fault::Kill(at)]);
        }
        if self.dawn {
            for at in 0..self.hosts.len() {
                if self.store.keys.contains_key(&Self::session_key(at)) {
                    faults.push(Fault::Delete(at));
                }
            }
        }
        actions.extend(faults.into_iter().map(Action::Fault));
    }

    fn offer_ends(&self, at: usize, actions: &mut Vec<Action>) {
        let host = &self.hosts[at];
        let mut offer = |end| actions.push(Action::End(end));
        if host.is_cut {
            offer(End::Join(at));
        }
        for number in 0..host.late_asks.len() {
            offer(End::Ask(at, number));
        }
        let Some(agent) = &host.agent else {
            for remembers in [true, false] {
                offer(End::Start { at, remembers });
            }
            return;
        };
        if agent.is_frozen {
            return offer(End::Thaw(at));
        }
        for number in 0..agent.late_words.len() {
            offer(End::Answer(at, number));
        }
        for number in 0..agent.echoes.len() {
            offer(End::Echo(at, number));
        }
        for key in &agent.held {
            offer(End::Let(at, key.clone()));
        }
        if agent.slow_applier {
            offer(End::Applier(at));
        }
        if self.orders > 0 {
            actions.push(Action::Stop(at));
            actions.push(Action::HandOff(at));
            actions.push(Action::Unready(at));
        }
        // That a renewal's outcome is unknown makes a node more careful and nothing else.
        for (waiting, asks) in [(Waiting::Cut, &host.asks), (Waiting::There, &host.late_asks)] {
            for (number, ask) in asks.iter().enumerate() {
                if ask.life == host.life && !ask.given_up && ask.request.purpose != Purpose::Renew {
                    actions.push(Action::GiveUp(at, waiting, number));
                }
            }
        }
        for (number, word) in agent.late_words.iter().enumerate() {
            if let Event::Answered { request, .. } = &word.event
                && request.purpose != Purpose::Renew
            {
                actions.push(Action::GiveUp(at, Waiting::Back, number));
            }
        }
    }
}

impl State {
    /// Whether a machine can do something by itself.
    pub(super) fn can_step(&self, at: usize) -> bool {
        let mut steps = Vec::new();
        self.offer_steps(at, &mut steps);
        !steps.is_empty()
    }
}

impl Host {
    /// The agent, if it runs and is not frozen.
    pub(super) fn awake(&self) -> Option<&Agent> {
        self.agent.as_ref().filter(|agent| !agent.is_frozen)
    }
}
