//! What nearly every scenario begins with: an etcd, some nodes, a client, and the records watched.

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

pub use crate::clock::SOON;
use crate::clock::{now, wait_for};
use crate::etcd::Relay;
use crate::probe::Probes;
use crate::{Client, EtcdCluster, EtcdOptions, History, Host, Lab, Process};
use mantle_protocol::Instant;

/// A VIP on the public switch.
pub const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));
/// An IPv6 VIP there.
pub const VIP6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100));

/// A host and the agent on it.
pub struct Node {
    /// The host.
    pub host: Host,
    /// Its agent, as it was last started.
    pub agent: Process,
}

/// A lab with an etcd and nodes that compete for VIPs.
pub struct Stage {
    /// The nodes, in the order they were added.
    pub nodes: Vec<Node>,
    /// What probes every VIP.
    pub client: Client,
    /// What watches the records.
    pub history: History,
    /// The etcd they compete through.
    pub etcd: EtcdCluster,
    /// The VIPs.
    pub vips: Vec<IpAddr>,
    settings: String,
    user: Option<(String, String)>,
    /// The lab. Last, so that whatever runs in it ends before it.
    pub lab: Lab,
}

/// How a stage is set.
pub struct Setting<'a> {
    /// How many members the etcd has.
    pub members: usize,
    /// The nodes' names; the first becomes owner.
    pub nodes: &'a [&'a str],
    /// The VIPs.
    pub vips: Vec<IpAddr>,
    /// How etcd is set up.
    pub options: EtcdOptions,
    /// More lines of the `MantleConfig`.
    pub settings: &'a str,
    /// How often the client probes each VIP.
    pub interval: Duration,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self {
            members: 1,
            nodes: &["a", "b"],
            vips: vec![VIP],
            options: EtcdOptions::default(),
            settings: "",
            interval: Client::INTERVAL,
        }
    }
}

impl Stage {
    /// Sets the stage; the first node is owner of every VIP when this returns.
    pub fn set(name: &str, setting: &Setting<'_>) -> Self {
        let mut stage = Self::empty(name, setting);
        for name in setting.nodes {
            let since = now();
            stage.add(name);
            if stage.nodes.len() == 1 {
                for vip in setting.vips.clone() {
                    stage.client.wait_answered(vip, name, since, SOON);
                }
            }
        }
        for at in 0..stage.nodes.len() {
            stage.wait_live(at);
        }
        stage
    }

    /// Sets the stage without a node on it.
    pub fn empty(name: &str, setting: &Setting<'_>) -> Self {
        let lab = Lab::new(name);
        let etcd = lab.etcd(setting.members, setting.options.clone());
        let history = lab.history(&etcd);
        let client = lab.client_every(setting.interval, &setting.vips);
        let (settings, user) = (setting.settings.to_owned(), setting.options.user.clone());
        let vips = setting.vips.clone();
        Self { nodes: Vec::new(), client, history, etcd, vips, settings, user, lab }
    }

    /// Adds a node and starts its agent.
    pub fn add(&mut self, name: &str) -> usize {
        let host = self.lab.host(name);
        self.add_host(host, &self.config())
    }

    /// Makes a host a node: starts an agent on it with a config of its own.
    pub fn add_host(&mut self, host: Host, config: &str) -> usize {
        let agent = self.lab.agent(&host, config);
        self.nodes.push(Node { host, agent });
        self.nodes.len() - 1
    }

    /// Adds a node that comes to etcd's first member by a relay of its own, and starts its agent.
    pub fn add_behind_relay(&mut self, name: &str) -> (usize, Relay) {
        let member = self.etcd.endpoints().remove(0);
        let (at, mut relays) = self.add_behind(name, &[member]);
        (at, relays.remove(0))
    }

    /// Adds a node that comes to each of etcd's members by a relay of its own, and starts its agent.
    pub fn add_behind_relays(&mut self, name: &str) -> (usize, Vec<Relay>) {
        self.add_behind(name, &self.etcd.endpoints())
    }

    fn add_behind(&mut self, name: &str, members: &[String]) -> (usize, Vec<Relay>) {
        let host = self.lab.host(name);
        let mut config = self.config();
        let relays = (0..).zip(members).map(|(number, member)| {
            let relay = Relay::start(&host, member, number);
            config = config.replace(member.as_str(), &relay.endpoint());
            relay
        });
        let relays = relays.collect();
        (self.add_host(host, &config), relays)
    }

