//! What the guardian does when its agent is gone: wait for a new one, fence, release.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nix::fcntl::Flock;
use thiserror::Error;
use tokio::time::sleep;

use super::Vigil;
use super::vigil::Gone;
use crate::agent::hands::PARTING;
use crate::agent::runtime_dir::{self, RuntimeDirError};
use crate::agent::{RunError, current_thread, etcd_settings, pin_name, replies};
use crate::clock;
use crate::config::Config;
use crate::dataplane::{self, Dataplane, Look, LookError};
use crate::etcd::Etcd;
use crate::link::{Links, OpenError};
use crate::observe::log::{self, LogError, LogFormat};
use mantle_protocol::{Answer, Instant, OrphanedSession, Txn};

/// How long etcd is asked at most: from the silence on the standbys need no release any more, and a new agent may be
/// waiting for the lock.
const LONGEST_TRY: Duration = Duration::from_secs(4);

/// How long one listing may take before another is tried.
const LISTED_WITHIN: Duration = Duration::from_millis(500);

/// What lies between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// How often the kernel is asked to take off what still stands.
const REMOVALS: usize = 3;

/// Why the guardian could not do its work.
#[derive(Debug, Error)]
pub enum GuardError {
    /// The agent cannot be waited for.
    #[error("cannot wait for the agent's end: {0}")]
    Wait(#[source] io::Error),
    /// There is no log to tell it in.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What the agent was told cannot be used, or no runtime be had.
    #[error(transparent)]
    Agent(#[from] RunError),
    /// The runtime directory cannot be had.
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    /// The addresses cannot be read.
    #[error(transparent)]
    Links(#[from] OpenError),
    /// The kernel program cannot be told.
    #[error("the kernel program could not be told that the right is over: {0}")]
    Program(#[from] LookError),
}

/// Guards an agent to its end, and acts if that comes without a word.
pub fn guard(
    config: &Config,
    grace: Duration,
    vigil: Vigil,
    format: LogFormat,
    level: Option<&str>,
) -> Result<(), GuardError> {
    let Some(gone) = vigil.keep().map_err(GuardError::Wait)? else { return Ok(()) };
    let _flush = log::init(format, level)?;
    let done = current_thread().map_err(RunError::from)?.block_on(act(config, grace, gone));
    if let Err(error) = &done {
        tracing::error!("the guardian leaves the VIPs to the fences: {error}");
    }
    done
}

async fn act(config: &Config, grace: Duration, gone: Gone) -> Result<(), GuardError> {
    tracing::warn!(agent = %gone.agent, "the agent is gone without a word: another has {grace:?} to go on");
    let etcd = etcd_settings(config).map(Etcd::new);
    // Ready by the time it is needed.
    if let Ok(etcd) = &etcd {
        etcd.prepare();
    }
    sleep((gone.at + grace).since(clock::now())).await;
    let Some(lock) = runtime_dir::inherit(&config.runtime_dir, gone.agent)? else {
        tracing::info!("another agent goes on");
        return Ok(());
    };
    let machine = runtime_dir::machine(&config.runtime_dir)?;
    let fenced = fence(config)?;
    let until = clock::now() + config.timing.silence.min(LONGEST_TRY);
    // What can't be released is replaced all the same, later.
    let released = release(&etcd?, config, &machine, &fenced.standing, until).await;
    if !fenced.clear {
        tracing::error!(vips = ?fenced.standing, "addresses still stand here: their VIPs are not released");
    }
    if let Ok(vips) = released {
        tracing::warn!(vips, "no other agent came: what is silent here is released");
    } else {
        tracing::error!(
            "no other agent came, and etcd took no release: another node takes over once this one's silence is over"
        );
    }
    // Not before: it may take a moment, and some drivers reset the link.
    sleep(PARTING).await;
    if fenced.clear
        && let Err(error) = Dataplane::discard(&pin_name(&config.runtime_dir))
    {
        tracing::error!("the kernel program stays: {error}");
    }
    unlock(lock);
    Ok(())
}

fn unlock(lock: Flock<std::fs::File>) {
    // The agent's process id that stood there is nobody's any more.
    let _ = lock.set_len(0);
    drop(lock);
}

/// What the kernel says is left.
struct Fenced {
    /// The VIPs' addresses that still stand, whosever they are.
    standing: BTreeSet<IpAddr>,
    /// Whether all of the agent's own are off.
    clear: bool,
}

/// Silence, with the kernel's word for it (I4): the right ends, and the addresses go.
fn fence(config: &Config) -> Result<Fenced, GuardError> {
    let pin_name = pin_name(&config.runtime_dir);
    // First, since it silences all of them with one store, and the addresses go only one after the other.
    let revoked = Dataplane::revoke(&pin_name);
    let mut guarded: BTreeSet<IpAddr> = config.vips.iter().map(|vip| vip.ip).collect();
    if let Ok(Some(look)) = Look::open(&pin_name) {
        guarded.extend(look.vips()?.into_iter().map(|seen| seen.vip));
    }
    let mut links = Links::open()?;
    let mut left = links.leftovers()?;
    let own = |left: &[(u32, IpAddr)]| -> Vec<_> {
        left.iter().copied().filter(|(_, ip)| guarded.contains(ip)).collect()
    };
    for _ in 0..REMOVALS {
        let mine = own(&left);
        if mine.is_empty() {
            break;
        }
        for error in links.remove_all(&mine).into_iter().filter_map(Result::err) {
            tracing::error!("{error}");
        }
        left = links.leftovers()?;
    }
    let clear = own(&left).is_empty();
    if clear {
        if let Err(error) = dataplane::give_back(&config.runtime_dir) {
            tracing::error!("a link's settings stay changed: {error}");
        }
        replies::clear();
    }
    // Where it could not be told the program goes on answering until the right is over, whatever stands.
    revoked?;
    Ok(Fenced { standing: left.into_iter().map(|(_, ip)| ip).collect(), clear })
}

/// etcd took no release in time.
struct GaveUp;

/// Gives up what the agent's session still holds, but for what still stands; says how many VIPs that were.
///
/// Nobody but this process acts for the session while it has the lock, so what a refusal shows is something that the agent
/// had under way: it is taken into account, and tried again.
async fn release(
    etcd: &Etcd,
    config: &Config,
    machine: &str,
    standing: &BTreeSet<IpAddr>,
    until: Instant,
) -> Result<usize, GaveUp> {
    let left = || until.since(clock::now());
    let (mut vips, mut plan) = (0, Vec::new());
    loop {
        if left().is_zero() {
            return Err(GaveUp);
        }
        match etcd.listed_once(left().min(LISTED_WITHIN)).await {
            Ok(listed) => {
                // Gone by now: a first transaction whose answer was lost, or another node that took over.
                let Some(estate) = OrphanedSession::of(&listed, &config.node, machine) else { break };
                vips = estate.vips().filter(|vip| !standing.contains(vip)).count();
                plan = estate.release(standing);
                let Some(first) = plan.first() else { break };
                if matches!(etcd.commit(first, left()).await.answer, Answer::Done(_)) {
                    break;
                }
            }
            Err(Some(failure)) => tracing::debug!("{failure}"),
            Err(None) => {}
        }
        sleep(PAUSE.min(left())).await;
    }
    for txn in plan.iter().skip(1) {
        finish(etcd, txn, until).await?;
    }
    Ok(vips)
}

/// One of the further transactions, until etcd has decided on it. Refused is decided: somebody else changed a record.
async fn finish(etcd: &Etcd, txn: &Txn, until: Instant) -> Result<(), GaveUp> {
    loop {
        let left = until.since(clock::now());
        if left.is_zero() {
            return Err(GaveUp);
        }
        match etcd.commit(txn, left).await.answer {
            Answer::Done(_) | Answer::Refused { .. } => return Ok(()),
            Answer::Failed | Answer::Unknown => sleep(PAUSE).await,
        }
    }
}
