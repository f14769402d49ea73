//! What can go wrong in a world, and when it does.

use std::net::IpAddr;

use mantle_protocol::Health;

use super::Limit;
use super::clock::Micros;
use super::random::Random;

/// One thing that goes wrong, or is put right.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The agent stops where it is; its kernel goes on.
    Freeze(usize),
    /// It goes on.
    Thaw(usize),
    /// The agent is killed; its kernel goes on.
    Kill(usize),
    /// An agent is started, if none runs: with its predecessor's runtime directory or without.
    Start { at: usize, remembers: bool, vips: Vec<IpAddr> },
    /// The machine loses its power.
    Crash(usize),
    /// The machine is booted.
    Boot(usize),
    /// Somebody wants the node to hand a VIP over, to another or to any.
    Move { at: usize, vip: IpAddr, to: Option<usize> },
    /// The node's check judges a VIP so.
    Judge(usize, IpAddr, Health),
    /// No connection is left on what the node has handed over.
    Drained(usize, IpAddr),
    /// The agent is told to end.
    Stop(usize),
    /// Nothing gets from the node to etcd, nor back.
    CutEtcd(usize),
    /// It does again.
    JoinEtcd(usize),
    /// The node's watch falls silent.
    CutWatch(usize),
    /// It listens anew.
    JoinWatch(usize),
    /// etcd commits nothing.
    Stall,
    /// It does again, what waited first.
    Resume,
    /// etcd's disk is slow.
    SlowDisk,
    /// It is fast again.
    FastDisk,
    /// Every message may be lost.
    Loss,
    /// None is.
    NoLoss,
    /// The links of these VIPs are not ready on the node.
    Unready(usize, Vec<IpAddr>),
    /// They are.
    Ready(usize),
    /// Nothing that is ordered for this VIP succeeds on the node.
    Sick(usize, IpAddr),
    /// It does again.
    Well(usize, IpAddr),
    /// The node's link gets another MAC.
    NewCard(usize),
    /// The kernel program no longer sees what arrives: only lifetimes fence the node.
    Blind(usize),
    /// It does again.
    Sighted(usize),
    /// etcd's state is kept as it is.
    Snapshot,
    /// etcd is stopped, and started again with the state that was kept; every watch breaks.
    Restore,
    /// The first machine goes on running a second time, as the last one.
    Clone,
    /// Each netlink call takes long on the node.
    SlowApplier(usize),
    /// It does not.
    FastApplier(usize),
    /// Somebody deletes the node's session.
    DeleteSession(usize),
    /// Somebody writes nonsense over the node's session.
    SpoilSession(usize),
    /// Somebody writes nonsense over the VIP's record.
    SpoilRecord(IpAddr),
    /// Somebody deletes the VIP's record.
    DeleteRecord(IpAddr),
}

/// A kind of trouble, with what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Freeze,
    Kill,
    Crash,
    Stop,
    /// VIPs are moved on purpose, back and forth.
    Moves,
    /// A node's check fails for a while.
    Failing,
    CutEtcd,
    CutWatch,
    CutBoth,
    Stall,
    SlowDisk,
    Loss,
    Unready,
    Sick,
    SlowApplier,
    NewCard,
    Blind,
    DeleteSession,
    /// Sessions come and go faster than the applier can follow.
    Unsettled,
    /// A node hears nothing while another's session is replaced.
    Missed,
    SpoilSession,
    SpoilRecord,
    DeleteRecord,
    /// A record is spoiled while whoever may own its VIP is frozen, and a node starts that never saw it.
    SpoiledUnseen,
    /// A node hears nothing, and then learns at once that a session that was renewed meanwhile is gone, its agent frozen.
    MissedEnd,
    /// A VIP is moved to one and the same node again and again, whose applier is slow.
    MovedAgain,
}

