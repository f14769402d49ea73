//! Explaining gaps: each must have a cause among what was done and measured, and be within the bound of that cause.

use std::net::IpAddr;
use std::time::Duration;

use mantle_protocol::{Instant, Timing};

use super::STALLED;
use super::bounds::{Bounds, Sum};
use super::fault::{Fault, NodeFault};
use super::run::{NAMES, On, Suffered};
use crate::history::Change;
use crate::probe::Gap;

/// How much earlier than its cause a gap may seem to begin: a probe's interval, and what the client's thread waits for a
/// processor.
const EARLY: Duration = Duration::from_millis(50);

/// How long before and after a gap a busy machine may have had a part in it.
const AROUND: Duration = Duration::from_secs(1);

/// What there is to explain gaps by.
pub(super) struct Evidence<'a> {
    pub(super) suffered: &'a [Suffered],
    /// When etcd took no write from anybody.
    pub(super) outages: &'a [Gap],
    /// When the lab's own threads were kept waiting, however shortly.
    pub(super) stalls: &'a [Gap],
    /// Each node's.
    pub(super) timings: &'a [Timing],
}

/// Something that may leave a VIP dark.
#[derive(Clone, Debug)]
struct Cause {
    kind: &'static str,
    told: String,
    from: Instant,
    until: Instant,
    /// How long a gap it explains by itself; for some it is nothing.
    alone: Sum,
    /// How much longer it makes what another began.
    beside: Sum,
}

/// A cause as it counts for one gap.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    /// Without names and figures.
    pub(super) kind: &'static str,
    /// In a few words.
    pub(super) told: String,
    /// How much of a gap it explains.
    bound: Sum,
}

/// A gap and what explains it.
#[derive(Clone, Debug)]
pub(super) struct Explained {
    pub(super) vip: IpAddr,
    pub(super) gap: Gap,
    /// All of them together; none if nothing could have caused it.
    pub(super) reasons: Vec<Reason>,
    /// How long the lab's own threads were kept waiting around then: as long as anybody else's may have been.
    pub(super) kept_waiting: Duration,
}

impl Explained {
    /// How long the gap may be.
    pub(super) fn bound(&self) -> Sum {
        match &self.reasons[..] {
            [] => Sum::default(),
            [first, others @ ..] => others
                .iter()
                .fold(first.bound.clone(), |sum, reason| sum.and(&reason.bound))
                .busy(self.kept_waiting),
        }
    }

    /// Whether there is a cause, and the gap is within its bound.
    pub(super) fn is_explained(&self) -> bool {
        self.gap.length() <= self.bound().total()
    }
}

