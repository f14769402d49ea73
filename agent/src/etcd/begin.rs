//! Beginning a watch: our keys listed, and every change from there on asked for, at the first endpoint that does both.
//!
//! Who was started anew resumes only when it has seen the keys, and its right does not wait: so an endpoint that has
//! been silent for as long as a try may take is not waited for alone, the next one is asked beside it. Both only read.

use std::collections::VecDeque;
use std::time::Duration;

use etcd_client::{WatchOptions, WatchStream};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant as Deadline, sleep_until};

use super::endpoint::Connection;
use super::failure::{Errand, Failure};
use super::handle::Etcd;
use super::list::{self, Listing};
use mantle_protocol::Revision;

/// A watch that has begun, and what the keys were before its first change.
pub(super) struct Begun {
    pub(super) number: usize,
    pub(super) connection: Connection,
    pub(super) listing: Listing,
    pub(super) stream: WatchStream,
}

impl Etcd {
    /// A list, and a watch that follows it, by the first of these endpoints that gives both; else why the first of them did not,
    /// since the best one's trouble is the one to tell. Nothing if there is none to ask.
    pub(super) async fn begin_watch(&self, order: &[usize]) -> Result<Begun, Option<Failure>> {
        let patience = self.settings().try_timeout;
        let again_until = Deadline::now() + self.settings().connect_timeout;
        // Places in the order: whom to ask, and why those who were asked gave nothing.
        let mut waiting: VecDeque<usize> = (0..order.len()).collect();
        let mut failures = vec![None; order.len()];
        let mut next = Deadline::now();
        let mut tries = FuturesUnordered::new();
        while !tries.is_empty() || failures.iter().any(Option::is_none) {
            tokio::select! {
                biased;
                Some((place, begun)) = tries.next() => match begun {
                    Ok(begun) => return Ok(begun),
                    Err(failure) => {
                        failures[place] = Some(failure);
                        // While another one is silent, who failed may have found its leader again.
                        if Deadline::now() < again_until {
                            waiting.push_back(place);
                        }
                        let is_new = waiting.front().is_some_and(|place| failures[*place].is_none());
                        next = Deadline::now() + if is_new { Duration::ZERO } else { patience };
                    }
                },
                () = sleep_until(next), if !waiting.is_empty() => {
                    let asked = waiting.pop_front().map(|place| {
                        self.begin_watch_at(order[place]).map(move |begun| (place, begun))
                    });
                    tries.extend(asked);
                    next = Deadline::now() + patience;
                }
            }
        }
        Err(failures.into_iter().flatten().next())
    }

    async fn begin_watch_at(&self, number: usize) -> Result<Begun, Failure> {
        let endpoint = self.endpoint(number);
        let limit = self.settings().connect_timeout;
        let connection = endpoint.connection().await?;
        let listing = list::list(endpoint, &connection, self.keys(), limit).await?;
        // Begun before the list is told: a list that no watch follows would only have to be told again.
        let stream = self.open_watch(number, &connection, listing.revision + 1).await?;
        Ok(Begun { number, connection, listing, stream })
    }

    /// A watch on all our keys, over a connection, from a revision on.
    pub(super) async fn open_watch(
        &self,
        number: usize,
        connection: &Connection,
        from: Revision,
    ) -> Result<WatchStream, Failure> {
        // With a deletion comes what was deleted.
        let options = WatchOptions::new()
            .with_range(self.keys().end())
            .with_start_revision(from)
            .with_fragment()
            .with_prev_key();
        let mut client = connection.watch.clone();
        let call = client.watch(self.keys().prefix(), Some(options));
        self.endpoint(number).attempt(connection, Errand::Watch, self.settings().connect_timeout, call).await
    }
}