/// Any kind but a record that is changed by somebody else.
const OWN_KINDS: [Kind; 24] = [
    Kind::Freeze,
    Kind::Kill,
    Kind::Crash,
    Kind::Stop,
    // As often as all the trouble that can meet it would like.
    Kind::Moves,
    Kind::Moves,
    Kind::Failing,
    Kind::CutEtcd,
    Kind::CutWatch,
    Kind::CutBoth,
    Kind::Stall,
    Kind::SlowDisk,
    Kind::Loss,
    Kind::Unready,
    Kind::Sick,
    Kind::SlowApplier,
    Kind::NewCard,
    Kind::Blind,
    Kind::DeleteSession,
    Kind::Unsettled,
    Kind::Missed,
    Kind::SpoilSession,
    Kind::MissedEnd,
    Kind::MovedAgain,
];

/// A record that somebody else changes is mended by an owner that hears of it, and presumed to be held by those that
/// knew its holder. So this goes with neither nodes that know nothing yet nor nodes that hear nothing: there no protocol
/// could tell a foreign hand's word from an owner's.
const FOREIGN_KINDS: [Kind; 9] = [
    Kind::SpoilRecord,
    Kind::DeleteRecord,
    Kind::Moves,
    Kind::Freeze,
    Kind::CutEtcd,
    Kind::Stall,
    Kind::SlowDisk,
    Kind::Unready,
    Kind::SlowApplier,
];

/// A node that knows nothing yet can tell that a record was spoiled, though not that one was deleted.
const UNSEEN_KINDS: [Kind; 5] =
    [Kind::SpoiledUnseen, Kind::SpoiledUnseen, Kind::Freeze, Kind::Moves, Kind::SlowApplier];

/// The faults of a world, each with its time.
pub(super) struct Schedule {
    pub(super) faults: Vec<(Micros, Fault)>,
    /// When the last of them is over.
    pub(super) over: Micros,
}

impl Schedule {
    /// Draws the faults for a world of so many hosts, whose times are counted in the silence it takes to be replaced.
    pub(super) fn draw(random: &mut Random, hosts: usize, vips: &[IpAddr], silence: Micros) -> Self {
        let mut schedule = Self { faults: Vec::new(), over: 0 };
        let palette: &[Kind] = match random.between(0, 99) {
            0..8 => &FOREIGN_KINDS,
            8..12 => &UNSEEN_KINDS,
            _ => &OWN_KINDS,
        };
        // Few kinds, often: trouble of one kind meets itself.
        let kinds: Vec<Kind> = (0..random.between(1, 4)).map(|_| random.pick(palette)).collect();
        let begin = 2 * silence;
        let end = begin + random.between(1, 8) * silence;
        for _ in 0..random.between(1, 10) {
            let kind = random.pick(&kinds);
            let at = random.between(begin, end);
            let lasts = match random.between(0, 3) {
                0 => random.between(0, silence / 4),
                1 => random.between(silence / 2, silence * 5 / 4),
                _ => random.between(0, silence * 5 / 2),
            };
            schedule.add(random, kind, at, at + lasts, (hosts, vips));
        }
        schedule
    }

    /// Draws faults that concern one VIP alone.
    pub(super) fn draw_for_one(random: &mut Random, hosts: usize, vip: IpAddr, silence: Micros) -> Self {
        let mut schedule = Self { faults: Vec::new(), over: 0 };
        for _ in 0..random.between(5, 15) {
            let (at, from) = (random.index(hosts), random.between(0, 6 * silence));
            let to = from + random.between(0, 3 * silence);
            match random.index(4) {
                0 => schedule.pair(from, Fault::Sick(at, vip), to, Fault::Well(at, vip)),
                1 => schedule.pair(from, Fault::Unready(at, vec![vip]), to, Fault::Ready(at)),
                2 => schedule.one(from, Fault::SpoilRecord(vip)),
                _ => schedule.one(from, Fault::DeleteRecord(vip)),
            }
        }
        schedule
    }

