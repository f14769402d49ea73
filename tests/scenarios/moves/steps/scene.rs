//! Two nodes of which one hands the VIP to the other, until something goes wrong with either of them at a step.

use std::fs;
use std::time::Duration;

use mantle_protocol::Instant;
use mantle_tests::clock::{now, sleep_until, wait_for};
use mantle_tests::echo::{Connection, Echo};
use mantle_tests::etcd::Relay;
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Stage, VIP};
use mantle_tests::{Host, Process};

use super::case::{Case, Fault, Harm, Victim};
use super::step::{Course, Step};
use crate::relayed::behind_relays;
use crate::witness::{gap_since, has_address, last_claim, watch_for};

/// R of [`SETTINGS`].
const RENEW: Duration = Duration::from_millis(200);
/// How long a standby waits for a silent owner there: longer than a right lasts, and than all that is timed in a handoff but the drain.
const SILENCE: Duration = Duration::from_millis(1950);
/// How often a standby renews there, in milliseconds.
const PACE_MS: u64 = 1000;
/// A step may take half a right: time enough to look twice on a busy machine. And a drain outlasts the silence.
const SETTINGS: &str = "timing: {renew: 200ms, lease: 1500ms, silence: 1950ms}\nhandoff: {drain: 4s}";

/// A machine that is busy enough may keep a step from being struck, but hardly so often.
const TRIES: usize = 5;

/// Two nodes, each behind a relay of its own; which of them is owner changes from case to case.
pub(super) struct Scene {
    stage: Stage,
    relays: Vec<Relay>,
    services: Vec<Echo>,
    visitor: Host,
    owner: usize,
}

impl Scene {
    pub(super) fn set(name: &str) -> Self {
        let (stage, relays) = behind_relays(name, &["a", "b"], SETTINGS);
        let services = stage.nodes.iter().map(|node| Echo::start(&node.host)).collect();
        let visitor = stage.lab.host("visitor");
        let mut scene = Self { stage, relays, services, visitor, owner: 0 };
        scene.settle("at first");
        scene
    }

    /// A handoff in which that goes wrong: it is at that step when it does, somebody serves the VIP while it lasts, and all is well
    /// when it is over.
    pub(super) fn play(&mut self, case: Case) {
        for _ in 0..TRIES {
            if self.tries(case) {
                return;
            }
            self.settle("where nothing went wrong");
        }
        panic!("{case}: {TRIES} times the step was over before it could go wrong there");
    }

    /// Plays it, unless the step is over too soon.
    fn tries(&mut self, case: Case) -> bool {
        let (victim, other) = match case.victim {
            Victim::Owner => (self.owner, self.successor()),
            Victim::Successor => (self.successor(), self.owner),
        };
        let mut open = (case.step == Step::Draining).then(|| Connection::open(&self.visitor, VIP));
        let since = now();
        let _command = self.bring_to(case.step, since);
        let Some((struck, course)) = self.strike(case, victim) else { return false };
        if case.fault != Fault::Restarted {
            sleep_until(struck + SILENCE);
            self.stage.client.wait_answered(VIP, self.name(other), now(), SOON);
            let goes_on = case.step == Step::Draining || self.played() != Some(course);
            assert!(goes_on, "{case}: the other one still waits for the one that is struck");
        }
        self.mend(case.fault, victim);
        if let Some(open) = open.as_mut().filter(|_| case.victim == Victim::Successor) {
            // Where it is does not depend on the one that is struck.
            open.ask();
        }
        drop(open);
        self.settle(&case.to_string());
        self.assess(case, since, struck);
        true
    }

    /// What the wire said of all of it.
    pub(super) fn end(self) {
        self.stage.end();
        drop(self.services);
    }

    fn successor(&self) -> usize {
        1 - self.owner
    }

    fn name(&self, at: usize) -> &str {
        self.stage.nodes[at].host.name()
    }

    /// How far a handoff from one to the other has come.
    fn course(&self, from: usize, to: usize) -> Option<Course> {
        Course::read(&self.stage.etcd, self.name(from), self.name(to))
    }

    /// How far the one has come that is played.
    fn played(&self) -> Option<Course> {
        self.course(self.owner, self.successor())
    }

    /// Waits for a step, for as long as one may take and more.
    fn watch_for_step(&self, step: Step) {
        let end = now() + SILENCE;
        while self.played().is_none_or(|course| course.step != step) && now() < end {
            watch_for(Duration::from_millis(5));
        }
    }

    /// Begins a handoff and lets it come to a step. It stays there, since who takes the next one hears nothing of this one: until that
    /// is let hear, or finds out that it is deaf, or the time of the step is over.
    fn bring_to(&self, step: Step, since: Instant) -> Process {
        let (from, to) = (&self.relays[self.owner], &self.relays[self.successor()]);
        match step {
            Step::Offered => to.hold_watches(),
            Step::Prepared | Step::Handed => from.hold_watches(),
            Step::Draining => {}
        }
        let host = &self.stage.nodes[self.owner].host;
        let (vip, config) = (VIP.to_string(), self.stage.lab.config_path(host));
        let arguments = ["handoff", &vip, "-c", &config.to_string_lossy()];
        let command = self.stage.lab.start_mantle(host, &arguments);
        if step == Step::Handed {
            self.watch_for_step(Step::Prepared);
            to.hold_watches();
            from.let_watches_go();
        }
        self.watch_for_step(step);
        if step == Step::Draining {
            // It answers what the old owner sends on, and then tells everybody where the VIP is.
            let successor = self.name(self.successor());
            wait_for("the successor's announcement", SOON, || {
                last_claim(&self.stage, successor, VIP).filter(|at| *at > since)
            });
        }
        command
    }

