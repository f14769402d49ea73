//! HTTP on the addresses that are chosen for it by subnet: as the choice changes, so does what is listened on.
//!
//! Cancel-safety: the loop's `select!` waits on a watch channel, of which the newest value is read in any case, and on a
//! sleep that is made anew each turn.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::observe::{Feed, http, listen, serve};

/// How soon is tried again what could not be listened on: an address may come back.
const RETRY: Duration = Duration::from_secs(5);

/// No retry: the choice changes first.
const NEVER: Duration = Duration::from_hours(24);

/// Serves on `port` of the addresses that `chosen` says, until whoever chooses is gone.
pub(super) async fn serve_chosen(mut chosen: watch::Receiver<Vec<IpAddr>>, port: u16, feed: Feed) {
    let mut tasks = JoinSet::new();
    let mut served: BTreeMap<IpAddr, AbortHandle> = BTreeMap::new();
    let mut complained = false;
    loop {
        let wanted = chosen.borrow_and_update().clone();
        served.retain(|ip, task| {
            let stays = wanted.contains(ip);
            if !stays {
                task.abort();
            }
            stays
        });
        let mut failed = false;
        for ip in wanted {
            if served.contains_key(&ip) {
                continue;
            }
            match listen::tcp(SocketAddr::new(ip, port)).await {
                Ok(listener) => {
                    tracing::info!(%ip, port, "HTTP is served here too");
                    let router = http::public(feed.clone());
                    served.insert(ip, tasks.spawn(serve::serve(listener, router, serve::Limits::default())));
                }
                Err(error) => {
                    if !complained {
                        tracing::error!("{error}; trying again");
                    }
                    failed = true;
                }
            }
        }
        complained = failed;
        tokio::select! {
            changed = chosen.changed() => if changed.is_err() {
                return;
            },
            () = sleep(if failed { RETRY } else { NEVER }) => {}
        }
    }
}