impl Evidence<'_> {
    /// Explains the gaps of one VIP, whose records changed like that.
    pub(super) fn explain(&self, vip: IpAddr, gaps: &[Gap], changes: &[Change]) -> Vec<Explained> {
        let causes = self.causes(changes);
        gaps.iter().map(|gap| explain(vip, *gap, &causes, self.kept_waiting(gap))).collect()
    }

    /// The longest time that a thread of the lab was kept waiting around a gap.
    fn kept_waiting(&self, gap: &Gap) -> Duration {
        let around = |stall: &&Gap| stall.from <= gap.to + AROUND && gap.from - AROUND <= stall.to;
        self.stalls.iter().filter(around).map(Gap::length).max().unwrap_or_default()
    }

    fn causes(&self, changes: &[Change]) -> Vec<Cause> {
        let faults = self.suffered.iter().filter_map(|suffered| self.fault(suffered, changes));
        let outages = self.outages.iter().map(|outage| {
            let owner = owner_at(changes, outage.from);
            let bounds = self.bounds(owner, outage);
            let before = owner.map_or(Duration::ZERO, |owner| self.unable_to_renew_before(owner, outage));
            Cause {
                kind: "etcd away",
                told: format!("etcd took no write for {} ms", outage.length().as_millis()),
                from: outage.from,
                until: outage.to + bounds.back().total(),
                alone: bounds.etcd_outage(outage.length(), before),
                beside: bounds.waited_for(outage.length()),
            }
        });
        let long = self.stalls.iter().filter(|stall| stall.length() >= STALLED);
        let stalls = long.map(|stall| {
            let bounds = self.bounds(owner_at(changes, stall.from), stall);
            Cause {
                kind: "machine stalled",
                told: format!("the machine kept a thread waiting for {} ms", stall.length().as_millis()),
                // Who waits is not the first one to.
                from: stall.from - AROUND,
                until: stall.to + bounds.back().total(),
                alone: bounds.stall(stall.length()),
                beside: bounds.waited_for(stall.length()),
            }
        });
        faults.chain(outages).chain(stalls).collect()
    }

    fn fault(&self, suffered: &Suffered, changes: &[Change]) -> Option<Cause> {
        let Suffered { fault, on, from, until } = suffered;
        let span = Gap { from: *from, to: *until };
        match (fault, on) {
            (Fault::Node(what, _), On::Node(node)) => {
                let held = held_within(changes, NAMES[*node], span)?;
                let bounds = self.bounds(Some(*node), &span);
                // Named when it could no longer act on it, it never answered.
                let answers_on = held.from <= *from;
                let bound = match what {
                    NodeFault::Starved { .. } => bounds.starved(span.length()),
                    NodeFault::Killed | NodeFault::Frozen | NodeFault::CutFromEtcd if answers_on => {
                        bounds.unable_to_renew()
                    }
                    NodeFault::Stopped | NodeFault::CutFromSwitch | NodeFault::Flapping { .. } => {
                        bounds.released()
                    }
                    NodeFault::Killed | NodeFault::Frozen | NodeFault::CutFromEtcd | NodeFault::Crashed => {
                        bounds.unreachable()
                    }
                };
                let until = held.to.min(*until) + bounds.back().total();
                let told = format!("{} {what}", NAMES[*node]);
                Some(Cause {
                    kind: what.kind(),
                    told,
                    from: held.from.max(*from),
                    until,
                    alone: bound.clone(),
                    beside: bound,
                })
            }
            (Fault::Member(what, _), On::Member(member)) => {
                Some(self.beside(format!("etcd-{} {what}", member + 1), &span, changes))
            }
            _ => Some(self.beside(fault.to_string(), &span, changes)),
        }
    }

    /// For how long a node had been unable to renew by itself when it could no more because of etcd: its last renewal is so much
    /// older then. (One that is starved renews now and then.)
    fn unable_to_renew_before(&self, node: usize, outage: &Gap) -> Duration {
        let unable = |it: &&Suffered| {
            matches!(it.fault, Fault::Node(NodeFault::Killed | NodeFault::Frozen | NodeFault::CutFromEtcd, _))
                && it.on == On::Node(node)
                && (it.from..=it.until).contains(&outage.from)
        };
        self.suffered.iter().filter(unable).map(|it| outage.from.since(it.from)).max().unwrap_or_default()
    }

    /// etcd's troubles: what of them nobody could write in is measured, and explains by itself.
    fn beside(&self, told: String, span: &Gap, changes: &[Change]) -> Cause {
        let beside = self.bounds(owner_at(changes, span.from), span).wait_begun_anew();
        Cause {
            kind: "etcd's member in trouble",
            told,
            from: span.from,
            until: span.to + beside.total(),
            alone: Sum::default(),
            beside,
        }
    }

    /// The timings of those concerned; without an owner it may be anybody, and the worst is meant.
    fn bounds(&self, owner: Option<usize>, span: &Gap) -> Bounds {
        let slowest = (0..self.timings.len()).max_by_key(|node| self.timings[*node].silence);
        let owner = owner.or(slowest).expect("there are nodes");
        let others = || (0..self.timings.len()).filter(|node| *node != owner);
        let able: Vec<Timing> =
            others().filter(|node| !self.is_in_trouble(*node, span)).map(|node| self.timings[node]).collect();
        let standbys = if able.is_empty() { others().map(|node| self.timings[node]).collect() } else { able };
        Bounds { owner: self.timings[owner], standbys }
    }

    fn is_in_trouble(&self, node: usize, span: &Gap) -> bool {
        self.suffered.iter().any(|it| it.on == On::Node(node) && it.from <= span.to && span.from <= it.until)
    }
}

