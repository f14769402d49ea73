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
    /// What its median must not exceed; if that is nothing, no value may.
    pub(super) bound: f64,
    /// What is to be known when it is missed.
    pub(super) note: &'static str,
}

const fn figure(name: &'static str, what: &'static str, unit: &'static str, bound: f64) -> Figure {
    Figure { name, what, unit, bound, note: "" }
}

/// One that is told and not judged.
const fn reported(name: &'static str, what: &'static str, unit: &'static str) -> Figure {
    figure(name, what, unit, f64::INFINITY)
}

/// How long the client goes without an answer when the owner is stopped.
pub(super) const PLANNED_STOP: Figure =
    figure("planned_stop_gap", "planned stop: longest client gap", "ms", 20.0);

/// The same when it is told to hand the VIP over.
pub(super) const HANDOFF_GAP: Figure = figure("handoff_gap", "mantle handoff: longest client gap", "ms", 2.0);
/// What is lost then.
pub(super) const HANDOFF_LOST: Figure = figure("handoff_lost", "  lost probes", "probes", 0.0);
/// How long it takes until the new owner tells everybody.
pub(super) const HANDOFF_ANNOUNCED: Figure =
    figure("handoff_announced", "  from the command to the new owner's announcement", "ms", 50.0);

/// What is told of moves under load, over moves in both modes and families: how much longer the load took than it was to.
pub(super) const HANDOFF_LOAD_RATE: Figure = Figure {
    name: "handoff_load_rate",
    what: "handoffs under load: load asked for, over the one reached",
    unit: "x",
    bound: 1.1,
    note: "all stations of the lab share this machine's processors; a load much too small fails the bench",
};
/// What was lost of a stream of datagrams, and of the client's probes.
pub(super) const HANDOFF_LOAD_LOST: Figure =
    figure("handoff_load_lost", "  lost of 10,000 datagrams and 1,000 probes a second", "lost", 0.0);
/// How often a move was refused, as the successor was not prepared in time, and asked for again.
pub(super) const HANDOFF_LOAD_REFUSED: Figure =
    figure("handoff_load_refused", "  moves refused and asked for again", "refused", 0.0);
/// What went wrong with open connections.
pub(super) const HANDOFF_LOAD_RESET: Figure =
    figure("handoff_load_reset", "  of 1,000 open connections broken", "broken", 0.0);
/// What went wrong with new ones.
pub(super) const HANDOFF_LOAD_FAILED: Figure =
    figure("handoff_load_failed", "  of 500 new connections a second failed", "failed", 0.0);
/// How long an open connection waited for an answer.
pub(super) const HANDOFF_LOAD_STALL: Figure =
    figure("handoff_load_stall", "  longest stall of an open connection", "ms", 250.0);
/// How long the client that probes went without an answer.
pub(super) const HANDOFF_LOAD_GAP: Figure =
    reported("handoff_load_gap", "  longest client gap around each move", "ms");
/// How long a download takes through which the VIP moves.
pub(super) const HANDOFF_BULK: Figure =
    figure("handoff_bulk", "download of 256 MiB through a handoff: time for a gigabit", "s", 1.0);

/// keepalived beside it, at its default: an advertisement a second.
pub(super) const KEEPALIVED: [Figure; 3] = [
    reported("keepalived_gap", "keepalived, advertisement 1 s: planned move, longest client gap", "ms"),
    reported("keepalived_lost", "  lost probes", "probes"),
    reported("keepalived_crash", "  crash, longest client gap", "s"),
];
/// And with one each 100 ms.
pub(super) const KEEPALIVED_FAST: [Figure; 3] = [
    reported(
        "keepalived_fast_gap",
        "keepalived, advertisement 100 ms: planned move, longest client gap",
        "ms",
    ),
    reported("keepalived_fast_lost", "  lost probes", "probes"),
    reported("keepalived_fast_crash", "  crash, longest client gap", "s"),
];

/// The same when its machine dies, etcd's leader being elsewhere.
pub(super) const CRASH: Figure = figure("crash_gap", "crash, default timing: longest client gap", "s", 1.5);
/// Likewise.
pub(super) const CRASH_FAST: Figure =
    figure("crash_gap_fast", "crash, timing fast: longest client gap", "s", 0.75);
/// Likewise.
pub(super) const CRASH_FASTEST: Figure =
    figure("crash_gap_fastest", "crash, timing fastest: longest client gap", "s", 0.4);

/// How long the client goes without an answer when etcd's leader dies with the owner's machine: reported, since it is
/// mostly etcd's own.
pub(super) const LEADER_1000: Figure =
    reported("crash_with_leader_1000", "crash with etcd's leader, etcd at 100/1000: longest client gap", "s");
/// Likewise.
pub(super) const LEADER_500: Figure =
    reported("crash_with_leader_500", "crash with etcd's leader, etcd at 100/500: longest client gap", "s");
/// Likewise.
pub(super) const LEADER_250: Figure =
    reported("crash_with_leader_250", "crash with etcd's leader, etcd at 50/250: longest client gap", "s");

