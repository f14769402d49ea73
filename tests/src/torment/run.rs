//! Carrying out a plan on a real lab, and writing down what was really done when.

use std::net::IpAddr;
use std::time::Duration;

use mantle_protocol::Instant;

use super::fault::{Fault, MemberFault, NodeFault, Turn, Which, Whom};
use super::plan::{Episode, MEMBERS, NODES, Plan};
use super::witness::Witness;
use crate::asker::Asker;
use crate::clock::{now, sleep_until, wait_for};
use crate::etcd::{EtcdOptions, Pulse};
use crate::lab::{PRIVATE_LINK, PUBLIC_LINK};
use crate::stage::{Setting, Stage, VIP, VIP6};

/// The nodes' names, and the order in which standbys step forward.
pub(super) const NAMES: [&str; NODES] = ["a", "b", "c"];

/// What the client probes.
const VIPS: [IpAddr; 4] = [
    VIP,
    VIP6,
    IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 101)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x101)),
];

/// How often each VIP is probed.
pub(super) const INTERVAL: Duration = Duration::from_millis(5);

/// How often each member is written to.
const BEAT: Duration = Duration::from_millis(50);

/// How long an asker pauses after a round.
const ASKING: Duration = Duration::from_millis(25);

/// Within this time after the last fault of an episode every VIP has an owner and every node a session, or the run fails:
/// an agent's start, etcd's election at its worst, the longest wait of a standby, all on a busy machine.
const SETTLED: Duration = Duration::from_secs(20);

/// How long an agent may take to stop in order: longer than etcd may be away.
const STOPPING: Duration = Duration::from_secs(20);

/// A fault that was, or is, real.
#[derive(Clone, Debug)]
pub(super) struct Suffered {
    /// What was planned.
    pub(super) fault: Fault,
    /// Whom it came to.
    pub(super) on: On,
    /// Just before it began.
    pub(super) from: Instant,
    /// Just after it was over.
    pub(super) until: Instant,
}

/// Whom a fault came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// The node of this number.
    Node(usize),
    /// The member of etcd of this number.
    Member(usize),
    /// All the members' disks.
    Disks,
}

/// The lab while it is tormented.
pub(super) struct Run {
    pub(super) pulse: Pulse,
    pub(super) witness: Witness,
    /// One for each node, sure that the VIPs are there: whoever answers when it must not is heard.
    _askers: Vec<Asker>,
    /// Each node's config: their timings differ.
    configs: Vec<String>,
    /// In the order in which they began.
    pub(super) suffered: Vec<Suffered>,
    pub(super) stage: Stage,
    /// When every node stood by for the first time: what was before is not counted.
    pub(super) from: Instant,
}

impl Run {
    /// Sets the stage: every node runs, and one is owner.
    pub(super) fn set(name: &str, plan: &Plan) -> Self {
        let options = EtcdOptions { slow_disks: true, ..EtcdOptions::default() };
        let setting = Setting {
            members: MEMBERS,
            vips: VIPS.to_vec(),
            options,
            interval: INTERVAL,
            ..Setting::default()
        };
        let mut stage = Stage::empty(name, &setting);
        let pulse = Pulse::start(&stage.etcd, BEAT);
        let witness = Witness::start(stage.etcd.observer());
        let config = stage.config();
        let of_node = |timing| {
            config.replacen("kind: MantleConfig\n", &format!("kind: MantleConfig\ntiming: {timing}\n"), 1)
        };
        let configs: Vec<String> = plan.timings.iter().map(of_node).collect();
        for (name, config) in NAMES.iter().zip(&configs) {
            let host = stage.lab.host(name);
            stage.add_host(host, config);
        }
        let macs = stage.nodes.iter().map(|node| node.host.port(PUBLIC_LINK).mac());
        let askers = macs.map(|mac| stage.lab.asker_every(ASKING, &VIPS, mac)).collect();
        let mut run =
            Self { stage, pulse, witness, _askers: askers, configs, suffered: Vec::new(), from: now() };
        run.wait_settled(run.from);
        run.from = now();
        run
    }

    /// Carries out an episode, waits until all is well again, and rests.
    pub(super) fn perform(&mut self, episode: &Episode) {
        let begun = now();
        let mut turns: Vec<(Duration, usize, Turn)> = Vec::new();
        for (number, planned) in episode.faults.iter().enumerate() {
            let own = planned.fault.turns(planned.lasts).into_iter();
            turns.extend(own.map(|(at, turn)| (planned.from + at, number, turn)));
        }
        turns.sort_by_key(|(at, number, _)| (*at, *number));

        // Where each fault of the episode stands among those suffered.
        let mut places = vec![None; episode.faults.len()];
        for (at, number, turn) in turns {
            sleep_until(begun + at);
            let place = *places[number].get_or_insert_with(|| self.begin(episode.faults[number].fault));
            self.carry_out(place, turn);
        }
        let over = now();
        self.wait_settled(over);
        sleep_until(now() + episode.rest);
    }

