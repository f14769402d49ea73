//! The figures and their bounds, all in one place.

/// Something that is measured, and what it must not exceed.
#[derive(Debug, PartialEq)]
pub(super) struct Figure {
    /// What JSON calls it.
    pub(super) name: &'static str,
    /// What it says to a person.
    pub(super) what: &'static str,
    /// What it counts.
    pub(super) unit: &'static str,
    /// What its median must not exceed.
    pub(super) bound: f64,
    /// What is to be known when it is missed.
    pub(super) note: &'static str,
}

const fn figure(name: &'static str, what: &'static str, unit: &'static str, bound: f64) -> Figure {
    Figure { name, what, unit, bound, note: "" }
}

/// How long the client goes without an answer when the owner is stopped.
pub(super) const PLANNED_STOP: Figure =
    figure("planned_stop_gap", "planned stop: longest client gap", "ms", 20.0);

/// The same when its machine dies.
pub(super) const CRASH: Figure = figure("crash_gap", "crash, default timing: longest client gap", "s", 2.5);

/// How long after the end of its right a frozen owner still acts, asked all the time.
pub(super) const SILENCE: Figure =
    figure("silence_after_right", "frozen owner: end of right to silence on the wire", "ms", 1.0);

/// What is lost while a killed agent's successor resumes.
pub(super) const RESUME: Figure =
    figure("resume_lost", "resume within the right: lost probes", "probes", 0.0);

/// How long the client goes without an answer when somebody takes the address off.
pub(super) const REMOVED_BY_HAND: Figure =
    figure("removed_by_hand_gap", "address removed by hand: longest client gap", "ms", 100.0);

/// How long it takes from the start of the first agent until every VIP has been announced.
pub(super) const COLD_START: Figure =
    figure("cold_start", "256 VIPs: cold start to last announcement", "s", 2.0);

/// How long it takes from SIGTERM until every VIP is answered by the other node.
pub(super) const PLANNED_STOP_OF_MANY: Figure =
    figure("planned_stop_of_many", "256 VIPs: planned stop until the last answers elsewhere", "s", 0.5);

/// The memory of an idle owner.
pub(super) const IDLE_MEMORY: Figure =
    figure("idle_resident", "idle owner of one VIP: resident memory", "MiB", 20.0);

/// The processor time of an idle owner.
pub(super) const IDLE_PROCESSOR: Figure =
    figure("idle_processor", "idle owner of one VIP: share of one core", "%", 0.5);

/// What an owner and two standbys write: 1/R and twice 1/(5R), with the default R of 200 ms.
const WRITES_PER_SECOND: f64 = 7.0;

/// What they write for one VIP.
pub(super) const WRITES_FOR_ONE: Figure =
    figure("etcd_writes_one", "etcd writes: owner + 2 standbys, 1 VIP", "per s", WRITES_PER_SECOND);

/// What they write for many: the same.
pub(super) const WRITES_FOR_MANY: Figure =
    figure("etcd_writes_many", "etcd writes: owner + 2 standbys, 256 VIPs", "per s", WRITES_PER_SECOND);

/// What the programs cost per frame, over an empty program.
pub(super) const COSTS: [Figure; 7] = [
    figure("cost_other", "program: neither IP nor ARP", "ns", 5.0),
    figure("cost_other_ipv4", "program: IPv4 of another address", "ns", 12.0),
    figure("cost_other_ipv6", "program: IPv6 of another address", "ns", 12.0),
    figure("cost_vip_ipv4", "program: IPv4 to or from the VIP", "ns", 90.0),
    figure("cost_vip_ipv6", "program: IPv6 to or from the VIP", "ns", 90.0),
    figure("cost_arp", "program: ARP request answered", "ns", 130.0),
    figure("cost_ns", "program: solicitation answered", "ns", 350.0),
];

/// What the same cost with as many VIPs as there can be.
pub(super) const COSTS_OF_MANY: [Figure; 7] = [
    figure("cost_many_other", "4096 VIPs: neither IP nor ARP", "x", 1.2),
    figure("cost_many_other_ipv4", "4096 VIPs: IPv4 of another address", "x", 1.2),
    figure("cost_many_other_ipv6", "4096 VIPs: IPv6 of another address", "x", 1.2),
    figure("cost_many_vip_ipv4", "4096 VIPs: IPv4 to or from the VIP", "x", 1.2),
    figure("cost_many_vip_ipv6", "4096 VIPs: IPv6 to or from the VIP", "x", 1.2),
    figure("cost_many_arp", "4096 VIPs: ARP request answered", "x", 1.2),
    figure("cost_many_ns", "4096 VIPs: solicitation answered", "x", 1.2),
];

/// What an answer to a flood of ARP costs the owner at TC: a share of what the kernel's own responder takes.
pub(super) const FLOOD_TC: Figure =
    figure("flood_tc", "ARP flood: owner's time per answer, TC over kernel", "x", 1.0 / 1.5);

/// The same at native XDP.
pub(super) const FLOOD_XDP: Figure =
    figure("flood_xdp", "ARP flood: owner's time per answer, native XDP over kernel", "x", 1.0 / 3.0);
