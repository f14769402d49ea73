//! What `mantle check` prints: lines for people, or a document.

use std::io::{self, Write, stdout};
use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::fitness::{Finding, Fitness};
use crate::config::{Config, Findings};
use crate::etcd::{Member, Survey};

/// What to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// What was found out about etcd and the machine's clocks.
pub(super) struct Online {
    pub(super) survey: Survey,
    pub(super) findings: Vec<Finding>,
}

impl Online {
    /// The worst of all.
    pub(super) fn fitness(&self) -> Fitness {
        self.findings.iter().map(|finding| finding.fitness).max().unwrap_or(Fitness::Fine)
    }
}

/// All that was found.
pub(super) struct Report<'a> {
    pub(super) config: &'a Config,
    pub(super) findings: &'a Findings,
    pub(super) online: Option<&'a Online>,
}

impl Report<'_> {
    /// Prints it.
    pub(super) fn print(&self, format: Format) -> io::Result<()> {
        let mut out = stdout();
        match format {
            Format::Text => out.write_all(self.text().as_bytes()),
            Format::Json => writeln!(out, "{:#}", self.json()),
        }
    }

    fn warnings(&self) -> impl Iterator<Item = String> {
        self.config.warnings.iter().chain(&self.findings.warnings).map(ToString::to_string)
    }

    fn text(&self) -> String {
        let mut lines: Vec<_> = self.findings.errors.iter().map(|error| format!("error: {error}")).collect();
        lines.extend(self.warnings().map(|warning| format!("warning: {warning}")));
        if self.findings.errors.is_empty() {
            lines.extend(self.config.vips.iter().map(|vip| format!("ok: {} on {}", vip.ip, vip.link)));
        }
        for finding in self.online.iter().flat_map(|online| &online.findings) {
            lines.push(format!("{}: {}: {}", finding.fitness.name(), finding.about, finding.found));
            lines.extend(finding.advice.as_ref().map(|advice| format!("    {advice}")));
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn json(&self) -> Value {
        let errors: Vec<_> = self.findings.errors.iter().map(ToString::to_string).collect();
        let vip = |vip: &crate::config::Vip| json!({"vip": vip.ip, "link": vip.link});
        json!({
            "version": 1,
            "errors": errors,
            "warnings": self.warnings().collect::<Vec<_>>(),
            "vips": self.config.vips.iter().map(vip).collect::<Vec<_>>(),
            "online": self.online.map(online),
        })
    }
}

fn online(online: &Online) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "about": finding.about,
            "fitness": finding.fitness.name(),
            "found": finding.found,
            "advice": finding.advice,
        })
    };
    let endpoint = |(url, member): &(String, Result<Member, crate::etcd::Failure>)| {
        let error = member.as_ref().err().map(ToString::to_string);
        json!({"endpoint": url, "error": error, "member": member.as_ref().ok().map(of_member)})
    };
    let commits = match &online.survey.commits {
        Some(Ok(commits)) => {
            json!({"median_ms": millis(commits.median), "slowest_ms": millis(commits.slowest), "error": null})
        }
        Some(Err(failure)) => json!({"median_ms": null, "slowest_ms": null, "error": failure.to_string()}),
        None => Value::Null,
    };
    json!({
        "fitness": online.fitness().name(),
        "findings": online.findings.iter().map(finding).collect::<Vec<_>>(),
        "endpoints": online.survey.members.iter().map(endpoint).collect::<Vec<_>>(),
        "commits": commits,
    })
}

fn of_member(member: &Member) -> Value {
    let election = member.election_timeout();
    json!({
        "version": member.version,
        "db_size": member.size,
        "db_in_use": member.in_use,
        "db_quota": member.quota,
        "alarm_nospace": member.is_full,
        "alarm_corrupt": member.is_corrupt,
        "revision": member.revision,
        "compacted": member.compacted,
        "shortest_lease_s": member.shortest_lease,
        "election_timeout_ms": election.map(|(least, most)| [least.as_millis(), most.as_millis()].map(whole)),
    })
}

fn whole(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// Milliseconds; microseconds are all that a network round trip is worth telling.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
