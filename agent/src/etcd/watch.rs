//! Following our keys: a list, then every change from there on; and anew from the list when the watch breaks.
//!
//! etcd's watch streams do not reconnect, and a stream that is open and says nothing may be dead: `hasleader` ends it only after
//! three election time-outs, and only if the member knows it is cut off. But our own renewals lie below the prefix. So when
//! etcd has acknowledged one and the watch does not show it within a second, the watch is silent and begins anew at another
//! endpoint.
//!
//! When another address has been chosen to speak to etcd from, the watch goes there too: a second one begins over the
//! endpoint's new connection with what the first has shown last, and takes its place. So nothing is missed, nothing is lost in between,
//! and what both have shown is told twice, which the protocol passes over (I6).
//!
//! [`Etcd::follow`] may be dropped at any await: it keeps nothing outside itself, and a new one begins with a list.

use std::collections::HashMap;
use std::time::Duration;

use etcd_client::{Event, EventType, KeyValue, WatchResponse, WatchStream};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant as Deadline, sleep, sleep_until};

use super::backoff::{Backoff, Pace, dice};
use super::begin::Begun;
use super::classify::classify;
use super::endpoint::Connection;
use super::failure::{Cause, Errand};
use super::handle::Etcd;
use super::keyspace::Foreign;
use super::list::Listing;
use super::news::{Loss, SHOWN_WITHIN, StoreEvent};
use super::ranking;
use crate::clock;
use mantle_protocol::{Change, Revision};

/// A watch that lived this long was sound: when it breaks the next one begins without much of a wait.
const SOUND_AFTER: Duration = Duration::from_secs(5);

/// How long the watch stays where it is when it could not go where it is to.
const SUCCEED_EVERY: Duration = Duration::from_secs(5);

/// How many foreign keys are remembered as told: a bound on memory, whoever fills our prefix.
const MOST_FOREIGN: usize = 1024;

/// A watch that runs.
struct Watching {
    number: usize,
    connection: Connection,
    stream: WatchStream,
    /// The newest revision that was told.
    shown: Revision,
}

struct Follower {
    etcd: Etcd,
    events: UnboundedSender<StoreEvent>,
    foreign: HashMap<String, Revision>,
    told: Told,
}

/// What was told of the loss that lasts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// There is none.
    Nothing,
    /// A reason that may pass by itself.
    Passing,
    /// One that lasts until somebody mends it.
    Lasting,
}

impl Etcd {
    /// Tells `events` what our keys are and how they change, until nobody listens any more.
    pub async fn follow(self, events: UnboundedSender<StoreEvent>) {
        let listeners = events.clone();
        let follower = Follower { etcd: self, events, foreign: HashMap::new(), told: Told::Nothing };
        tokio::select! {
            () = follower.run() => {}
            () = listeners.closed() => {}
        }
    }
}

