//! What is left of VIPs that were handed over: how many connections they still have here.

use std::net::IpAddr;
use std::time::Duration;

use super::{Hands, NEVER};
use crate::agent::channel::News;
use crate::clock;
use crate::link::connections;
use mantle_protocol::{Event, Instant, Role};

/// How often they are counted.
const COUNT_EVERY: Duration = Duration::from_millis(100);

/// How long may be between two counts at most: a count that took long may just have waited for the processor.
const COUNT_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// How long what comes here is sent on at least: neighbours that missed the first announcements hear another by then.
const AT_LEAST: Duration = Duration::from_millis(500);

impl Hands {
    /// Counts the connections of what is drained, and tells the core where none is left.
    pub(super) fn count_connections(&mut self, now: Instant) {
        let drained: Vec<(IpAddr, Instant)> = self
            .places
            .iter()
            .filter(|(_, place)| matches!(place.ordered, Role::Forwarding { .. }))
            .filter_map(|(ip, place)| Some((*ip, place.drains_since?)))
            .collect();
        if drained.is_empty() {
            if self.connections_at != NEVER {
                self.connections_at = NEVER;
                self.send(News::Connections([].into()));
            }
            return;
        }
        if self.connections_at != NEVER && now < self.connections_at {
            return;
        }
        let ips: Vec<IpAddr> = drained.iter().map(|(ip, _)| *ip).collect();
        match connections(&ips) {
            Ok(counts) => {
                for (ip, since) in drained {
                    if now >= since + AT_LEAST && counts.get(&ip) == Some(&0) {
                        self.tell(Event::Drained(ip));
                    }
                }
                self.send(News::Connections(counts));
            }
            Err(error) => tracing::warn!("the connections left cannot be counted: {error}"),
        }
        // Where there are very many the counting takes its time, of which others want the most.
        let done = clock::now();
        self.connections_at = done + (10 * done.since(now)).clamp(COUNT_EVERY, COUNT_AT_LEAST_EVERY);
    }
}