    /// Draws faults that the protocol does not survive yet.
    pub(super) fn draw_beyond(
        random: &mut Random,
        limit: Limit,
        hosts: usize,
        vips: &[IpAddr],
        silence: Micros,
    ) -> Self {
        let mut schedule = Self { faults: Vec::new(), over: 0 };
        let begin = 2 * silence;
        let (at, vip) = (random.index(hosts), random.pick(vips));
        let end = begin + random.between(1, 4) * silence;
        match limit {
            Limit::RecordLost => {
                // Whoever could rewrite it hears nothing, and the node that starts never saw it.
                for other in (0..hosts).filter(|other| *other != at) {
                    schedule.pair(begin, Fault::CutWatch(other), end, Fault::JoinWatch(other));
                }
                schedule.one(begin + 1_000, Fault::DeleteRecord(vip));
                let start = Fault::Start { at, remembers: false, vips: vips.to_vec() };
                schedule.pair(begin - 1_000, Fault::Kill(at), begin + 2_000, start);
            }
            Limit::Restored => {
                schedule.one(begin, Fault::Snapshot);
                for _ in 0..random.between(0, 4) {
                    let kind = random.pick(&[Kind::Moves, Kind::Kill, Kind::DeleteSession]);
                    let from = random.between(begin, end);
                    schedule.add(random, kind, from, from + silence, (hosts, vips));
                }
                schedule.one(end, Fault::Restore);
                let start = Fault::Start { at, remembers: false, vips: vips.to_vec() };
                schedule.pair(end + silence, Fault::Kill(at), end + 2 * silence, start);
            }
            Limit::Cloned => schedule.one(begin, Fault::Clone),
        }
        schedule
    }

    fn add(
        &mut self,
        random: &mut Random,
        kind: Kind,
        from: Micros,
        to: Micros,
        (hosts, vips): (usize, &[IpAddr]),
    ) {
        let at = random.index(hosts);
        let vip = random.pick(vips);
        let some = |random: &mut Random| vips.iter().copied().filter(|_| random.percent(60)).collect();
        let start = |random: &mut Random, remembers| {
            let vips = if random.percent(15) { some(random) } else { vips.to_vec() };
            Fault::Start { at, remembers, vips }
        };
        match kind {
            Kind::Freeze => self.pair(from, Fault::Freeze(at), to, Fault::Thaw(at)),
            Kind::Kill => {
                let remembers = random.percent(75);
                let start = start(random, remembers);
                self.pair(from, Fault::Kill(at), to, start);
            }
            Kind::Crash => {
                self.one(from, Fault::Crash(at));
                if random.percent(70) {
                    let start = start(random, false);
                    self.pair(to, Fault::Boot(at), to + 1, start);
                }
            }
            Kind::Stop => {
                self.one(from, Fault::Stop(at));
                // The agent gives up what it could not release in time, and ends.
                self.one(from + 5_000_000, Fault::Kill(at));
                if random.percent(70) {
                    let start = start(random, true);
                    self.one(from + 5_000_000 + (to - from), start.clone());
                    self.one(to, start);
                }
            }
            Kind::Moves => {
                // Whoever is asked: only an owner can tell.
                for _ in 0..random.between(1, 12) {
                    let when = random.between(from, to);
                    let (at, vip) = (random.index(hosts), random.pick(vips));
                    let to = random.percent(30).then(|| random.index(hosts));
                    self.one(when, Fault::Move { at, vip, to });
                    if random.percent(20) {
                        self.one(when + random.between(0, 100_000), Fault::Drained(at, vip));
                    }
                }
            }
            Kind::Failing => {
                self.pair(
                    from,
                    Fault::Judge(at, vip, Health::Failing),
                    to,
                    Fault::Judge(at, vip, Health::Good),
                );
            }
            Kind::CutEtcd => self.pair(from, Fault::CutEtcd(at), to, Fault::JoinEtcd(at)),
            Kind::CutWatch => self.pair(from, Fault::CutWatch(at), to, Fault::JoinWatch(at)),
            Kind::CutBoth => {
                self.pair(from, Fault::CutEtcd(at), to, Fault::JoinEtcd(at));
                self.pair(from, Fault::CutWatch(at), to, Fault::JoinWatch(at));
            }
            Kind::Stall => self.pair(from, Fault::Stall, to, Fault::Resume),
            Kind::SlowDisk => self.pair(from, Fault::SlowDisk, to, Fault::FastDisk),
            Kind::Loss => self.pair(from, Fault::Loss, to, Fault::NoLoss),
            Kind::Unready => {
                let some = some(random);
                self.pair(from, Fault::Unready(at, some), to, Fault::Ready(at));
            }
            Kind::Sick => self.pair(from, Fault::Sick(at, vip), to, Fault::Well(at, vip)),
            Kind::SlowApplier => self.pair(from, Fault::SlowApplier(at), to, Fault::FastApplier(at)),
            Kind::NewCard => self.one(from, Fault::NewCard(at)),
            // Perhaps for good.
            Kind::Blind if random.percent(20) => self.one(from, Fault::Blind(at)),
            Kind::Blind => self.pair(from, Fault::Blind(at), to, Fault::Sighted(at)),
            Kind::DeleteSession => self.one(from, Fault::DeleteSession(at)),
            Kind::Unsettled => {
                self.pair(from, Fault::SlowApplier(at), to, Fault::FastApplier(at));
                for _ in 0..3 {
                    self.one(random.between(from, to), Fault::DeleteSession(at));
                }
            }
            Kind::Missed => {
                self.pair(from, Fault::CutWatch(at), to, Fault::JoinWatch(at));
                let other = random.index(hosts);
                self.one(random.between(from, to), Fault::DeleteSession(other));
            }
            Kind::SpoilSession => self.one(from, Fault::SpoilSession(at)),
            Kind::SpoilRecord => self.one(from, Fault::SpoilRecord(vip)),
            Kind::DeleteRecord => self.one(from, Fault::DeleteRecord(vip)),
            Kind::SpoiledUnseen => self.spoil_unseen((from, to), at, vip, (hosts, vips)),
            Kind::MissedEnd => {
                let end = random.between(from, to);
                self.miss_an_end((from, end, to), at, (at + 1) % hosts);
            }
            Kind::MovedAgain => {
                self.pair(from, Fault::SlowApplier(at), to, Fault::FastApplier(at));
                for _ in 0..random.between(2, 8) {
                    let when = random.between(from, to);
                    for owner in (0..hosts).filter(|owner| *owner != at) {
                        self.one(when, Fault::Move { at: owner, vip, to: Some(at) });
                    }
                }
            }
        }
    }

