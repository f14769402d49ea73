//! What a seed makes of a world: its nodes, their clocks, fences and timings, its VIPs, and what goes wrong.

use std::net::IpAddr;
use std::time::Duration;

use mantle_protocol::{Timing, WhenNobodyIsReady, least_silence};

use super::Limit;
use super::clock::{Clock, Micros};
use super::fault::Schedule;
use super::kernel::Fence;
use super::random::Random;

/// One node-to-be.
#[derive(Clone)]
pub(super) struct HostPlan {
    pub(super) name: String,
    /// What its clock makes of a true second.
    pub(super) rate: u64,
    pub(super) fence: Fence,
    /// The timing of its first agent, and of those after it.
    pub(super) timing: Timing,
    pub(super) later_timing: Timing,
    pub(super) priority: u32,
    /// How long it serves what it has handed over.
    pub(super) drain: Duration,
    /// After how long it gives way to a node of higher priority, if it does.
    pub(super) preempt: Option<Duration>,
    /// When its agent is first started.
    pub(super) starts: Micros,
}

/// A world-to-be.
pub(super) struct Plan {
    pub(super) hosts: Vec<HostPlan>,
    pub(super) vips: Vec<IpAddr>,
    pub(super) schedule: Schedule,
    /// The slowest that a message is on an ordinary way.
    pub(super) slowest: Micros,
    /// Whether news of one key may come in another order than it was made in, or twice, as old servers bring it.
    pub(super) unruly: bool,
    /// Whether requests meet bad luck: see `misfortune`.
    pub(super) unlucky: bool,
    /// What nodes do whose check fails while nobody else is ready.
    pub(super) when_nobody_is_ready: WhenNobodyIsReady,
    /// How often in a hundred times an agent is busy when something comes, and takes it in together with what comes next.
    pub(super) batched: u64,
    /// Whether the answer to an earlier try counts though a later one is under way.
    pub(super) hedged: bool,
    /// When all is to be well again.
    pub(super) well: Micros,
    /// Until when all is to stay well.
    pub(super) end: Micros,
    /// The one VIP that is in trouble, where the others must not notice (I8), and from when on that is judged.
    pub(super) alone: Option<(IpAddr, Micros)>,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let vips: Vec<IpAddr> = (1..=random.pick(&[1, 1, 1, 2, 2, 3, 5, 12]))
            .map(|last| IpAddr::from([10, 0, 0, last]))
            .collect();
        let mut hosts = draw_hosts(random);
        let silence = hosts.iter().map(HostPlan::silence).max().unwrap_or_default();
        if random.percent(4) {
            // Another machine by the first one's name.
            let mut twin = draw_host(random, hosts[0].timing, 0);
            twin.starts = random.between(0, 6 * silence);
            hosts.push(twin);
        }
        let schedule = Schedule::draw(random, hosts.len(), &vips, silence);
        let well = schedule.over.max(6 * silence) + recovery(&hosts, &schedule);
        Self {
            hosts,
            vips,
            schedule,
            slowest: random.pick(&[1_000, 3_000, 20_000]),
            unruly: random.percent(20),
            hedged: random.percent(30),
            unlucky: random.percent(20),
            when_nobody_is_ready: if random.percent(15) {
                WhenNobodyIsReady::Release
            } else {
                WhenNobodyIsReady::Hold
            },
            batched: random.pick(&[0, 10, 50]),
            well,
            end: well + 2 * silence,
            alone: None,
        }
    }

    /// A world in which all goes well, but for what concerns its first VIP.
    pub(super) fn draw_with_one_in_trouble(random: &mut Random) -> Self {
        let vips: Vec<IpAddr> =
            (1..=random.pick(&[2, 3, 5])).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let hosts = draw_hosts(random);
        let silence = hosts.iter().map(HostPlan::silence).max().unwrap_or_default();
        let schedule = Schedule::draw_for_one(random, hosts.len(), vips[0], silence);
        let well = schedule.over + recovery(&hosts, &schedule);
        let alone = Some((vips[0], 2 * silence));
        Self {
            hosts,
            vips,
            schedule,
            slowest: 1_000,
            unruly: false,
            hedged: false,
            unlucky: false,
            when_nobody_is_ready: WhenNobodyIsReady::Hold,
            batched: 10,
            well,
            end: well + 2 * silence,
            alone,
        }
    }

    /// A world in which something happens that the protocol does not survive yet.
    pub(super) fn draw_beyond(random: &mut Random, limit: Limit) -> Self {
        let mut plan = Self::draw_with_one_in_trouble(random);
        let silence = plan.hosts.iter().map(HostPlan::silence).max().unwrap_or_default();
        plan.alone = None;
        if limit == Limit::Cloned {
            // The machine that will be the clone: by the first one's name, and not started by itself.
            let mut clone = draw_host(random, plan.hosts[0].timing, 0);
            (clone.fence, clone.timing, clone.starts) =
                (plan.hosts[0].fence, plan.hosts[0].timing, Micros::MAX);
            clone.later_timing = clone.timing;
            plan.hosts.push(clone);
        }
        plan.schedule = Schedule::draw_beyond(random, limit, plan.hosts.len(), &plan.vips, silence);
        plan.well = plan.schedule.over + recovery(&plan.hosts, &plan.schedule);
        plan.end = plan.well + 2 * silence;
        plan
    }
}