impl Follower {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut avoid = None;
        loop {
            let begun = clock::now();
            let loss = match self.begin(avoid).await {
                Ok(watching) => {
                    avoid = Some(watching.number);
                    self.watch(watching).await
                }
                Err(loss) => loss,
            };
            let asked = loss == Loss::Asked;
            self.lose(loss);
            if asked {
                continue;
            }
            if clock::now().since(begun) > SOUND_AFTER {
                backoff.succeeded();
            }
            let wait = backoff.failed(clock::now(), Pace::BRISK, dice());
            tokio::select! {
                () = sleep(wait) => {}
                () = self.etcd.restart_asked() => {}
            }
        }
    }

    /// A list told and a watch begun.
    async fn begin(&mut self, avoid: Option<usize>) -> Result<Watching, Loss> {
        let order = ranking::order_avoiding(&self.etcd.standings(), self.etcd.favourite(), avoid);
        let Begun { number, connection, listing, stream } =
            self.etcd.begin_watch(&order).await.map_err(|why| why.map_or(Loss::NoEndpoint, Loss::Failed))?;
        let Listing { revision, stored } = listing;
        let changes = self.changes(&stored);
        self.tell(StoreEvent::Listed { revision, changes });
        self.told = Told::Nothing;
        Ok(Watching { number, connection, stream, shown: revision })
    }

    /// Tells what the watch shows until it ends, and why it did.
    async fn watch(&mut self, mut watching: Watching) -> Loss {
        let mut acknowledged = self.etcd.acknowledgements();
        let mut newest_own = 0;
        let mut overdue = Overdue::default();
        let endpoint = self.etcd.endpoint(watching.number).clone();
        // At most one; while it begins, the watch there is goes on.
        let mut successor = FuturesUnordered::new();
        loop {
            overdue.update(watching.shown, newest_own);
            tokio::select! {
                biased;
                message = watching.stream.message() => {
                    if let Err(loss) = self.take(&mut watching, message) {
                        return loss;
                    }
                }
                () = self.etcd.restart_asked() => return Loss::Asked,
                revision = overdue.wait() => return self.silent(&watching, revision),
                revision = next(&mut acknowledged) => newest_own = revision,
                connection = endpoint.moved(&watching.connection), if successor.is_empty() => {
                    successor.push(succeed(self.etcd.clone(), watching.number, connection, watching.shown));
                }
                Some(begun) = successor.next() => {
                    if let Some((connection, stream)) = begun {
                        (watching.connection, watching.stream) = (connection, stream);
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        watching: &mut Watching,
        message: Result<Option<WatchResponse>, etcd_client::Error>,
    ) -> Result<(), Loss> {
        let response = match message {
            Ok(Some(response)) => response,
            Ok(None) => return Err(self.broken(watching, Cause::Lost("etcd closed the stream".to_owned()))),
            Err(error) => return Err(self.broken(watching, classify(&error))),
        };
        if response.canceled() {
            return Err(self.cancelled(watching, &response));
        }
        let stored = shown_by(response.events()).map_err(|compacted| {
            let endpoint = self.etcd.endpoint(watching.number).url().to_owned();
            Loss::Compacted { endpoint, compacted }
        })?;
        let newest = stored.iter().map(KeyValue::mod_revision).max();
        if let Some(newest) = newest {
            watching.shown = watching.shown.max(newest);
            let changes = self.changes(&stored);
            if !changes.is_empty() {
                self.tell(StoreEvent::Changes { revision: newest, changes });
            }
        }
        Ok(())
    }

    fn cancelled(&self, watching: &Watching, response: &WatchResponse) -> Loss {
        let endpoint = self.etcd.endpoint(watching.number);
        if response.compact_revision() != 0 {
            return Loss::Compacted {
                endpoint: endpoint.url().to_owned(),
                compacted: response.compact_revision(),
            };
        }
        let reason = response.cancel_reason().to_owned();
        // etcd 3.4 says "permission denied" also when it forgot the login; a new connection logs in anew.
        if reason.contains("permission denied") || reason.contains("auth token") {
            endpoint.failed(&watching.connection, Errand::Watch, Cause::LoginExpired);
        }
        Loss::Cancelled { endpoint: endpoint.url().to_owned(), reason }
    }

    fn broken(&self, watching: &Watching, cause: Cause) -> Loss {
        Loss::Failed(self.etcd.endpoint(watching.number).failed(&watching.connection, Errand::Watch, cause))
    }

    fn silent(&self, watching: &Watching, revision: Revision) -> Loss {
        let endpoint = self.etcd.endpoint(watching.number);
        endpoint.failed(&watching.connection, Errand::Watch, Cause::Silent(SHOWN_WITHIN));
        Loss::Silent { endpoint: endpoint.url().to_owned(), revision }
    }

    /// The changes of our own keys; foreign ones are told apart.
    fn changes(&mut self, stored: &[KeyValue]) -> Vec<Change> {
        let mut changes = Vec::with_capacity(stored.len());
        for stored in stored {
            match self.etcd.keys().change(stored) {
                Ok(change) => changes.push(change),
                Err(foreign) => self.tell_foreign(foreign),
            }
        }
        changes
    }

    fn tell_foreign(&mut self, Foreign { key, revision }: Foreign) {
        if self.foreign.get(&key).is_some_and(|told| *told >= revision) {
            return;
        }
        if self.foreign.len() >= MOST_FOREIGN {
            self.foreign.clear();
        }
        self.foreign.insert(key.clone(), revision);
        self.tell(StoreEvent::Foreign { key, revision });
    }

    /// Tells the first reason, and the first that a person has to mend: a busy network must not hide a wrong password.
    fn lose(&mut self, loss: Loss) {
        let telling = if loss.lasts() { Told::Lasting } else { Told::Passing };
        if telling > self.told {
            self.told = telling;
            self.tell(StoreEvent::Lost(loss));
        }
    }

    fn tell(&self, event: StoreEvent) {
        // Nobody listening ends `follow` at its next await.
        self.events.send(event).ok();
    }
}

/// A watch over another connection that is to take the place of one that has shown this revision. Nothing if it cannot be had; a
/// while later it can be tried again.
async fn succeed(
    etcd: Etcd,
    number: usize,
    connection: Connection,
    shown: Revision,
) -> Option<(Connection, WatchStream)> {
    // What was shown last may have come in fragments, and not all of them yet.
    match etcd.open_watch(number, &connection, shown).await {
        Ok(stream) => Some((connection, stream)),
        Err(failure) => {
            tracing::debug!("{failure}; the watch stays where it is");
            sleep(SUCCEED_EVERY).await;
            None
        }
    }
}

/// A write of ours that the watch has yet to show.
#[derive(Default)]
struct Overdue {
    awaited: Option<(Revision, Deadline)>,
}

impl Overdue {
    /// Takes in what the watch has shown and what etcd has acknowledged.
    fn update(&mut self, shown: Revision, acknowledged: Revision) {
        if self.awaited.is_none_or(|(revision, _)| revision <= shown) {
            self.awaited = (acknowledged > shown).then(|| (acknowledged, Deadline::now() + SHOWN_WITHIN));
        }
    }

    /// Waits until a revision is overdue; for ever if none is awaited.
    async fn wait(&self) -> Revision {
        match self.awaited {
            Some((revision, due)) => {
                sleep_until(due).await;
                revision
            }
            None => std::future::pending().await,
        }
    }
}

/// Waits for the next acknowledgement.
async fn next(acknowledged: &mut Receiver<Revision>) -> Revision {
    match acknowledged.changed().await {
        Ok(()) => *acknowledged.borrow_and_update(),
        // The handle that sends them is gone, and with it every write.
        Err(_) => std::future::pending().await,
    }
}

/// What the events show, in their order. A deletion is shown behind what was deleted: a server that lost an event must not hide
/// that a session was renewed just before it ended. Where that is compacted the revision is given back: only a new list helps.
fn shown_by(events: &[Event]) -> Result<Vec<KeyValue>, Revision> {
    let mut shown = Vec::with_capacity(events.len());
    for event in events {
        let Some(kv) = event.kv() else { continue };
        if event.event_type() == EventType::Delete {
            shown.push(event.prev_kv().ok_or(kv.mod_revision())?.clone());
        }
        shown.push(kv.clone());
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_of_ours_is_overdue_a_second_after_it_was_acknowledged() {
        let begun = Deadline::now();
        let mut overdue = Overdue::default();
        overdue.update(10, 0);
        assert_eq!(overdue.awaited, None);
        overdue.update(10, 12);
        sleep(SHOWN_WITHIN / 2).await;
        // Later writes do not put it off.
        overdue.update(11, 13);
        assert_eq!(overdue.wait().await, 12);
        assert_eq!(begun.elapsed(), SHOWN_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_shown_is_awaited_no_more() {
        let mut overdue = Overdue::default();
        overdue.update(10, 12);
        overdue.update(12, 12);
        assert_eq!(overdue.awaited, None);
        overdue.update(12, 15);
        overdue.update(13, 16);
        assert_eq!(overdue.wait().await, 15);
    }
}
