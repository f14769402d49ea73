//! How long a VIP may be dark for a fault: arithmetic from the nodes' timings, with every term named.

use std::fmt;
use std::time::Duration;

use mantle_protocol::{Timing, retry_for};

/// What real processes add to any of these times: commits, netlink, the first packets to a new MAC. What waiting for a
/// processor adds is measured: [`Sum::busy`].
const MARGIN: Duration = Duration::from_millis(150);

/// What a try at an endpoint that keeps silent costs before the next one is asked.
const TRY: Duration = Duration::from_millis(150);

/// A time made up of named terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// Added or, if not `true`, taken off.
    terms: Vec<(bool, &'static str, Duration)>,
}

/// The timings of those concerned.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Of the node in whose hands the VIP is.
    pub(super) owner: Timing,
    /// Of those that could take it.
    pub(super) standbys: Vec<Timing>,
}

impl Bounds {
    /// The owner falls silent towards others, and its kernel goes on answering until its right is over: killed, frozen,
    /// starved or cut off from etcd. Dark is what the standbys wait beyond that.
    pub(super) fn unable_to_renew(&self) -> Sum {
        self.unreachable().minus("D", self.owner.lease)
    }

    /// The owner runs for moments only. What it sends in them keeps the others waiting, and what is answered may come too late
    /// to give it a right: the VIP may be dark for as long as that goes on.
    pub(super) fn starved(&self, lasts: Duration) -> Sum {
        Sum::of("starved", lasts).and(&self.unable_to_renew())
    }

    /// Nobody reaches the owner any more, and nobody hears of it: without power.
    pub(super) fn unreachable(&self) -> Sum {
        let (silence, turn) = self.soonest(|standby| self.silence(standby));
        Sum::of("S", silence).plus("rank", turn).plus("margin", MARGIN)
    }

    /// The owner gives up by itself: stopped, or without a link. A transaction that failed is tried again after R.
    pub(super) fn released(&self) -> Sum {
        let (_, turn) = self.soonest(|_| Duration::ZERO);
        Sum::of("R", self.owner.renew).plus("rank", turn).plus("margin", MARGIN)
    }

    /// etcd takes nothing for a time, and before that the owner may have been unable to renew by itself for another; its last
    /// renewal may be R old then, and the next one may come late.
    pub(super) fn etcd_outage(&self, outage: Duration, before: Duration) -> Sum {
        let away = Sum::of("outage", outage);
        let away = if before.is_zero() { away } else { away.plus("before", before) };
        away.plus("R", self.owner.renew).minus("D", self.owner.lease).and(&self.back())
    }

    /// What a member's trouble adds to a fault of others: who watched there lists anew and begins its wait anew, and
    /// what was sent there is sent again elsewhere.
    pub(super) fn wait_begun_anew(&self) -> Sum {
        let (silence, turn) = self.soonest(|standby| self.silence(standby));
        Sum::of("S", silence)
            .plus("rank", turn)
            .plus("try", TRY)
            .plus("R", self.owner.renew)
            .plus("margin", MARGIN)
    }

    /// Nothing can be written, or nobody writes, while others wait to take over; then a standby's next renewal comes within R,
    /// and it gives the owner the time in which that tries twice.
    pub(super) fn waited_for(&self, away: Duration) -> Sum {
        let renew = self.standbys.iter().map(|standby| standby.renew).min().unwrap_or_default();
        let chance = 2 * retry_for(self.owner.lease);
        Sum::of("away", away).plus("R", renew).plus("chance", chance).plus("try", TRY).plus("margin", MARGIN)
    }

    /// Within what time after a fault is over, or another node is named in the record, the VIP is answered for again.
    pub(super) fn back(&self) -> Sum {
        Sum::of("try", TRY).plus("R", self.owner.renew).plus("margin", MARGIN)
    }

    /// The whole machine stood still: rights may have ended meanwhile.
    pub(super) fn stall(&self, stall: Duration) -> Sum {
        Sum::of("stall", stall).plus("R", self.owner.renew).plus("margin", MARGIN)
    }

    /// What the standby that is soonest waits: by `wait`, and for its turn, which is R/4 for each of those who may go before
    /// it, the owner of before and those who are gone included.
    fn soonest(&self, wait: impl Fn(&Timing) -> Duration) -> (Duration, Duration) {
        let others = u32::try_from(self.standbys.len()).expect("a few nodes");
        let waits = self.standbys.iter().map(|standby| (wait(standby), standby.renew / 4 * others));
        waits.min_by_key(|(wait, turn)| *wait + *turn).expect("somebody stands by")
    }

    /// How long a standby waits for the owner. That etcd works it has asked just before.
    fn silence(&self, standby: &Timing) -> Duration {
        standby.silence_for(self.owner.lease)
    }
}

impl Sum {
    fn of(name: &'static str, term: Duration) -> Self {
        Self { terms: vec![(true, name, term)] }
    }

    fn plus(mut self, name: &'static str, term: Duration) -> Self {
        self.terms.push((true, name, term));
        self
    }

    fn minus(mut self, name: &'static str, term: Duration) -> Self {
        self.terms.push((false, name, term));
        self
    }

    /// On a machine where a thread was kept waiting for so long, each of those who act one after the other may have been:
    /// etcd, the agent's core, and its hands.
    pub(super) fn busy(self, kept_waiting: Duration) -> Self {
        if kept_waiting.is_zero() { self } else { self.plus("busy", 3 * kept_waiting) }
    }

    /// The terms of both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.terms.extend_from_slice(&other.terms);
        self
    }

    /// What they come to; nothing if more is taken off than is there.
    pub(super) fn total(&self) -> Duration {
        let sum = |added: bool| {
            self.terms.iter().filter(|term| term.0 == added).map(|term| term.2).sum::<Duration>()
        };
        sum(true).saturating_sub(sum(false))
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (added, name, term)) in self.terms.iter().enumerate() {
            let sign = match (index, added) {
                (0, true) => "",
                (_, true) => " + ",
                (_, false) => " − ",
            };
            write!(f, "{sign}{name} {}", term.as_millis())?;
        }
        write!(f, " = {} ms", self.total().as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_shows_its_arithmetic() {
        let bounds = Bounds { owner: Timing::DEFAULT, standbys: vec![Timing::DEFAULT; 2] };
        let told = bounds.unable_to_renew().to_string();
        assert_eq!(told, "S 1300 + rank 100 + margin 150 − D 1000 = 550 ms");
        assert_eq!(
            bounds.etcd_outage(Duration::from_millis(1200), Duration::ZERO).to_string(),
            "outage 1200 + R 200 − D 1000 + try 150 + R 200 + margin 150 = 900 ms"
        );
    }

    #[test]
    fn a_standby_with_another_timing_waits_for_the_owners_right() {
        let bounds = Bounds { owner: Timing::FAST, standbys: vec![Timing::STEADY] };
        // 650 ms by the rule, and the 50 ms by which it is more patient than that.
        assert_eq!(bounds.silence(&Timing::STEADY), Duration::from_millis(700));
        let both = Bounds { owner: Timing::FAST, standbys: vec![Timing::STEADY, Timing::FAST] };
        assert_eq!(
            both.unreachable().to_string(),
            "S 650 + rank 50 + margin 150 = 850 ms",
            "the sooner one takes it"
        );
    }

    #[test]
    fn less_than_nothing_is_nothing() {
        assert_eq!(
            Sum::of("R", Duration::from_millis(1)).minus("D", Duration::from_secs(1)).total(),
            Duration::ZERO
        );
    }
}
