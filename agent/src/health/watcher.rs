//! The checks' thread: tries each at its pace, judges the results, tells what they come to.
//!
//! Cancel-safety: the loop's `select!` waits on a channel, whose results leave it only as they are received, and on a sleep
//! that is made anew each turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::sleep;

use super::judgement::Judgement;
use super::probe::Prober;
use super::{CheckLook, Outcome, Report};
use crate::clock;
use crate::config::Check;
use mantle_protocol::{Health, Instant};

/// How often it is told what came of the tries while no verdict changes.
const EVERY: Duration = Duration::from_millis(250);

/// The checks and what they came to.
pub(super) struct Watcher<T> {
    checks: Vec<Watched>,
    vips: BTreeSet<IpAddr>,
    tell: T,
    /// When what is not told yet is due.
    due: Option<Instant>,
}

struct Watched {
    check: Check,
    judgement: Judgement,
    look: CheckLook,
}

impl<T: FnMut(Report)> Watcher<T> {
    pub(super) fn new(checks: &[Check], vips: &BTreeSet<IpAddr>, tell: T) -> Self {
        let since = clock::now();
        let watched = |check: &Check| Watched {
            check: check.clone(),
            judgement: Judgement::new(check.pace),
            look: CheckLook {
                name: check.name.as_str().into(),
                kind: check.kind.name(),
                target: check.kind.to_string().into(),
                vips: check.vips.as_ref().map(|vips| Arc::new(vips.iter().copied().collect())),
                health: Health::Unknown,
                since,
                last: None,
                tries: 0,
                failures: 0,
            },
        };
        Self { checks: checks.iter().map(watched).collect(), vips: vips.clone(), tell, due: None }
    }

    /// Tries and judges, until it is dropped; commands end early once `stopping`.
    pub(super) async fn run(mut self, stopping: Arc<AtomicBool>) {
        let (results, mut outcomes) = mpsc::unbounded_channel();
        for (at, watched) in self.checks.iter().enumerate() {
            let prober = Prober::new(&watched.check, Arc::clone(&stopping));
            tokio::spawn(keep_trying(prober, watched.check.pace.interval, at, results.clone()));
        }
        loop {
            let wait = self.due.map_or(EVERY, |due| due.since(clock::now()));
            tokio::select! {
                Some((at, outcome)) = outcomes.recv() => self.take(at, outcome),
                () = sleep(wait), if self.due.is_some() => self.tell(),
            }
        }
    }

    /// Tells what the checks say now.
    pub(super) fn tell(&mut self) {
        self.due = None;
        let checks = self.checks.iter().map(|watched| watched.look.clone()).collect();
        let report = Report { vips: self.verdicts(), checks };
        (self.tell)(report);
    }

    /// How each VIP is judged that has any check: as badly as the worst of them is.
    fn verdicts(&self) -> BTreeMap<IpAddr, Health> {
        let verdict = |vip: &IpAddr| {
            let speaking = self.checks.iter().filter(|watched| watched.look.speaks_for(*vip));
            Some((*vip, speaking.map(|watched| watched.look.health).max()?))
        };
        self.vips.iter().filter_map(verdict).collect()
    }

    fn take(&mut self, at: usize, outcome: Outcome) {
        let Watched { judgement, look, .. } = &mut self.checks[at];
        let (now, failure) = (outcome.at, outcome.failure.clone());
        let news = judgement.take(now, failure.is_none());
        look.tries += 1;
        look.failures += u64::from(failure.is_some());
        look.last = Some(outcome);
        if !news {
            self.due.get_or_insert(now + EVERY);
            return;
        }
        (look.health, look.since) = (judgement.health(), now);
        if let Some(failure) = failure {
            tracing::warn!(check = %look.name, "the check fails: {failure}");
        } else {
            tracing::info!(check = %look.name, "the check succeeds");
        }
        self.tell();
    }
}

/// Tries one check again and again; a try that takes longer than the interval delays the next one.
async fn keep_trying(
    mut prober: Prober,
    interval: Duration,
    at: usize,
    results: UnboundedSender<(usize, Outcome)>,
) {
    loop {
        let began = clock::now();
        let failure = prober.probe().await.err().map(Into::into);
        let now = clock::now();
        if results.send((at, Outcome { at: now, took: now.since(began), failure })).is_err() {
            return;
        }
        sleep((began + interval).since(now)).await;
    }
}