fn explain(vip: IpAddr, gap: Gap, causes: &[Cause], kept_waiting: Duration) -> Explained {
    let touching: Vec<&Cause> =
        causes.iter().filter(|cause| cause.from <= gap.to && gap.from <= cause.until).collect();
    let begins = |cause: &&&Cause| cause.alone.total() > Duration::ZERO && cause.from <= gap.from + EARLY;
    let reason = |cause: &Cause, bound: &Sum| Reason {
        kind: cause.kind,
        told: cause.told.clone(),
        bound: bound.clone(),
    };
    let of = |reasons| Explained { vip, gap, reasons, kept_waiting };
    let fits = |cause: &&&Cause| {
        gap.to <= cause.until + 3 * kept_waiting
            && gap.length() <= cause.alone.clone().busy(kept_waiting).total()
    };
    if let Some(cause) = touching.iter().filter(begins).find(fits) {
        return of(vec![reason(cause, &cause.alone)]);
    }
    let Some(first) = touching.iter().filter(begins).max_by_key(|cause| cause.alone.total()) else {
        return of(Vec::new());
    };
    let others = touching.iter().filter(|cause| !std::ptr::eq(**cause, *first));
    of([reason(first, &first.alone)]
        .into_iter()
        .chain(others.map(|cause| reason(cause, &cause.beside)))
        .collect())
}

/// The time within a span for which a VIP is in a node's hands: from when the record names it until it names another node.
fn held_within(changes: &[Change], node: &str, span: Gap) -> Option<Gap> {
    let named: Vec<&Change> = changes.iter().filter(|change| change.owner.is_some()).collect();
    let held = named.iter().enumerate().filter(|(_, change)| change.owner.as_deref() == Some(node));
    let spells = held.map(|(index, change)| {
        let next = named[index..].iter().find(|change| change.owner.as_deref() != Some(node));
        Gap { from: change.at, to: next.map_or(Instant::from_boot(Duration::MAX), |next| next.at) }
    });
    let within = spells.filter(|spell| spell.from <= span.to && span.from <= spell.to);
    within.reduce(|first, later| Gap { from: first.from, to: later.to })
}

