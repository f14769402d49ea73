//! Two nodes of which one hands the VIP to the other, until something goes wrong with either of them at a step.

use std::fs;
use std::time::Duration;

use mantle::protocol::Instant;
use mantle_tests::clock::{now, sleep_until, wait_for};
use mantle_tests::echo::{Connection, Echo};
use mantle_tests::etcd::Relay;
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::stage::{SOON, Stage, VIP};
use mantle_tests::{Host, Process};

use super::case::{Case, Fault, Harm, Victim};
use super::step::{Course, Step};
use crate::relayed::behind_relays;
use crate::witness::{gap_since, has_address, watch_for};

/// R of [`SETTINGS`].
const RENEW: Duration = Duration::from_millis(200);
/// How long a standby waits for a silent owner there: longer than a right lasts, and than all that is timed in a handoff but the drain.
const SILENCE: Duration = Duration::from_millis(1950);
/// How often a standby renews there, in milliseconds.
const PACE_MS: u64 = 1000;
/// A step may take half a right: time enough to look twice on a busy machine. And a drain outlasts the silence.
const SETTINGS: &str = "timing: {renew: 200ms, right: 1500ms, silence: 1950ms}\nhandoff: {drain: 4s}";

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
        let (victim, other) = match case.victim {
            Victim::Owner => (self.owner, self.successor()),
            Victim::Successor => (self.successor(), self.owner),
        };
        let mut open = (case.step == Step::Draining).then(|| Connection::open(&self.visitor, VIP));
        let since = now();
        let _command = self.bring_to(case.step);
        let (struck, course) = self.strike(case, victim);
        if case.fault != Fault::Restarted {
            sleep_until(struck + SILENCE);
            self.stage.client.wait_answered(VIP, self.name(other), now(), SOON);
            let goes_on = case.step == Step::Draining || self.course() != course;
            assert!(goes_on, "{case}: the other one still waits for the one that is struck");
        }
        self.mend(case.fault, victim);
        if let Some(open) = open.as_mut().filter(|_| case.victim == Victim::Successor) {
            // Where it is does not depend on the one that is struck.
            open.ask();
        }
        drop(open);
        self.settle(&case.to_string());
        self.assess(case, since);
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

    fn course(&self) -> Option<Course> {
        Course::read(&self.stage.etcd, self.name(self.owner), self.name(self.successor()))
    }

    fn wait_course(&self, step: Step) {
        wait_for(format_args!("the step {step:?}"), SOON, || {
            self.course().filter(|course| course.step == step)
        });
    }

    /// Begins a handoff and lets it come to a step. It stays there, since who takes the next one hears nothing of this one: until that
    /// is let hear, or finds out that it is deaf, or the time of the step is over.
    fn bring_to(&self, step: Step) -> Process {
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
            self.wait_course(Step::Prepared);
            to.hold_watches();
            from.let_watches_go();
        }
        self.wait_course(step);
        command
    }

    /// Lets it go wrong: the handoff is at the step before it does, and just after. The one that is struck stands still meanwhile, or it
    /// might take the next step, or answer the blow before anybody can look. When it went wrong, and how far the handoff had come.
    fn strike(&mut self, case: Case, victim: usize) -> (Instant, Option<Course>) {
        self.stage.nodes[victim].agent.freeze();
        let before = self.course();
        assert_eq!(before.map(|course| course.step), Some(case.step), "{case}: it was not struck there");
        let node = &mut self.stage.nodes[victim];
        match case.fault {
            Fault::Killed | Fault::Restarted => node.agent.kill9(),
            Fault::Frozen => {}
            Fault::CutFromSwitch => node.host.port(PUBLIC_LINK).set_up(false),
            Fault::CutFromEtcd => self.relays[victim].cut(),
        }
        let struck = now();
        assert_eq!(self.course(), before, "{case}: the handoff went on while it was struck");
        self.relays.iter().for_each(Relay::let_watches_go);
        if matches!(case.fault, Fault::CutFromSwitch | Fault::CutFromEtcd) {
            self.stage.nodes[victim].agent.thaw();
        }
        (struck, before)
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

    /// Waits until one node is owner and says so, the other stands by, both are ready and know it of each other, and the client is
    /// answered by the owner.
    fn settle(&mut self, when: &str) {
        self.owner = wait_for(format_args!("one owner, and one that stands by, {when}"), SOON, || {
            let stances = [0, 1].map(|at| self.stance(at));
            match stances.each_ref().map(|stance| stance.as_deref()) {
                [Some("owner"), Some("off")] => Some(0),
                [Some("off"), Some("owner")] => Some(1),
                _ => None,
            }
        });
        let (owner, other) = (self.name(self.owner), self.successor());
        self.stage.client.wait_answered(VIP, owner, now(), SOON);
        assert!(!has_address(&self.stage, other, VIP), "{when}: left on {}", self.name(other));
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

    fn assess(&self, case: Case, since: Instant) {
        match case.harm(SILENCE, RENEW) {
            Harm::Nothing => {
                let lost = self.lost(since);
                assert!(lost.is_empty(), "{case}: lost what was sent at {lost:?}");
            }
            Harm::Gap(bound) => {
                let gap = gap_since(&self.stage, VIP, since);
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
