//! All VIPs of the node and the links they are announced on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use thiserror::Error;
use tracing::{debug, info, warn};

use super::announcer::{AnnounceError, Announcer};
use super::frames::Frames;
use super::schedule::{Pace, Schedule};
use mantle_protocol::Instant;

/// What frames leave by.
pub trait Outlet {
    /// Sends the frames of one VIP, now or not at all: it never waits.
    fn send(&mut self, frames: &Frames) -> Result<(), AnnounceError>;
}

/// What came of a call of [`Announcements::poll`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// How many VIPs were announced.
    pub sent: u64,
    /// How many could not be and are tried again.
    pub failed: u64,
    /// When the next announcement is due. Nothing, if none is or the right is over: ask again after a start or a
    /// renewal.
    pub next: Option<Instant>,
}

/// Announces the VIPs that are started, each by its own schedule, on the links that are attached.
pub struct Announcements<O = Announcer> {
    pace: Pace,
    links: BTreeMap<String, Link<O>>,
}

struct Link<O> {
    outlet: O,
    vips: BTreeMap<IpAddr, Announced>,
    /// Whether the last round failed: it is said once, not at every try.
    failing: bool,
}

struct Announced {
    frames: Frames,
    schedule: Schedule,
}

/// A VIP that cannot be announced.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0} cannot be announced: none of the attached links has frames for it")]
pub struct StartError(IpAddr);

impl<O: Outlet> Announcements<O> {
    /// Nothing to announce yet.
    pub fn new(pace: Pace) -> Self {
        Self { pace, links: BTreeMap::new() }
    }

    /// Takes up a link with the frames of its VIPs, in place of one of that name: after a change of its MAC or index.
    /// What is to be announced there must be started anew.
    pub fn attach(&mut self, link: &str, outlet: O, vips: impl IntoIterator<Item = (IpAddr, Frames)>) {
        let announced = |(vip, frames)| (vip, Announced { frames, schedule: Schedule::default() });
        let vips = vips.into_iter().map(announced).collect();
        self.links.insert(link.to_owned(), Link { outlet, vips, failing: false });
    }

    /// Gives up a link; its VIPs are announced no more.
    pub fn detach(&mut self, link: &str) {
        self.links.remove(link);
    }

    /// Announces a VIP from now on, beginning with a burst.
    pub fn start(&mut self, vip: IpAddr, now: Instant) -> Result<(), StartError> {
        self.find(vip).ok_or(StartError(vip))?.schedule.start(now);
        Ok(())
    }

    /// Announces a VIP no more.
    pub fn stop(&mut self, vip: IpAddr) {
        if let Some(announced) = self.find(vip) {
            announced.schedule.stop();
        }
    }

    /// Sends what is due, unless the right, which lasts `until`, is over (I2).
    ///
    /// Takes the clock and not an instant: the process may stand still between two VIPs, for longer than the right lasts.
    pub fn poll(&mut self, until: Instant, clock: impl Fn() -> Instant) -> Round {
        let mut round = Round::default();
        for (name, link) in &mut self.links {
            link.poll(name, until, &clock, &self.pace, &mut round);
        }
        if clock() < until {
            let vips = self.links.values().flat_map(|link| link.vips.values());
            round.next = vips.filter_map(|announced| announced.schedule.deadline()).min();
        }
        round
    }

    fn find(&mut self, vip: IpAddr) -> Option<&mut Announced> {
        self.links.values_mut().find_map(|link| link.vips.get_mut(&vip))
    }
}

impl<O: Outlet> Link<O> {
    /// One VIP's failure leaves the others their turn (I8).
    fn poll(
        &mut self,
        name: &str,
        until: Instant,
        clock: impl Fn() -> Instant,
        pace: &Pace,
        round: &mut Round,
    ) {
        let mut sent = 0;
        let mut failed = 0;
        let mut last_error = None;
        for (vip, announced) in &mut self.vips {
            let now = clock();
            if now >= until {
                break;
            }
            if !announced.schedule.due(now) {
                continue;
            }
            match self.outlet.send(&announced.frames) {
                Ok(()) => {
                    announced.schedule.sent(now, pace);
                    sent += 1;
                    debug!(%vip, link = name, "announced");
                }
                Err(error) => {
                    announced.schedule.retry(now);
                    failed += 1;
                    last_error = Some(error);
                }
            }
        }
        round.sent += sent;
        round.failed += failed;
        match last_error {
            Some(error) if !self.failing => {
                warn!(link = name, vips = failed, %error, "cannot announce; trying again");
                self.failing = true;
            }
            None if self.failing && sent > 0 => {
                info!(link = name, vips = sent, "announcing again");
                self.failing = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
