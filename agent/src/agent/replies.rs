//! Leads the replies of VIPs by their own link, where that is asked for.
//!
//! A thread of its own: to list a large routing table takes its time, for which neither the core nor the hands may wait. The
//! rules don't follow the owner: they say nothing while the address is elsewhere, so nothing has to be done at a move.
//!
//! Cancel-safety: the loop's `select!` waits on changes, of which none says more than that it is time to look; on the end,
//! which stays; and on a sleep that is made anew each turn.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::current_thread;
use crate::config::Config;
use crate::link::{OpenError, ReplyError, ReplyLink, RouteChanges, lead_replies, machine_links};

/// What changes comes in crowds.
const CROWD: Duration = Duration::from_millis(200);

/// How soon is tried again what failed.
const RETRY: Duration = Duration::from_secs(2);

/// No deadline: a look as seldom as this costs nothing.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The thread, while it keeps the rules and routes.
pub(super) struct Replies {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Replies {
    /// Leads replies as they should be from now on; what an earlier agent left is taken away in any case.
    pub(super) fn start(config: &Config) -> io::Result<Option<Self>> {
        if config.replies.is_empty() {
            clear();
            return Ok(None);
        }
        let runtime = current_thread()?;
        let config = config.clone();
        let mut keeper = Keeper { config, complained: None };
        // Before any VIP is worn.
        keeper.look();
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("mantle-replies".to_owned())
            .spawn(move || runtime.block_on(keeper.run(ended)))?;
        Ok(Some(Self { end, thread }))
    }

    /// Takes everything away; to be called when the VIPs' addresses are off.
    pub(super) fn close(self) {
        drop(self.end);
        // A panic would have ended the process.
        let _ = self.thread.join();
        clear();
    }
}

/// Takes away what an agent left.
pub(super) fn clear() {
    if let Err(error) = lead_replies(&[]) {
        tracing::error!("rules and routes for replies stay: {error}");
    }
}

struct Keeper {
    config: Config,
    /// What last went wrong, so that it is said once.
    complained: Option<String>,
}

impl Keeper {
    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let mut changes = None;
        loop {
            let open = match changes.take() {
                Some(open) => Ok(open),
                None => RouteChanges::open(),
            };
            let wait = if open.is_err() || self.complained.is_some() { RETRY } else { LONGEST_WAIT };
            changes = open.ok();
            tokio::select! {
                _ = &mut ended => return,
                () = changed(&mut changes) => sleep(CROWD).await,
                () = sleep(wait) => {}
            }
            if let Some(changes) = &mut changes {
                changes.forget();
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let led = self
            .wanted()
            .map_err(|error| error.to_string())
            .and_then(|wanted| lead_replies(&wanted).map_err(|error: ReplyError| error.to_string()));
        match led {
            Ok(0) => self.complained = None,
            Ok(changes) => {
                self.complained = None;
                tracing::info!(changes, "rules and routes lead the replies of VIPs by their own links");
            }
            Err(error) => {
                if self.complained.as_ref() != Some(&error) {
                    tracing::error!("replies may leave by another link than the VIP's: {error}");
                }
                self.complained = Some(error);
            }
        }
    }

    /// The links that are there, with their VIPs. A gateway is one only while the link is up.
    fn wanted(&self) -> Result<Vec<ReplyLink>, OpenError> {
        let inventory = machine_links()?;
        let there = self.config.replies.iter().filter_map(|(name, gateways)| {
            let link = inventory.find(name).ok()?;
            let vips = self.config.vips.iter().filter(|vip| vip.link == *name).map(|vip| vip.ip).collect();
            let gateways = if link.up { gateways.clone() } else { Vec::new() };
            Some(ReplyLink { index: link.index, vips, gateways })
        });
        Ok(there.collect())
    }
}

/// Waits for a change; for ever where there is no subscription.
async fn changed(changes: &mut Option<RouteChanges>) {
    let heard = match changes {
        Some(open) => open.next().await,
        None => std::future::pending().await,
    };
    if let Err(error) = heard {
        tracing::debug!("{error}");
        *changes = None;
    }
}