    fn spoil_unseen(
        &mut self,
        (from, to): (Micros, Micros),
        at: usize,
        vip: IpAddr,
        (hosts, vips): (usize, &[IpAddr]),
    ) {
        for other in (0..hosts).filter(|other| *other != at) {
            self.pair(from, Fault::Freeze(other), to, Fault::Thaw(other));
        }
        self.one(from, Fault::Kill(at));
        self.one(from + 1, Fault::SpoilRecord(vip));
        self.one(from + 2, Fault::Start { at, remembers: false, vips: vips.to_vec() });
    }

    fn miss_an_end(&mut self, (from, end, to): (Micros, Micros, Micros), at: usize, other: usize) {
        self.pair(from, Fault::CutWatch(at), to, Fault::JoinWatch(at));
        self.pair(end, Fault::Freeze(other), to, Fault::Thaw(other));
        self.one(end + 1, Fault::DeleteSession(other));
        self.one(end + 2, Fault::JoinWatch(at));
    }

    fn one(&mut self, at: Micros, fault: Fault) {
        self.over = self.over.max(at);
        self.faults.push((at, fault));
    }

    fn pair(&mut self, from: Micros, begins: Fault, to: Micros, ends: Fault) {
        self.one(from, begins);
        self.one(to, ends);
    }
}

impl Schedule {
    /// Whether a node's fence becomes slower for a while.
    pub(super) fn changes_fences(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Blind(_)))
    }

    /// Whether it may come to a record of which nobody can tell who holds the VIP.
    pub(super) fn has_unknown_holders(&self) -> bool {
        let unknown = |fault: &Fault| {
            matches!(fault, Fault::SpoilRecord(_) | Fault::DeleteRecord(_) | Fault::SpoilSession(_))
        };
        self.faults.iter().any(|(_, fault)| unknown(fault))
    }
}