    /// Decides whom a fault comes to.
    fn begin(&mut self, fault: Fault) -> usize {
        let on = match fault {
            Fault::Node(_, whom) => On::Node(self.node(whom)),
            Fault::Member(_, Which::Leader) => On::Member(self.stage.etcd.leader()),
            Fault::Member(_, Which::Number(number)) => On::Member(number),
            Fault::SlowDisks(_) => On::Disks,
        };
        let at = now();
        self.suffered.push(Suffered { fault, on, from: at, until: Instant::from_boot(Duration::MAX) });
        self.suffered.len() - 1
    }

    /// The node meant, or the next one that is not in trouble already.
    fn node(&self, whom: Whom) -> usize {
        let meant = match whom {
            Whom::Number(number) => number,
            Whom::Owner => self.owner().unwrap_or_default(),
        };
        let in_trouble = |node| {
            let at = now();
            self.suffered.iter().any(|suffered| suffered.on == On::Node(node) && at < suffered.until)
        };
        let from_there_on = (0..NODES).map(|step| (meant + step) % NODES);
        from_there_on.into_iter().find(|node| !in_trouble(*node)).expect("never are all in trouble")
    }

    /// Whom the first VIP's record named last, as far as is known.
    fn owner(&self) -> Option<usize> {
        let changes = self.stage.history.changes_so_far();
        let owner = changes.get(&VIP)?.iter().rev().find_map(|change| change.owner.clone())?;
        NAMES.iter().position(|name| *name == owner)
    }

    fn carry_out(&mut self, place: usize, turn: Turn) {
        let (fault, on) = (self.suffered[place].fault, self.suffered[place].on);
        match (fault, on) {
            (Fault::Node(what, _), On::Node(node)) => self.node_turn(what, node, turn),
            (Fault::Member(what, _), On::Member(member)) => self.member_turn(what, member, turn),
            (Fault::SlowDisks(delay), On::Disks) => {
                self.stage.etcd.slow_disks(if turn == Turn::On { delay } else { Duration::ZERO });
            }
            (Fault::Node(..) | Fault::Member(..) | Fault::SlowDisks(_), _) => {
                unreachable!("{fault} came to {on:?}")
            }
        }
        if turn == Turn::Over {
            self.suffered[place].until = now();
        }
    }

    fn node_turn(&mut self, what: NodeFault, node: usize, turn: Turn) {
        let on = turn == Turn::On;
        let host = self.stage.nodes[node].host.clone();
        let agent = &mut self.stage.nodes[node].agent;
        match what {
            NodeFault::Killed if on => agent.kill9(),
            NodeFault::Stopped if on => {
                let exit = agent.stop(STOPPING);
                assert!(exit.success(), "{} did not stop in order: {exit}", host.name());
            }
            NodeFault::Crashed if on => {
                host.unplug();
                agent.kill9();
            }
            NodeFault::Crashed => {
                host.plug();
                self.start(node);
            }
            NodeFault::Killed | NodeFault::Stopped => self.start(node),
            NodeFault::Frozen | NodeFault::Starved { .. } if on => agent.freeze(),
            NodeFault::Frozen | NodeFault::Starved { .. } => agent.thaw(),
            NodeFault::CutFromEtcd => host.port(PRIVATE_LINK).set_up(!on),
            NodeFault::CutFromSwitch | NodeFault::Flapping { .. } => host.port(PUBLIC_LINK).set_up(!on),
        }
    }

    fn member_turn(&self, what: MemberFault, member: usize, turn: Turn) {
        let etcd = &self.stage.etcd;
        match (what, turn) {
            (MemberFault::Killed, Turn::On) => etcd.kill9(member),
            (MemberFault::Stopped, Turn::On) => etcd.stop(member),
            (MemberFault::Frozen, Turn::On) => etcd.freeze(member),
            (MemberFault::Frozen, _) => etcd.thaw(member),
            (MemberFault::Killed | MemberFault::Stopped, _) => etcd.restart(member),
        }
    }

    fn start(&mut self, node: usize) {
        let host = &self.stage.nodes[node].host;
        self.stage.nodes[node].agent = self.stage.lab.agent(host, &self.configs[node]);
    }

    /// Waits until etcd answers at every member, every node has a session, and every VIP is answered for.
    fn wait_settled(&self, since: Instant) {
        let end = since + SETTLED;
        let left = || end.since(now()).max(Duration::from_millis(10));
        (0..MEMBERS).for_each(|member| self.stage.etcd.wait_healthy(member));
        for (node, name) in NAMES.iter().enumerate() {
            wait_for(format_args!("a live session of {name}"), left(), || {
                let status = self.stage.status(node)?;
                let session = &status["session"];
                let is_live = session["state"] == "live" && session["right_left_ms"].as_u64() > Some(0);
                is_live.then_some(())
            });
        }
        let well = now();
        for vip in VIPS {
            self.stage.client.wait_answerer(vip, well, left());
        }
    }
}
