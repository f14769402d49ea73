//! Three machines that compete for a VIP, and what they go through.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::thread;
use std::time::Duration;

use mantle_protocol::{Instant, Timing};

use super::kernel::Kernel;
use super::machine::{Booting, Card, Hardware, Machine, On, Tools};
use super::{Accelerator, Bench};
use crate::clock::{now, wait_for};
use crate::judge::Wrong;
use crate::stage::VIP;
use crate::{Client, EtcdCluster, EtcdOptions, History, Lab, binaries};

/// How often the client probes. Emulated machines answer slowly.
const INTERVAL: Duration = Duration::from_millis(10);
/// How long whatever must happen may take. Emulated time is slow and uneven: order is judged, not speed.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

const CONFIG: &str = "/etc/mantle/config.yaml";
const LOG: &str = "/run/mantle.log";

/// Machines with an agent each, an etcd, a client, and the records watched.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) client: Client,
    history: History,
    etcd: EtcdCluster,
    /// Which machines stood still, and when they went on.
    paused: Vec<(String, Instant)>,
    pub(super) lab: Lab,
}

/// A machine and its agent.
pub(super) struct Node {
    pub(super) machine: Machine,
    agent: Option<u32>,
    /// How many of its cards, the first ones, are on the VIP's network.
    public: usize,
}

/// How a cluster's machines are made.
pub(super) struct Plan {
    /// What each is made of.
    pub(super) hardware: Vec<Hardware>,
    /// What makes the link that the VIP is on, which this names, from a machine's cards; run in the machine.
    pub(super) links: &'static str,
    pub(super) link: &'static str,
    /// The link to etcd.
    pub(super) private: &'static str,
    /// More lines of the `MantleConfig`.
    pub(super) settings: &'static str,
}

impl Cluster {
    /// Boots the machines, side by side, and starts an agent on each; the first is owner when this returns.
    pub(super) fn set(name: &str, plan: &Plan, bench: &Bench) -> Self {
        let lab = Lab::new(name);
        let etcd = lab.etcd(1, EtcdOptions::default());
        let history = lab.history(&etcd);
        let booting: Vec<_> = plan
            .hardware
            .iter()
            .zip(["a", "b", "c", "d"])
            .map(|(hardware, name)| Booting::begin(&lab, name, hardware, bench.of(&hardware.kernel)))
            .collect();
        let machines: Vec<_> = booting.into_iter().map(Booting::finish).collect();
        let client = lab.client_every(INTERVAL, &[VIP]);
        let mut cluster = Self { nodes: Vec::new(), client, history, etcd, paused: Vec::new(), lab };
        for (number, machine) in machines.into_iter().enumerate() {
            cluster.add(machine, number, plan);
        }
        cluster
    }

    fn add(&mut self, mut machine: Machine, number: usize, plan: &Plan) {
        let net = |text: String| text.parse().expect("a number fits in an address");
        // Nothing loads a card's driver by itself where no udev runs.
        let drivers: BTreeSet<_> = plan.hardware[number].cards.iter().map(Card::driver).collect();
        for driver in drivers {
            machine.run(&format!("modprobe {driver}"));
        }
        machine.run(plan.links);
        machine.address(
            &self.lab,
            plan.link,
            &[net(format!("10.77.0.{}/24", 150 + number)), net(format!("fd77::{}/64", 150 + number))],
        );
        machine.address(&self.lab, plan.private, &[net(format!("10.88.0.{}/24", 150 + number))]);
        let endpoints: Vec<_> = self.etcd.endpoints().iter().map(|url| format!("\"{url}\"")).collect();
        let mut config = format!(
            "apiVersion: mantle/v1alpha1\nkind: MantleConfig\netcd: {{endpoints: [{}]}}\ntiming: steady\n{}\n",
            endpoints.join(", "),
            plan.settings
        );
        let _ = write!(
            config,
            "---\napiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: {VIP}\nlink: {}\n",
            plan.link
        );
        machine.write(CONFIG, &config);
        let public = plan.hardware[number].cards.iter().filter(|card| card.on == On::Public).count();
        self.nodes.push(Node { machine, agent: None, public });
        let since = now();
        self.start(number);
        if number == 0 {
            self.wait_owner(0, since);
        } else {
            self.wait_ready(number);
        }
    }

