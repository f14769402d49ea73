//! Listing our keys once, for whoever does not go on to follow them.

use std::time::Duration;

use tokio::time::{Instant as Deadline, timeout_at};

use super::failure::Failure;
use super::handle::Etcd;
use super::{list, ranking};
use mantle_protocol::Change;

impl Etcd {
    /// Makes the connections that are missing, in the background, for a caller who will want them soon.
    pub fn prepare(&self) {
        self.warm();
    }

    /// Our keys as they are now, by the first endpoint that tells within its share of `overall`; else the first failure,
    /// or none if there was not even time for one.
    ///
    /// What is below the prefix and none of ours is passed over.
    pub async fn listed_once(&self, overall: Duration) -> Result<Vec<Change>, Option<Failure>> {
        let deadline = Deadline::now() + overall;
        let order = ranking::order(&self.standings(), self.favourite());
        let mut first = None;
        for (turn, &number) in order.iter().enumerate() {
            let left = deadline.saturating_duration_since(Deadline::now());
            let is_last = turn + 1 == order.len();
            let share = if is_last { left } else { left.min(self.settings().try_timeout) };
            match self.list_at(number, share).await {
                Ok(changes) => {
                    self.prefer(number);
                    return Ok(changes);
                }
                Err(failure) => first = first.or(failure),
            }
        }
        Err(first)
    }

    async fn list_at(&self, number: usize, limit: Duration) -> Result<Vec<Change>, Option<Failure>> {
        let until = Deadline::now() + limit;
        let endpoint = self.endpoint(number);
        let connection = timeout_at(until, endpoint.connection()).await.map_err(|_| None)??;
        let left = until.saturating_duration_since(Deadline::now());
        let listing = timeout_at(until, list::list(endpoint, &connection, self.keys(), left));
        let listing = listing.await.map_err(|_| None)??;
        Ok(listing.stored.iter().filter_map(|stored| self.keys().change(stored).ok()).collect())
    }
}
