//! One VIP's place on its link, as the hands see it.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use crate::dataplane::State;
use crate::link::{FindError, Lifetime, Link};
use crate::wire::Mac;
use mantle_protocol::{Epoch, Instant, Role};

/// One VIP's place.
#[derive(Debug)]
pub(super) struct Place {
    /// Its link, as the configuration names it.
    pub(super) link: Arc<str>,
    /// The stance the core ordered last.
    pub(super) ordered: Role,
    /// Whether it has ordered any: before that a predecessor's address is left to its lifetime.
    pub(super) is_ordered: bool,
    /// Since when its connections are drained, if they are.
    pub(super) drains_since: Option<Instant>,
    /// The epoch that it is announced under, while it is.
    pub(super) announced: Option<Epoch>,
    /// The stance that was confirmed last, while it stands.
    pub(super) stood: Option<Role>,
    /// The link its address is on, as far as is known.
    pub(super) stands_on: Option<u32>,
    /// The link its address may be on, and for what lifetime at most: it was put there, and the kernel has not confirmed
    /// since that it took it off. News that it is gone is no such word, since it may be older than the last put.
    pub(super) put_on: Option<(u32, Lifetime)>,
    /// No new try before.
    pub(super) retry_at: Instant,
    /// Since when the right lasted and the fence did not allow to wear it.
    kept_off_since: Option<Instant>,
    failures: u32,
    excuse: Option<(Arc<str>, Instant)>,
}

impl Place {
    const FIRST_RETRY: Duration = Duration::from_millis(20);
    const LAST_RETRY: Duration = Duration::from_secs(1);
    /// After so many failures on end the VIP is better worn elsewhere.
    const TRIES: u32 = 4;
    /// For how long.
    const REST: Duration = Duration::from_secs(10);

    pub(super) fn new(link: Arc<str>) -> Self {
        Self {
            link,
            ordered: Role::Off,
            is_ordered: false,
            drains_since: None,
            announced: None,
            stood: None,
            stands_on: None,
            put_on: None,
            retry_at: Instant::ZERO,
            kept_off_since: None,
            failures: 0,
            excuse: None,
        }
    }

    pub(super) fn order(&mut self, stance: Role, now: Instant) {
        let drains = matches!(stance, Role::Forwarding { .. });
        self.drains_since = drains.then(|| self.drains_since.unwrap_or(now));
        self.ordered = stance;
        self.is_ordered = true;
        self.stood = None;
        self.retry_at = Instant::ZERO;
        self.kept_off_since = None;
        self.announced = self.announced.filter(|_| matches!(stance, Role::Owner { .. }));
    }

    /// The address is there.
    pub(super) fn placed(&mut self, index: u32) {
        self.announced = self.announced.filter(|_| self.stands_on == Some(index));
        self.stands_on = Some(index);
    }

    /// Its address was put on a link, by the kernel's word.
    pub(super) fn put(&mut self, index: u32, lifetime: Lifetime) {
        self.put_on = Some((index, lifetime));
    }

    /// Its address may have been put on a link: the kernel does not say.
    pub(super) fn maybe_put(&mut self, index: u32, lifetime: Lifetime) {
        let earlier = self.put_on.map_or(lifetime, |(_, earlier)| earlier);
        self.put_on = Some((index, earlier.max(lifetime)));
    }

    /// Whether its address may be on that link.
    pub(super) fn is_put_on(&self, index: u32) -> bool {
        self.put_on.is_some_and(|(on, _)| on == index)
    }

    /// The address is not there, by the kernel's word: it took it off, or has no such link any more.
    pub(super) fn cleared(&mut self) {
        self.stands_on = None;
        self.put_on = None;
        self.announced = None;
    }

    /// The address is said to be gone though nobody here took it off.
    pub(super) fn vanished(&mut self) {
        self.stands_on = None;
        self.announced = None;
        if self.ordered != Role::Off {
            self.stood = None;
        }
    }

    /// How what answers on the link is to stand to it, and the other node's MAC in a handoff; nothing if it is to be off.
    pub(super) fn state(&self) -> Option<(State, Option<Mac>)> {
        match self.ordered {
            Role::Off => None,
            Role::Prepared { from } => Some((State::Prepared, Some(from))),
            Role::Owner { drain, .. } => Some((State::Owner, drain)),
            Role::Yielding { to, .. } => Some((State::Yielding, Some(to))),
            Role::Forwarding { to } => Some((State::Forwarding, Some(to))),
        }
    }

    /// Whether it is ordered to be worn and stands.
    pub(super) fn is_worn(&self) -> bool {
        matches!(self.ordered, Role::Owner { .. }) && self.stands_on.is_some()
    }

    /// The fence does not allow to wear it now. When that has been so for a whole right, it is better worn elsewhere.
    pub(super) fn kept_off(&mut self, now: Instant, right: Duration) {
        let since = *self.kept_off_since.get_or_insert(now);
        if self.stands_on.is_none() && self.excuse.is_none() && now >= since + right {
            tracing::error!(link = %self.link, "etcd acknowledges too late for a fence by the address's lifetime");
            let reason = "etcd acknowledges renewals too late for a fence by the address's lifetime".into();
            self.excuse = Some((reason, now + Self::REST));
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.kept_off_since = None;
        self.failures = 0;
        self.retry_at = Instant::ZERO;
    }

    pub(super) fn failed(&mut self, now: Instant, error: &dyn Display) {
        let pause = (Self::FIRST_RETRY * 2_u32.saturating_pow(self.failures)).min(Self::LAST_RETRY);
        self.retry_at = now + pause;
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            tracing::error!("{error}");
        }
        if self.failures >= Self::TRIES && self.ordered != Role::Off {
            self.excuse = Some((error.to_string().into(), now + Self::REST));
        }
    }

    /// When something is to be tried again.
    pub(super) fn next_retry(&self, now: Instant) -> Option<Instant> {
        let rest = self.excuse.as_ref().map(|(_, until)| *until);
        let retry = (self.retry_at > now).then_some(self.retry_at);
        [rest, retry].into_iter().flatten().min()
    }

    /// What the VIP waits for; nothing if it could be worn.
    pub(super) fn waits_for(&mut self, now: Instant, link: Result<&Link, FindError>) -> Option<Arc<str>> {
        if self.excuse.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.excuse = None;
        }
        match link {
            Err(error) => Some(error.to_string().into()),
            Ok(link) if !link.up => Some(format!("link {} is down", self.link).into()),
            Ok(link) if link.mac.is_none() => {
                Some(format!("link {} has no Ethernet address", self.link).into())
            }
            Ok(_) => self.excuse.as_ref().map(|(reason, _)| Arc::clone(reason)),
        }
    }
}
