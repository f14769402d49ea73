//! The look at etcd beside a running agent: once in full, with a line in the log; then every so often its sizes.
//!
//! Runs on the side thread, over connections of its own: no renewal waits for it, and it begins late enough that it is not
//! in the way of the first claim. May be dropped at any await.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::judgement::{Finding, Fitness, judge};
use super::machine::Machine;
use crate::etcd::{Survey, Surveyor};
use crate::observe::Feed;
use mantle_protocol::Timing;

/// By then the first VIPs are claimed.
const FIRST_AFTER: Duration = Duration::from_secs(3);

/// A database grows slowly, and etcd is asked by every node.
const EVERY: Duration = Duration::from_mins(1);

/// Looks, until it is dropped.
pub(in crate::agent) async fn watch(mut surveyor: Surveyor, timing: Timing, feed: Feed) {
    let machine = Machine::find_out();
    let mut told = Told::default();
    let mut commits = None;
    sleep(FIRST_AFTER).await;
    loop {
        // Renewals go on telling how long a commit takes: once is enough.
        let mut survey = if commits.is_none() { surveyor.survey().await } else { surveyor.sizes().await };
        // Without any answer there is nothing to show that the session doesn't tell better.
        if survey.answering().next().is_some() {
            commits = survey.commits.take().or(commits);
            survey.commits.clone_from(&commits);
            told.tell(&survey, &judge(&survey, &machine, timing));
            feed.surveyed(survey);
        }
        sleep(EVERY).await;
    }
}

/// What was told: the first look in one line, and later what has become worse.
#[derive(Default)]
struct Told(Option<BTreeMap<&'static str, Fitness>>);

impl Told {
    fn tell(&mut self, survey: &Survey, findings: &[Finding]) {
        let wrong = findings.iter().filter(|finding| finding.fitness > Fitness::Fine);
        let is_worse = |finding: &&Finding| match &self.0 {
            None => true,
            Some(told) => told.get(finding.about).is_none_or(|before| *before < finding.fitness),
        };
        let worse: Vec<String> = wrong.filter(is_worse).map(Finding::to_string).collect();
        let found = findings.iter().map(|finding| (finding.about, finding.fitness));
        match (&self.0, worse.is_empty()) {
            (None, true) => tracing::info!("etcd fits the timing: {}", summary(survey)),
            (None, false) => tracing::warn!("looked at etcd: {}; {}", summary(survey), worse.join("; ")),
            (Some(_), true) => {}
            (Some(_), false) => tracing::warn!("etcd has become worse: {}", worse.join("; ")),
        }
        let mut now = BTreeMap::new();
        for (about, fitness) in found {
            let known = now.entry(about).or_insert(fitness);
            *known = fitness.max(*known);
        }
        self.0 = Some(now);
    }
}

/// The figures, for one line.
fn summary(survey: &Survey) -> String {
    let members: Vec<_> = survey
        .answering()
        .map(|(url, member)| format!("{} at {url}, {} KiB", member.version, member.size / 1024))
        .collect();
    let commits = match &survey.commits {
        Some(Ok(commits)) => {
            format!("; a commit takes {:.1?}, {:.1?} at most", commits.median, commits.slowest)
        }
        _ => String::new(),
    };
    format!("{}{commits}", members.join("; "))
}
