//! The plan: what goes wrong when, made from a seed before anything is begun.

use std::fmt;
use std::time::Duration;

use mantle_protocol::Timing;

use super::dice::Dice;
use super::fault::{Fault, MemberFault, NodeFault, Which, Whom};

/// How many nodes compete. At most two of them are in trouble at a time, so that one may always be owner.
pub(super) const NODES: usize = 3;
/// How many members etcd has. At most one is in trouble at a time, so that the others have a majority.
pub(super) const MEMBERS: usize = 3;

/// What settling is expected to take after an episode; if it takes longer, the plan takes longer.
const SETTLING: Duration = Duration::from_millis(1500);

/// All that is going to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Each node's timing, by the name that a config gives it.
    pub(super) timings: [&'static str; NODES],
    /// One after the other, each when all is well again after the one before.
    pub(super) episodes: Vec<Episode>,
}

/// Faults that may overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Episode {
    /// In the order in which they begin.
    pub(super) faults: Vec<Planned>,
    /// How long nothing happens after all is well again.
    pub(super) rest: Duration,
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// What.
    pub(super) fault: Fault,
    /// When it begins, from the episode's beginning.
    pub(super) from: Duration,
    /// How long it lasts.
    pub(super) lasts: Duration,
}

impl Plan {
    /// Draws a plan that takes about so long.
    pub(super) fn draw(seed: u64, span: Duration) -> Self {
        let mut dice = Dice::new(seed);
        let timings = [(); NODES].map(|()| dice.pick(&["default", "default", "steady", "fast"]));
        let (mut episodes, mut taken) = (Vec::new(), Duration::ZERO);
        while taken < span {
            let episode = Episode::draw(&mut dice);
            taken += episode.length() + SETTLING + episode.rest;
            episodes.push(episode);
        }
        Self { timings, episodes }
    }

    /// Each node's timing.
    pub(super) fn timings(&self) -> [Timing; NODES] {
        self.timings.map(|name| Timing::preset(name).expect("the plan draws from the presets"))
    }
}

impl Episode {
    fn draw(dice: &mut Dice) -> Self {
        let mut faults = vec![Planned::draw(dice, Duration::ZERO, draw_any)];
        if dice.once_in(3) {
            let from = dice.millis(0..=2000);
            // A second member in trouble would leave etcd without a majority.
            let second = if faults[0].fault.is_etcd() { draw_of_node } else { draw_any };
            faults.push(Planned::draw(dice, from, second));
        }
        Self { faults, rest: dice.millis(200..=1500) }
    }

    /// How long it takes until its last fault is over.
    fn length(&self) -> Duration {
        self.faults.iter().map(|planned| planned.from + planned.lasts).max().unwrap_or_default()
    }
}

impl Planned {
    fn draw(dice: &mut Dice, from: Duration, draw: fn(&mut Dice) -> Fault) -> Self {
        let fault = draw(dice);
        // Shorter and longer than any node's right, and than any standby's silence.
        Self { fault, from, lasts: dice.millis(100..=5000) }
    }
}

impl Fault {
    /// Whether it happens to etcd itself.
    fn is_etcd(self) -> bool {
        matches!(self, Self::Member(..) | Self::SlowDisks(_))
    }
}

fn draw_any(dice: &mut Dice) -> Fault {
    if dice.once_in(3) { draw_of_etcd(dice) } else { draw_of_node(dice) }
}

fn draw_of_node(dice: &mut Dice) -> Fault {
    let spells = [dice.millis(300..=1500), dice.millis(2..=20), dice.millis(20..=400), dice.millis(20..=600)];
    let what = dice.pick(&[
        NodeFault::Killed,
        NodeFault::Killed,
        NodeFault::Crashed,
        NodeFault::Stopped,
        NodeFault::Frozen,
        NodeFault::Frozen,
        NodeFault::Starved { still: spells[0], awake: spells[1] },
        NodeFault::CutFromEtcd,
        NodeFault::CutFromSwitch,
        NodeFault::Flapping { down: spells[2], up: spells[3] },
    ]);
    // A standby's troubles are to disturb nobody: that is worth seeing too, but not as often.
    let some = Whom::Number(usize::try_from(dice.within(0..=NODES as u64 - 1)).expect("a small number"));
    Fault::Node(what, if dice.once_in(4) { some } else { Whom::Owner })
}

fn draw_of_etcd(dice: &mut Dice) -> Fault {
    let some = Which::Number(usize::try_from(dice.within(0..=MEMBERS as u64 - 1)).expect("a small number"));
    let which = if dice.once_in(3) { some } else { Which::Leader };
    let slow = Fault::SlowDisks(dice.millis(5..=25));
    dice.pick(&[
        Fault::Member(MemberFault::Killed, which),
        Fault::Member(MemberFault::Stopped, which),
        Fault::Member(MemberFault::Frozen, which),
        slow,
    ])
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:?} for {:?}", self.fault, self.from, self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_seed_gives_one_plan() {
        assert_eq!(Plan::draw(7, HOUR), Plan::draw(7, HOUR));
        assert_ne!(Plan::draw(7, HOUR), Plan::draw(8, HOUR));
    }

    #[test]
    fn a_longer_plan_begins_like_a_shorter_one() {
        let (short, long) = (Plan::draw(7, HOUR / 60), Plan::draw(7, HOUR));
        assert!(long.episodes.starts_with(&short.episodes) && long.episodes.len() > short.episodes.len());
    }

    #[test]
    fn somebody_may_be_owner_all_the_time() {
        for episode in Plan::draw(3, HOUR).episodes {
            let etcd = episode.faults.iter().filter(|planned| planned.fault.is_etcd()).count();
            assert!(etcd <= 1 && episode.faults.len() < NODES, "{episode:?}");
        }
    }

    #[test]
    fn in_an_hour_everything_goes_wrong() {
        let plan = Plan::draw(5, HOUR);
        let told: Vec<String> =
            plan.episodes.iter().flat_map(|episode| &episode.faults).map(ToString::to_string).collect();
        for what in [
            "the owner killed",
            "power",
            "stopped",
            "the owner frozen",
            "starved",
            "from etcd",
            "from the switch",
        ]
        .into_iter()
        .chain([
            "loose cable",
            "node 2",
            "leader killed",
            "leader frozen",
            "leader stopped",
            "member 0",
            "slower",
        ]) {
            assert!(told.iter().any(|fault| fault.contains(what)), "never {what}");
        }
        assert!(plan.episodes.iter().any(|episode| episode.faults.len() > 1));
    }
}