    /// Lets it go wrong: the handoff is at the step before it does, and just after, or it is not played. Both agents stand still
    /// meanwhile, or one might take the next step, or answer the blow before anybody can look. When it went wrong, and how far the handoff
    /// had come.
    fn strike(&mut self, case: Case, victim: usize) -> Option<(Instant, Course)> {
        self.stage.nodes.iter().for_each(|node| node.agent.freeze());
        let Some(course) = self.played().filter(|course| course.step == case.step) else {
            self.relays.iter().for_each(Relay::let_watches_go);
            self.stage.nodes.iter().for_each(|node| node.agent.thaw());
            return None;
        };
        let node = &mut self.stage.nodes[victim];
        match case.fault {
            Fault::Killed | Fault::Restarted => node.agent.kill9(),
            Fault::Frozen => {}
            Fault::CutFromSwitch => node.host.port(PUBLIC_LINK).set_up(false),
            Fault::CutFromEtcd => self.relays[victim].cut(),
        }
        let struck = now();
        assert_eq!(self.played(), Some(course), "{case}: the handoff went on while it was struck");
        self.relays.iter().for_each(Relay::let_watches_go);
        let lives = matches!(case.fault, Fault::CutFromSwitch | Fault::CutFromEtcd);
        let nodes = (0..).zip(&self.stage.nodes).filter(|(at, _)| lives || *at != victim);
        nodes.for_each(|(_, node)| node.agent.thaw());
        Some((struck, course))
    }

    fn mend(&mut self, fault: Fault, victim: usize) {
        let node = &mut self.stage.nodes[victim];
        match fault {
            Fault::Killed | Fault::Restarted => {
                let path = self.stage.lab.config_path(&node.host);
                node.agent = self.stage.lab.agent(&node.host, &fs::read_to_string(path).unwrap());
            }
            Fault::Frozen => node.agent.thaw(),
            Fault::CutFromSwitch => node.host.port(PUBLIC_LINK).set_up(true),
            Fault::CutFromEtcd => self.relays[victim].mend(),
        }
    }

    /// Waits until one node is owner and says so, the other stands by without the address, both are ready and know it of each other,
    /// nothing is left of a handoff, and the client is answered by the owner.
    fn settle(&mut self, when: &str) {
        self.owner = wait_for(format_args!("one owner, and one that stands by, {when}"), SOON, || {
            // An owner that was struck is off for a moment, and then goes on with its drain.
            let is_over = [[0, 1], [1, 0]].into_iter().all(|[from, to]| self.course(from, to).is_none());
            let stances = [0, 1].map(|at| self.stance(at).filter(|_| is_over));
            let owner = match stances.each_ref().map(|stance| stance.as_deref()) {
                [Some("owner"), Some("off")] => 0,
                [Some("off"), Some("owner")] => 1,
                _ => return None,
            };
            (!has_address(&self.stage, 1 - owner, VIP)).then_some(owner)
        });
        self.stage.client.wait_answered(VIP, self.name(self.owner), now(), SOON);
    }

    /// How a node stands to the VIP, if it has a right, is ready, and hears of the other that it is.
    fn stance(&self, at: usize) -> Option<String> {
        let status = self.stage.status(at)?;
        let (session, vip, peer) = (&status["session"], &status["vips"][0], &status["peers"][0]);
        let is_well = session["state"] == "live" && session["right_left_ms"].as_u64() > Some(0);
        let hears = peer["silent_ms"].as_u64().is_some_and(|silent| silent < PACE_MS);
        let are_ready = vip["ready"] == true && peer["ready"][0] == vip["vip"];
        vip["stance"].as_str().filter(|_| is_well && hears && are_ready).map(str::to_owned)
    }

    /// What the fault has cost, and what the wire said of all so far: where it may cost nothing, that goes for the handoff too.
    fn assess(&self, case: Case, begun: Instant, struck: Instant) {
        match case.harm(SILENCE, RENEW) {
            Harm::Nothing => {
                let lost = self.lost(begun);
                assert!(lost.is_empty(), "{case}: lost what was sent at {lost:?}");
            }
            Harm::Gap(bound) => {
                let gap = gap_since(&self.stage, VIP, struck);
                assert!(gap < bound, "{case}: dark for {gap:?}, at most {bound:?} is due");
            }
        }
        let verdict = self.stage.lab.verdict(Some(&self.stage.history));
        assert!(verdict.is_in_order(), "{case}: {verdict}");
    }

    /// When the probes were sent, since the lab was made, that stay without an answer.
    fn lost(&self, since: Instant) -> Vec<Duration> {
        let until = now();
        // What was sent a moment ago has yet to be answered.
        watch_for(Duration::from_millis(200));
        let started = self.stage.lab.started();
        self.stage.client.look(|probes| {
            let sent = probes.of(VIP).sent_in(since, until).iter();
            sent.filter(|probe| probe.answer.is_none()).map(|probe| probe.sent.since(started)).collect()
        })
    }
}
