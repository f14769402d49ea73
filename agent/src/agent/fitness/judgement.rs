//! The judgement: what was found, held against the timing.
//!
//! A right counts from before its renewal was sent, and the next renewal goes out R later. So what etcd may take for a
//! commit, and how long it may be without a leader, is D − R: beyond that the VIPs are dark until it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::machine::Machine;
use super::versions;
use crate::etcd::{Commits, Failure, Member, Survey};
use mantle_protocol::Timing;

/// How something fits; the worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// As it should be.
    Fine,
    /// It works, and could be better or safer.
    Advice,
    /// VIPs would be dark, or nothing would run at all.
    Unworkable,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub about: &'static str,
    /// How it fits.
    pub fitness: Fitness,
    /// What was found.
    pub found: String,
    /// What to do; nothing if it is fine.
    pub advice: Option<String>,
}

/// What etcd allows a database where it isn't told otherwise, and doesn't tell: `--quota-backend-bytes`.
const DEFAULT_QUOTA: u64 = 2 << 30;

/// What a renewal leaves in the database until it is compacted (measured).
const BYTES_PER_RENEWAL: u64 = 155;

/// How long etcd takes no writes when its leader dies.
struct Outage {
    shortest: Duration,
    typical: Duration,
    longest: Duration,
}

/// Holds what was found against the timing.
pub fn judge(survey: &Survey, machine: &Machine, timing: Timing) -> Vec<Finding> {
    let mut findings = vec![members(survey)];
    findings.extend(versions(survey));
    findings.extend(election(survey, timing));
    findings.extend(survey.commits.as_ref().map(|timed| commits(timed, timing)));
    findings.extend(survey.answering().map(|(url, member)| database(url, member)));
    findings.extend(compaction(survey, timing));
    findings.push(clock_source(machine));
    findings.push(time_namespace(machine));
    findings
}

impl Finding {
    fn new(about: &'static str, fitness: Fitness, found: String, advice: impl Into<String>) -> Self {
        let advice = (fitness > Fitness::Fine).then(|| advice.into());
        Self { about, fitness, found, advice }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.found)?;
        match &self.advice {
            Some(advice) => write!(f, ": {advice}"),
            None => Ok(()),
        }
    }
}

impl Fitness {
    /// One word for it, the same in text and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Advice => "advice",
            Self::Unworkable => "unworkable",
        }
    }
}

fn members(survey: &Survey) -> Finding {
    let answering = survey.answering().count();
    let found = format!("{answering} of {} endpoints answer", survey.members.len());
    let failures: Vec<_> = survey
        .members
        .iter()
        .filter_map(|(_, member)| member.as_ref().err())
        .map(ToString::to_string)
        .collect();
    let fitness = match (answering, failures.len()) {
        (0, _) => Fitness::Unworkable,
        (_, 0) => Fitness::Fine,
        _ => Fitness::Advice,
    };
    Finding::new("endpoints", fitness, found, failures.join("; "))
}

fn versions(survey: &Survey) -> Vec<Finding> {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (url, member) in survey.answering() {
        by_version.entry(&member.version).or_default().push(url);
    }
    let judged = by_version.into_iter().map(|(version, urls)| {
        let at = format!("etcd {version} at {}", urls.join(", "));
        match versions::trouble(version) {
            None => Finding::new("version", Fitness::Fine, at, ""),
            Some((what, remedy)) => Finding::new("version", Fitness::Advice, format!("{at} {what}"), remedy),
        }
    });
    judged.collect()
}

fn election(survey: &Survey, timing: Timing) -> Option<Finding> {
    let (_, slowest) = survey.answering().max_by_key(|(_, member)| member.shortest_lease)?;
    let (from, to) = slowest.election_timeout()?;
    let Outage { shortest, typical, longest } = outage(slowest.shortest_lease?);
    let rides_out = rides_out(timing);
    let dark = match (longest.saturating_sub(rides_out), shortest > rides_out) {
        (Duration::ZERO, _) => "which rights outlast".to_owned(),
        (dark, true) => format!(
            "each time more than the {rides_out:?} that rights outlast: VIPs dark for up to {dark:.1?}"
        ),
        (dark, false) => {
            format!("of which rights outlast {rides_out:?}: VIPs dark for up to {dark:.1?} at worst")
        }
    };
    let found = format!(
        "between {} and {} ms; when etcd's leader dies it takes no writes for {shortest:.1?} to {longest:.1?}, {dark}",
        from.as_millis(),
        to.as_millis()
    );
    let fitness = if typical > rides_out { Fitness::Advice } else { Fitness::Fine };
    let advice = "shorten it (etcd --heartbeat-interval 100 --election-timeout 500, or 50 and 250, where the members' disks \
                  and network keep up), or take a slower timing";
    Some(Finding::new("election time-out", fitness, found, advice))
}

/// What was measured: 1.05, 1.34 and 2.22 election time-outs at etcd's default of a second, which is the middle of what
/// a lease of 2 s may mean. One of 1 s may mean 50/250 ms (0.22, 0.28, 0.70 s) or 100/500 ms (0.44, 0.58, 1.29 s).
fn outage(shortest_lease: u32) -> Outage {
    if shortest_lease < 2 {
        let [shortest, typical, longest] = [220, 280, 1290].map(Duration::from_millis);
        return Outage { shortest, typical, longest };
    }
    let election_timeout = Duration::from_secs(u64::from(shortest_lease) * 2 - 1) / 3;
    let [shortest, typical, longest] = [1.05, 1.34, 2.22].map(|times| election_timeout.mul_f64(times));
    Outage { shortest, typical, longest }
}