/// What of that exceeds the silence, and the time in which etcd took no write.
pub(super) const LEADER_1000_BEYOND: Figure =
    figure("crash_with_leader_1000_beyond", "  beyond S and etcd's own outage", "ms", 200.0);
/// Likewise.
pub(super) const LEADER_500_BEYOND: Figure =
    figure("crash_with_leader_500_beyond", "  beyond S and etcd's own outage", "ms", 200.0);
/// Likewise.
pub(super) const LEADER_250_BEYOND: Figure =
    figure("crash_with_leader_250_beyond", "  beyond S and etcd's own outage", "ms", 200.0);

/// How long after the first of a dead owner's VIPs the last one is taken up.
pub(super) const TAKEOVER_OF_256: Figure =
    figure("takeover_of_256", "256 VIPs: takeover, from the first to the last", "ms", 150.0);
/// Likewise.
pub(super) const TAKEOVER_OF_1024: Figure =
    figure("takeover_of_1024", "1,024 VIPs: takeover, from the first to the last", "ms", 500.0);

/// How often a VIP changes its owner, though nothing happens to him but that the machine is busy and etcd's disks slow.
pub(super) const FALSE_ALARMS: Figure =
    figure("false_alarms", "timing fast, cores busy, disks 10 ms slower: changes of owner", "moves", 0.0);
/// What the client notices of it.
pub(super) const ALARM_GAP: Figure = reported("false_alarm_gap", "  longest client gap", "ms");

/// The same when its agent alone is killed, with the guardian at its default grace of 300 ms.
pub(super) const KILLED_AGENT: Figure =
    figure("killed_agent_gap", "killed agent, machine alive: longest client gap", "ms", 350.0);

/// How long it takes from there until the other node answers.
pub(super) const KILLED_AGENT_MOVED: Figure =
    figure("killed_agent_moved", "killed agent: kill to first answer elsewhere", "ms", 350.0);

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

/// The memory of its guardian.
pub(super) const IDLE_GUARDIAN: Figure =
    figure("idle_guardian_resident", "idle owner's guardian: resident memory", "MiB", 5.0);

/// The processor time of an idle owner.
pub(super) const IDLE_PROCESSOR: Figure =
    figure("idle_processor", "idle owner of one VIP: share of one core", "%", 0.5);

/// What an owner and two standbys write in a second: 1/R and twice 1/(5R).
const fn writes(id: &'static str, title: &'static str, renew_ms: f64) -> Figure {
    figure(id, title, "per s", 1400.0 / renew_ms)
}

/// What they write at each other timing.
pub(super) const WRITES_STEADY: Figure =
    writes("etcd_writes_steady", "etcd writes: owner + 2 standbys, timing steady", 500.0);
/// Likewise.
pub(super) const WRITES_FAST: Figure =
    writes("etcd_writes_fast", "etcd writes: owner + 2 standbys, timing fast", 100.0);
/// Likewise.
pub(super) const WRITES_FASTEST: Figure =
    writes("etcd_writes_fastest", "etcd writes: owner + 2 standbys, timing fastest", 50.0);

/// What they write for one VIP.
pub(super) const WRITES_FOR_ONE: Figure =
    writes("etcd_writes_one", "etcd writes: owner + 2 standbys, 1 VIP", 200.0);

/// What they write for many: the same.
pub(super) const WRITES_FOR_MANY: Figure =
    writes("etcd_writes_many", "etcd writes: owner + 2 standbys, 256 VIPs", 200.0);

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

/// How much longer a packet takes that a node which has handed the VIP over sends on: four in five come through.
pub(super) const FORWARD: Figure = Figure {
    name: "forward",
    what: "forwarding: time per packet, over the direct path",
    unit: "x",
    bound: 1.0 / 0.8,
    note: "one processor carries a packet all its way here, through the node before and twice through the switch",
};

/// What an answer to a flood of ARP costs the owner at TC: a share of what the kernel's own responder takes.
pub(super) const FLOOD_TC: Figure =
    figure("flood_tc", "ARP flood: owner's time per answer, TC over kernel", "x", 1.0 / 1.5);

/// The same at native XDP.
pub(super) const FLOOD_XDP: Figure =
    figure("flood_xdp", "ARP flood: owner's time per answer, native XDP over kernel", "x", 1.0 / 3.0);

/// How many requests reach the owner while a client probes a service on the VIP.
pub(super) const FLOOD_RATE: Figure =
    reported("flood_rate", "ARP flood beside a client: requests taken in", "per s");

/// What a client's probes of a service on the VIP meet with during the flood.
pub(super) const FLOOD_LOST: [Figure; 3] = [
    reported("flood_lost_kernel", "ARP flood, kernel answering: probes of a service lost", "%"),
    reported("flood_lost_tc", "ARP flood, TC answering: probes of a service lost", "%"),
    reported("flood_lost_xdp", "ARP flood, native XDP answering: probes of a service lost", "%"),
];

/// Likewise.
pub(super) const FLOOD_GAPS: [Figure; 3] = [
    reported("flood_gap_kernel", "  longest client gap, kernel answering", "ms"),
    reported("flood_gap_tc", "  longest client gap, TC answering", "ms"),
    reported("flood_gap_xdp", "  longest client gap, native XDP answering", "ms"),
];