impl HostPlan {
    /// How long it takes another to replace it, by the slowest clock.
    fn silence(&self) -> Micros {
        let of = |timing| {
            let plan = Self { timing, ..self.clone() };
            least_silence(plan.bound_by(plan.fence)).max(timing.silence)
        };
        Clock::new(Clock::SLOWEST, 0).truly(of(self.timing).max(of(self.later_timing)))
    }

    /// How long it may at worst go on answering after it sent a renewal, whatever fences it.
    pub(super) fn bound(&self) -> Duration {
        let later = Self { timing: self.later_timing, ..self.clone() };
        let of = |plan: &Self| plan.bound_by(Fence::Lifetime).max(plan.bound_by(plan.fence));
        of(self).max(of(&later))
    }

    /// How long that is behind a fence.
    pub(super) fn bound_by(&self, fence: Fence) -> Duration {
        match fence {
            Fence::Program => self.timing.lease,
            Fence::Lifetime => self.lifetime() + Duration::from_secs(1) + Self::ALLOWANCE,
        }
    }

    /// How long after a renewal was sent a lifetime may still be begun on it.
    pub(super) const ALLOWANCE: Duration = Duration::from_millis(150);

    /// The address's lifetime: whole seconds that cover the lease.
    pub(super) fn lifetime(&self) -> Duration {
        let lease = self.timing.lease;
        Duration::from_secs(lease.as_secs() + u64::from(lease.subsec_nanos() > 0))
    }
}

fn draw_hosts(random: &mut Random) -> Vec<HostPlan> {
    let count = random.pick(&[2, 2, 2, 3, 3, 3, 4, 6]);
    let timing = random.pick(&[Timing::DEFAULT, Timing::FAST, Timing::FAST, Timing::FASTEST]);
    (0..count).map(|number| draw_host(random, timing, number)).collect()
}

fn draw_host(random: &mut Random, usual: Timing, number: u8) -> HostPlan {
    let timings = [Timing::STEADY, Timing::DEFAULT, Timing::FAST, Timing::FASTEST];
    let timing = if random.percent(8) { random.pick(&timings) } else { usual };
    HostPlan {
        name: char::from(b'a' + number).to_string(),
        rate: random.pick(&[Clock::SLOWEST, Clock::FASTEST, 999_990, 1_000_010]),
        // Now and then an agent's next start finds another timing in its config.
        later_timing: if random.percent(15) { random.pick(&timings) } else { timing },
        fence: if random.percent(75) { Fence::Program } else { Fence::Lifetime },
        timing,
        priority: random.pick(&[100, 100, 100, 200]),
        drain: Duration::from_millis(random.pick(&[0, 50, 300, 2_000])),
        preempt: random.percent(15).then(|| Duration::from_millis(random.between(0, 1_000))),
        starts: random.between(0, 300_000),
    }
}

/// The bound on how long after the last fault every VIP is answered for again: a node that lost its own name's session
/// waits for that, the others may then wait for what it held; each waits anew once it has listed anew.
fn recovery(hosts: &[HostPlan], schedule: &Schedule) -> Micros {
    let silence = hosts.iter().map(HostPlan::silence).max().unwrap_or_default();
    let renew =
        hosts.iter().map(|host| host.timing.renew.max(host.later_timing.renew)).max().unwrap_or_default();
    let slower = hosts.iter().map(HostPlan::bound).max().unwrap_or_default();
    let slower = Clock::new(Clock::SLOWEST, 0).truly(least_silence(slower));
    let silence = if schedule.changes_fences() { silence.max(slower) } else { silence };
    let steps = Clock::new(Clock::SLOWEST, 0).truly(30 * renew);
    let unknown = Clock::new(Clock::SLOWEST, 0).truly(least_silence(Timing::LONGEST_BOUND));
    3 * silence + steps + if schedule.has_unknown_holders() { unknown } else { 0 }
}
