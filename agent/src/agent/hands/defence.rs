//! What the kernel program saw: conflicts, which are answered as RFC 5227 says, and the fence at work.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use crate::dataplane::{DataplaneEvent, Events, Kind};
use mantle_protocol::Instant;

/// A VIP is defended at most once in so long (RFC 5227 §2.4, `DEFEND_INTERVAL`).
const INTERVAL: Duration = Duration::from_secs(10);

/// The kernel program's events, and when what they tell was last answered or said.
pub(super) struct Defence {
    events: Option<Events>,
    last: BTreeMap<(IpAddr, Kind), Instant>,
}

impl Defence {
    /// Hears these events; none without the kernel program.
    pub(super) fn new(events: Option<Events>) -> Self {
        Self { events, last: BTreeMap::new() }
    }

    /// The next event. Can be dropped at any time: an event leaves only as it is returned.
    pub(super) async fn next(&mut self) -> DataplaneEvent {
        loop {
            let Some(events) = &mut self.events else { return pending().await };
            match events.next().await {
                Ok(event) => return event,
                Err(error) => {
                    tracing::error!("the kernel program's events cannot be read any more: {error}");
                    self.events = None;
                }
            }
        }
    }

    /// Says what was seen, once in the interval; whether it is a conflict to be answered now.
    pub(super) fn is_due(&mut self, event: &DataplaneEvent, now: Instant) -> bool {
        let DataplaneEvent { vip, mac, .. } = event;
        let last = self.last.entry((*vip, event.kind)).or_insert(Instant::ZERO);
        if *last != Instant::ZERO && now < *last + INTERVAL {
            return false;
        }
        *last = now;
        match event.kind {
            Kind::Conflict => tracing::error!(%vip, %mac, "another machine claims the VIP: defending it"),
            Kind::FenceIn => {
                tracing::warn!(%vip, %mac, "the right is over: what comes for the VIP is dropped");
            }
            Kind::Announced => tracing::info!(%vip, %mac, "the successor announced the VIP"),
            Kind::FenceOut => tracing::warn!(%vip, "the right is over: what leaves for the VIP is dropped"),
        }
        event.kind == Kind::Conflict
    }
}