/// The node whose hands a VIP is in at an instant.
fn owner_at(changes: &[Change], at: Instant) -> Option<usize> {
    let last =
        changes.iter().rev().filter(|change| change.at <= at).find_map(|change| change.owner.as_deref())?;
    NAMES.iter().position(|name| *name == last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torment::fault::Whom;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn at(ms: u64) -> Instant {
        Instant::from_boot(Duration::from_secs(100) + Duration::from_millis(ms))
    }

    fn gap(from: u64, to: u64) -> Gap {
        Gap { from: at(from), to: at(to) }
    }

    /// Changes from "owner@millisecond" words; "-" is nobody.
    fn changes(words: &str) -> Vec<Change> {
        let change = |word: &str| {
            let (owner, ms) = word.split_once('@').unwrap();
            let owner = (owner != "-").then(|| owner.to_owned());
            Change { at: at(ms.parse().unwrap()), revision: 1, owner, handed: false }
        };
        words.split_whitespace().map(change).collect()
    }

    fn frozen(node: usize, from: u64, until: u64) -> Suffered {
        let fault = Fault::Node(NodeFault::Frozen, Whom::Number(node));
        Suffered { fault, on: On::Node(node), from: at(from), until: at(until) }
    }

    fn explained(suffered: &[Suffered], outages: &[Gap], gap: Gap, records: &str) -> (bool, Vec<String>) {
        let timings = [Timing::DEFAULT; 3];
        let evidence = Evidence { suffered, outages, stalls: &[], timings: &timings };
        let explained = evidence.explain(VIP, &[gap], &changes(records)).remove(0);
        (explained.is_explained(), explained.reasons.into_iter().map(|reason| reason.told).collect())
    }

    #[test]
    fn a_frozen_owner_explains_what_a_standby_waits_beyond_its_right() {
        let frozen = [frozen(0, 1000, 6000)];
        assert_eq!(explained(&frozen, &[], gap(1900, 2300), "a@0 b@2290"), (true, vec!["a frozen".into()]));
        assert!(!explained(&frozen, &[], gap(1900, 2800), "a@0 b@2790").0, "S + rank + margin − D = 550 ms");
    }

    #[test]
    fn a_busy_machine_adds_what_the_client_was_kept_waiting_for() {
        let (frozen, timings) = ([frozen(0, 1000, 6000)], [Timing::DEFAULT; 3]);
        let records = changes("a@0 b@2490");
        let with = |stalls: &[Gap]| {
            let evidence = Evidence { suffered: &frozen, outages: &[], stalls, timings: &timings };
            evidence.explain(VIP, &[gap(1900, 2500)], &records).remove(0).is_explained()
        };
        assert!(!with(&[]) && with(&[gap(2000, 2020)]));
    }

    #[test]
    fn a_frozen_standby_explains_nothing() {
        assert_eq!(explained(&[frozen(1, 1000, 6000)], &[], gap(1900, 2300), "a@0"), (false, vec![]));
    }

    #[test]
    fn what_comes_before_or_long_after_a_fault_is_not_its_doing() {
        let frozen = [frozen(0, 1000, 2000)];
        assert!(!explained(&frozen, &[], gap(900, 1100), "a@0").0);
        assert!(!explained(&frozen, &[], gap(4000, 4100), "a@0").0);
        // By then the VIP has long been another's.
        assert!(!explained(&[self::frozen(0, 1000, 9000)], &[], gap(6000, 6100), "a@0 b@2300").0);
    }

    #[test]
    fn etcd_away_explains_what_a_right_does_not_outlast() {
        let outage = [gap(1000, 2500)];
        assert!(explained(&[], &outage, gap(1900, 2600), "a@0").0);
        assert!(!explained(&[], &[gap(1000, 1200)], gap(1900, 2000), "a@0").0);
    }

    #[test]
    fn etcd_away_for_less_than_a_right_delays_a_takeover_and_darkens_nothing_by_itself() {
        let (frozen, outage) = ([frozen(0, 1000, 6000)], [gap(2200, 2500)]);
        assert!(explained(&frozen, &outage, gap(1900, 2800), "a@0 b@2790").0);
        assert!(!explained(&[], &outage, gap(2300, 2400), "a@0").0);
    }

    #[test]
    fn etcd_away_while_the_owner_could_not_renew_anyway_explains_what_a_right_does_not_outlast() {
        let (outage, dark) = ([gap(1400, 1650)], gap(1960, 2000));
        assert!(explained(&[frozen(0, 700, 1450)], &outage, dark, "a@0").0);
        assert!(!explained(&[frozen(0, 700, 1390)], &outage, dark, "a@0").0, "it could renew in between");
        assert!(!explained(&[frozen(1, 700, 1450)], &outage, dark, "a@0").0, "not the owner");
    }

    #[test]
    fn two_faults_at_once_explain_more_than_each_of_them() {
        let both = [frozen(0, 1000, 9000), frozen(1, 1500, 9000)];
        let (is_explained, causes) = explained(&both, &[], gap(1900, 3400), "a@0 b@2300 c@3390");
        assert!(is_explained && causes == ["a frozen", "b frozen"], "{causes:?}");
    }

    #[test]
    fn a_member_in_trouble_explains_nothing_by_itself() {
        use crate::torment::fault::{MemberFault, Which};
        let fault = Fault::Member(MemberFault::Frozen, Which::Number(1));
        let member = Suffered { fault, on: On::Member(1), from: at(1000), until: at(3000) };
        assert_eq!(explained(&[member], &[], gap(1900, 2000), "a@0"), (false, vec![]));
    }
}