    /// Starts a node's agent.
    pub(super) fn start(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let pid = node.machine.start(&format!("{} run -c {CONFIG}", binaries::mantle().display()), LOG);
        node.agent = Some(pid);
    }

    /// Waits until a node answers probes sent after an instant.
    pub(super) fn wait_owner(&self, at: usize, since: Instant) -> Instant {
        self.client.wait_answered(VIP, self.nodes[at].machine.name(), since, PATIENCE)
    }

    /// Waits until a node other than this one answers; which.
    pub(super) fn wait_another(&self, than: usize, since: Instant) -> usize {
        wait_for("another owner", PATIENCE, || {
            self.client.look(|probes| {
                let answers =
                    |at: &usize| probes.of(VIP).first_answer(self.nodes[*at].machine.name(), since).is_some();
                (0..self.nodes.len()).filter(|at| *at != than).find(answers)
            })
        })
    }

    /// Waits until a node would be another's successor.
    pub(super) fn wait_ready(&mut self, at: usize) {
        let end = now() + PATIENCE;
        loop {
            let status = self.status(at);
            if status["session"]["state"] == "live" && status["vips"][0]["ready"] == true {
                return;
            }
            if now() >= end {
                let log = self.log(at);
                panic!(
                    "{} is not ready: {status}
{log}",
                    self.nodes[at].machine.name()
                );
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// What a node's agent says of itself.
    pub(super) fn status(&mut self, at: usize) -> serde_json::Value {
        let command = format!("{} status -o json -c {CONFIG}", binaries::mantle().display());
        let (_, said) = self.nodes[at].machine.tries(&command, PATIENCE);
        serde_json::from_str(&said).unwrap_or_default()
    }

    /// What a node's agent has logged.
    pub(super) fn log(&mut self, at: usize) -> String {
        self.nodes[at].machine.tries(&format!("tail -n 40 {LOG}"), PATIENCE).1
    }

    /// Moves the VIP by a handoff; how many probes were lost on the way.
    pub(super) fn hand_over(&mut self, from: usize, to: usize) -> usize {
        let to_name = self.nodes[to].machine.name().to_owned();
        let since = now();
        let command = format!("{} handoff {VIP} --to {to_name} --wait", binaries::mantle().display());
        let (code, said) = self.nodes[from].machine.tries(&command, PATIENCE);
        assert!(code == 0, "the handoff ended with {code}: {said}\n{}", self.log(from));
        self.wait_owner(to, since);
        let until = now() + Duration::from_millis(500);
        // The last answers may be on their way for long.
        thread::sleep(Duration::from_secs(2));
        self.client.look(|probes| probes.of(VIP).lost_in(since..until))
    }

    /// `kill -9` of a node's agent; its guardian gives the VIP up.
    pub(super) fn kill(&mut self, at: usize) {
        let pid = self.nodes[at].agent.take().expect("the agent runs");
        self.nodes[at].machine.run(&format!("kill -9 {pid}"));
    }

    /// Pulls the cables of a node's cards on the VIP's network, or puts them back.
    pub(super) fn cut(&mut self, at: usize, up: bool) {
        let node = &mut self.nodes[at];
        for card in 0..node.public {
            node.machine.set_cable(card, up);
        }
    }

    /// A machine stands still, its clock with it, until another node answers for the VIP, and goes on then.
    pub(super) fn pause(&mut self, at: usize) -> usize {
        let since = now();
        self.nodes[at].machine.pause();
        let next = self.wait_another(at, since + Duration::from_millis(500));
        thread::sleep(Duration::from_secs(2));
        self.nodes[at].machine.resume();
        self.paused.push((self.nodes[at].machine.name().to_owned(), now()));
        self.wait_ready(at);
        next
    }

    /// Judges all that the tap saw.
    ///
    /// A machine whose clock stood still may go on with what its lease had left by that clock, as docs/safety.md says. Nothing
    /// of it is excused after that.
    pub(super) fn judge(self) -> Seen {
        let mut verdict = self.lab.verdict(Some(&self.history));
        let left = Timing::STEADY.lease;
        let is_paused = |host: &str, at: Instant| {
            self.paused.iter().any(|(name, resumed)| name == host && at >= *resumed && at < *resumed + left)
        };
        let before = verdict.violations.len();
        verdict.violations.retain(|violation| {
            let other = match &violation.wrong {
                Wrong::Overlap { other, .. } => other.as_str(),
                _ => violation.host.as_str(),
            };
            !is_paused(&violation.host, violation.at) && !is_paused(other, violation.at)
        });
        verdict.assert_in_order();
        let after_pause = before - verdict.violations.len();
        let probes = self.client.stop();
        let of = probes.of(VIP);
        Seen { probes: of.sent(), lost: of.lost(), after_pause }
    }
}

/// What the client saw.
pub(super) struct Seen {
    pub(super) probes: usize,
    pub(super) lost: usize,
    /// How often a machine that had stood still went on with its lease.
    pub(super) after_pause: usize,
}

/// The course that each row goes through: a planned move, an agent killed, a machine paused beyond its lease, a cable pulled.
pub(super) fn course(name: &str, plan: &Plan, bench: &Bench) -> String {
    course_with(name, plan, bench, |_, _| {})
}

/// Likewise, and at first something happens to the owner, which stays owner.
pub(super) fn course_with(
    name: &str,
    plan: &Plan,
    bench: &Bench,
    happens: impl FnOnce(&mut Cluster, usize),
) -> String {
    let mut cluster = Cluster::set(name, plan, bench);
    let since = now();
    happens(&mut cluster, 0);
    cluster.wait_owner(0, now());
    cluster.wait_ready(1);
    let before =
        cluster.client.look(|probes| probes.of(VIP).lost_in(since..now() - Duration::from_millis(500)));
    let sent = cluster.client.look(|probes| probes.of(VIP).sent());
    let moved = cluster.hand_over(0, 1);
    assert!(moved == 0, "{moved} probes were lost in a planned move");
    let told = trouble(cluster);
    format!("{before} probes lost before; planned move 0 of {sent} lost; {told}")
}

/// The same where the client's own network loses probes: what is lost in a planned move is told.
pub(super) fn lossy(name: &str, plan: &Plan, bench: &Bench) -> String {
    let mut cluster = Cluster::set(name, plan, bench);
    let sent = cluster.client.look(|probes| probes.of(VIP).sent());
    let before = cluster.client.look(|probes| probes.of(VIP).lost());
    let moved = cluster.hand_over(0, 1);
    let told = trouble(cluster);
    format!("{before} of {sent} probes lost before, {moved} in a planned move; {told}")
}

/// The unplanned part of the course; node 1 is owner.
fn trouble(mut cluster: Cluster) -> String {
    let since = now();
    cluster.kill(1);
    let owner = cluster.wait_another(1, since);
    cluster.start(1);
    cluster.wait_ready(1);

    let next = cluster.pause(owner);

    let since = now();
    cluster.cut(next, false);
    let last = cluster.wait_another(next, since + Duration::from_millis(500));
    cluster.cut(next, true);
    cluster.wait_ready(next);
    let name = cluster.nodes[last].machine.name().to_owned();
    let seen = cluster.judge();
    format!(
        "killed, paused and cut off: one answerer at a time, {name} last; {} of {} probes lost in all; {} times the paused machine went on with its lease",
        seen.lost, seen.probes, seen.after_pause
    )
}

/// The kernel, accelerator and programs that a machine boots with.
pub(super) type Base<'a> = (&'a Kernel, Accelerator, &'a Tools);
