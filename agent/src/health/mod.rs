//! Checks that make a node ready: what stands behind a VIP is tried, and the results are judged.
//!
//! One thread, `mantle-health`, tries every check at its own pace and judges the results; it waits for sockets and clocks
//! only. Files are read and commands are run on threads of its runtime's pool, each within a limit that the judging side
//! keeps: whatever hangs there is a failure of that one check, and nothing else waits for it.

mod command;
mod http;
mod judgement;
mod probe;
mod tls;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use self::watcher::Watcher;
use crate::config::Check;
use mantle_protocol::{Health, Instant};

/// How long the end of a command that is cut short may take.
const END_WITHIN: Duration = Duration::from_secs(1);

/// What the checks say at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How the VIPs are judged that have any check.
    pub vips: BTreeMap<IpAddr, Health>,
    /// The checks, in the order of the configuration.
    pub checks: Vec<CheckLook>,
}

/// One check at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckLook {
    /// Its name.
    pub name: Arc<str>,
    /// What kind of check it is.
    pub kind: &'static str,
    /// What it tries, for a person.
    pub target: Arc<str>,
    /// The VIPs it speaks for; none: every VIP.
    pub vips: Option<Arc<BTreeSet<IpAddr>>>,
    /// What it is judged to be.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// What came of the last try.
    pub last: Option<Outcome>,
    /// How often it was tried.
    pub tries: u64,
    /// How many of the tries failed.
    pub failures: u64,
}

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// When it ended.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Arc<str>>,
}

impl Report {
    /// What speaks against wearing a VIP, for a person; nothing if nothing does.
    pub fn objection(&self, vip: IpAddr) -> Option<String> {
        let speaks = |check: &&CheckLook| check.speaks_for(vip) && check.health != Health::Good;
        // What fails says more than what is not known yet.
        self.checks.iter().filter(speaks).max_by_key(|check| check.health).map(ToString::to_string)
    }
}

impl CheckLook {
    /// Whether it has a say on a VIP.
    pub fn speaks_for(&self, vip: IpAddr) -> bool {
        self.vips.as_ref().is_none_or(|vips| vips.contains(&vip))
    }
}

impl fmt::Display for CheckLook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.health {
            Health::Good => "is good",
            Health::Unknown => "has not decided yet",
            Health::Failing => "fails",
        };
        write!(f, "check {} {verdict}", self.name)?;
        match &self.last {
            Some(Outcome { failure: Some(failure), .. }) => write!(f, ": {failure}"),
            Some(_) if self.health == Health::Failing => {
                f.write_str(": it succeeds, but not for long enough yet")
            }
            _ => Ok(()),
        }
    }
}

/// The running checks; they end when this is dropped.
#[derive(Debug)]
pub struct Checks {
    stop: Option<oneshot::Sender<()>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checks {
    /// Starts the checks of a node that has these VIPs. `tell` is given what they say: once before this returns, and from
    /// then on by the checks' thread.
    pub fn start(
        checks: &[Check],
        vips: &BTreeSet<IpAddr>,
        tell: impl FnMut(Report) + Send + 'static,
    ) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = oneshot::channel();
        let mut watcher = Watcher::new(checks, vips, tell);
        watcher.tell();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let flag = Arc::clone(&stopping);
        let thread = thread::Builder::new().name("mantle-health".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = watcher.run(flag) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(END_WITHIN);
        })?;
        Ok(Self { stop: Some(stop), stopping, thread: Some(thread) })
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        // First the commands: they are killed with all that they started.
        self.stopping.store(true, Ordering::Relaxed);
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