fn commits(timed: &Result<Commits, Failure>, timing: Timing) -> Finding {
    let Commits { median, slowest } = match timed {
        Ok(commits) => *commits,
        Err(failure) => {
            let found = "none was carried out".to_owned();
            return Finding::new("commits", Fitness::Unworkable, found, failure.to_string());
        }
    };
    let rides_out = rides_out(timing);
    let found = format!("median {median:.1?}, slowest {slowest:.1?}; a renewal has {rides_out:?}");
    let disk = "look at the members' disks (fsync) and the network between them, or take a slower timing";
    let fitness = if median >= rides_out {
        Fitness::Unworkable
    } else if slowest > rides_out / 3 || median > timing.renew {
        Fitness::Advice
    } else {
        Fitness::Fine
    };
    Finding::new("commits", fitness, found, disk)
}

fn database(url: &str, member: &Member) -> Finding {
    let about = "database";
    let quota = member.quota.unwrap_or(DEFAULT_QUOTA);
    let whose =
        if member.quota.is_some() { "its quota" } else { "etcd's default quota (it doesn't tell its own)" };
    let percent = member.size.saturating_mul(100) / quota.max(1);
    let found = format!(
        "{} at {url}, {} of it in use; {percent} % of {}, {whose}",
        bytes(member.size),
        bytes(member.in_use),
        bytes(quota)
    );
    let make_room = "compact it, defragment one member after the other (etcdctl defrag)";
    if member.is_corrupt {
        let advice =
            "etcd found its members' data to differ: mend it by etcd's own guide before anything else";
        return Finding::new(about, Fitness::Unworkable, format!("{found}; alarm CORRUPT"), advice);
    }
    if member.is_full {
        let advice = format!("{make_room}, then disarm the alarm (etcdctl alarm disarm)");
        let found = format!("{found}; alarm NOSPACE: it takes no writes, and every VIP is dark");
        return Finding::new(about, Fitness::Unworkable, found, advice);
    }
    let fitness = if percent >= 70 { Fitness::Advice } else { Fitness::Fine };
    let advice =
        format!("a full etcd takes no writes, and every VIP goes dark: {make_room}, or raise the quota");
    Finding::new(about, fitness, found, advice)
}

fn compaction(survey: &Survey, timing: Timing) -> Option<Finding> {
    let about = "compaction";
    let (_, member) = survey.answering().max_by_key(|(_, member)| member.revision)?;
    let kept = u64::try_from(member.revision - member.compacted).unwrap_or(0);
    let daily = Duration::from_hours(24).as_millis() / timing.renew.as_millis().max(1);
    let daily = bytes(u64::try_from(daily).unwrap_or(u64::MAX).saturating_mul(BYTES_PER_RENEWAL));
    let let_it = "let etcd do it (--auto-compaction-mode periodic --auto-compaction-retention 5m); Kubernetes' API server does";
    if member.compacted == 0 {
        let found = format!(
            "never, in {kept} revisions; an owner's renewals alone leave {daily} a day until they are compacted"
        );
        return Some(Finding::new(about, Fitness::Advice, found, let_it));
    }
    let quota = member.quota.unwrap_or(DEFAULT_QUOTA);
    let found = format!("{kept} revisions since the last one");
    let is_seldom = kept.saturating_mul(BYTES_PER_RENEWAL) > quota / 4;
    let fitness = if is_seldom { Fitness::Advice } else { Fitness::Fine };
    Some(Finding::new(about, fitness, found, format!("it is too seldom: {let_it}")))
}

fn clock_source(machine: &Machine) -> Finding {
    let about = "clock source";
    let found = machine.clock_source.clone().unwrap_or_else(|| "the kernel doesn't say".to_owned());
    let (fitness, advice) = match found.as_str() {
        "hpet" | "acpi_pm" => (
            Fitness::Advice,
            "each look at the clock, one for each frame of a VIP, takes microseconds: see in the kernel's log why tsc was not \
             taken, or given up",
        ),
        "jiffies" | "refined-jiffies" => (
            Fitness::Advice,
            "it moves in steps of milliseconds, by which every right may be off: give the kernel a real one",
        ),
        _ => (Fitness::Fine, ""),
    };
    Finding::new(about, fitness, found, advice)
}

fn time_namespace(machine: &Machine) -> Finding {
    match &machine.shift {
        None => {
            Finding::new("time namespace", Fitness::Fine, "CLOCK_BOOTTIME is the machine's".to_owned(), "")
        }
        Some(shift) => Finding::new(
            "time namespace",
            Fitness::Unworkable,
            format!("CLOCK_BOOTTIME is shifted by {shift} for this process, but not for the kernel program"),
            "run mantle in the machine's own time namespace; it refuses to start in this one",
        ),
    }
}

/// For how long a right at least goes on once renewals cease to be acknowledged.
fn rides_out(timing: Timing) -> Duration {
    timing.lease.saturating_sub(timing.renew)
}

fn bytes(count: u64) -> String {
    let (unit, size) = match count {
        0..0x10_0000 => ("KiB", 1 << 10),
        0x10_0000..0x4000_0000 => ("MiB", 1 << 20),
        _ => ("GiB", 1 << 30),
    };
    format!("{}.{} {unit}", count / size, count % size * 10 / size)
}

#[cfg(test)]
mod tests;