    /// The config of every node.
    pub fn config(&self) -> String {
        let mut config = format!(
            "apiVersion: mantle/v1alpha1\nkind: MantleConfig\netcd: {{{}}}\n{}\n",
            self.way_to_etcd(),
            self.settings
        );
        for vip in &self.vips {
            let written = write!(
                config,
                "---\napiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: \"{vip}\"\nlink: eth0\n"
            );
            written.expect("a string takes all that is written");
        }
        config
    }

    /// What a config says of etcd: where it is, and how its doors open.
    fn way_to_etcd(&self) -> String {
        let endpoints = self.etcd.endpoints();
        let endpoints: Vec<String> = endpoints.iter().map(|endpoint| format!("{endpoint:?}")).collect();
        let mut way = vec![format!("endpoints: [{}]", endpoints.join(", "))];
        if let Some(tls) = self.etcd.tls() {
            for (field, file) in [("caFile", &tls.ca), ("certFile", &tls.cert), ("keyFile", &tls.key)] {
                way.push(format!("{field}: {:?}", file.display().to_string()));
            }
        }
        if let Some((name, password)) = &self.user {
            let file = self.lab.directory().join("password");
            fs::write(&file, password)
                .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
            way.push(format!("username: {name:?}"));
            way.push(format!("passwordFile: {:?}", file.display().to_string()));
        }
        way.join(", ")
    }

    /// Starts a new agent on a node whose last one has ended.
    pub fn restart(&mut self, at: usize) {
        let config = self.config();
        let node = &mut self.nodes[at];
        node.agent = self.lab.agent(&node.host, &config);
    }

    /// Waits until an agent's session is live.
    pub fn wait_live(&self, at: usize) {
        let live = || self.status(at).filter(|status| status["session"]["state"] == "live");
        wait_for(format!("a live session of {}", self.nodes[at].host.name()), SOON, live);
    }

    /// What the agent on a node says of itself, if it runs.
    pub fn status(&self, at: usize) -> Option<serde_json::Value> {
        self.lab.status(&self.nodes[at].host)
    }

    /// Waits until what the agent on a node says of itself is as it should be, and gives it.
    #[track_caller]
    pub fn wait_status(
        &self,
        at: usize,
        what: &str,
        is_so: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let host = &self.nodes[at].host;
        let limit = SOON;
        let mut last = None;
        let end = now() + limit;
        while now() < end {
            last = self.status(at);
            if let Some(status) = last.take_if(|status| is_so(status)) {
                return status;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("waited {limit:?} in vain for {what} in the status of {}, which is {last:#?}", host.name())
    }

    /// Waits until a node answers for every VIP.
    pub fn wait_owner(&self, at: usize, since: Instant) {
        for vip in &self.vips {
            self.client.wait_answered(*vip, self.nodes[at].host.name(), since, SOON);
        }
    }

    /// Ends the play: what the client saw, once the judge has found everything in order.
    pub fn end(self) -> Probes {
        self.lab.verdict(Some(&self.history)).assert_in_order();
        self.client.stop()
    }

    /// Stops the first node's agent, which was owner, and waits until the second one answers for every VIP. From `since`
    /// until then they were answered without a break.
    ///
    /// But for one that the protocol itself demands, on a machine so busy that for nearly a whole right of the default
    /// timing etcd took no renewal of the owner's session: then there may be a break, and it is over when that is.
    pub fn end_with_a_move_and_no_break_before(mut self, since: Instant) {
        /// A right of the default timing less the time that a try may take, on its way there and on its way back.
        const DEMANDED_AFTER: Duration = Duration::from_millis(700);
        /// For how long a standby with the default timing waits where it heard of no release.
        const SILENCE: Duration = Duration::from_millis(2712);

        let until = now();
        for vip in &self.vips {
            // Answers come in order: what was sent before has been answered by now, or never will be.
            self.client.wait_answerer(*vip, until, SOON);
        }
        let stopped = now();
        assert!(self.nodes[0].agent.stop(SOON).success());
        self.wait_owner(1, stopped);
        let starved = self.history.longest_without_renewal(self.nodes[0].host.name(), since, until);
        for of_vip in self.end().iter() {
            let (vip, lost) = (of_vip.vip(), of_vip.lost_in(since..until));
            let gap = of_vip.longest_gap(since..until).map(|gap| gap.length());
            let demanded = starved > Some(DEMANDED_AFTER) && gap <= starved;
            let told = format!("no answer for {gap:?}; without a renewal of one session {starved:?} at most");
            assert!(lost == 0 || demanded, "{lost} probes to {vip} were lost: {told}");
            let moving = of_vip.longest_gap(stopped..).map(|gap| gap.length()).unwrap_or_default();
            assert!(moving < SILENCE, "{vip} took {moving:?} to move: the release was not heard");
        }
    }
}
