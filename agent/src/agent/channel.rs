//! What the agent's threads say to each other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dataplane::{Counters, LinkMode};
use crate::health::Report;
use crate::protocol::{Event, Instant, Revision, Stance};

/// What the core wants of the hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Stand so to a VIP.
    Stand(IpAddr, Stance),
    /// The right of this session lasts until then.
    Right(Revision, Instant),
}

/// What reaches the core from the other threads.
#[derive(Debug)]
pub(super) enum News {
    /// An event for the protocol.
    Event(Event),
    /// What each VIP waits for that cannot be worn now.
    Waits(Vec<(IpAddr, Arc<str>)>),
    /// By what the kernel program fences each link that is there, if it does.
    Modes(BTreeMap<Arc<str>, Option<LinkMode>>),
    /// What the checks say.
    Health(Report),
    /// What the kernel program counted of the VIPs that it knows.
    Counts(BTreeMap<IpAddr, Counters>),
}
