//! The owner's side of a handoff: when to offer, to yield, to hand the record over, and how long to drain.
//!
//! ```text
//!         prepared, says the successor     yields, says the kernel: hand over
//! Offered ─────────────────────▶ Yielding ─────────────────────────────────────▶ Draining ──▶ off
//!    │ too late, or gone            │ too late, or refused        record names the successor
//!    └──────────▶ the next, or the plain release ◀────────────────┘
//! ```
//!
//! The transaction that hands the record over compares it and both sessions, and is sent only while the kernel yields (I4).
//! Once sent it may be carried out late: when its outcome is unknown this node goes on yielding, within its lease, and is
//! owner again only by a transaction that changes the record. To read it would not be enough.

use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;

use super::moving::Wishes;
use super::vip::Vip;
use super::{NoHandoff, Node, Notice, Purpose};
use crate::{Compare, Entry, Holder, Instant, Key, NodeName, Offer, Record, Revision, Role, Value};

/// A node that is to follow as owner, by name and session.
pub(super) type Successor = (NodeName, Revision);

/// A VIP that is offered, yielded or drained.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handing {
    /// What this node's session says of it.
    pub(super) offer: Offer,
    /// When it was offered.
    began: Instant,
    pub(super) step: Step,
}

/// How far a handoff has come, as the owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The successor is to say until then that it is prepared.
    Offered {
        /// Until when.
        until: Instant,
    },
    /// The successor is prepared: this node yields to it, and hands the record over as soon as the kernel says so.
    Yielding {
        /// The successor's MAC.
        to: Mac,
        /// Until when the kernel is to have said so.
        until: Instant,
    },
    /// The record names the successor: what is left here are the connections that were opened here.
    Draining {
        /// The successor's MAC.
        to: Mac,
        /// Until when they are served.
        until: Instant,
        /// Until when the successor is waited for to answer. This node goes on yielding until then: what comes meanwhile is
        /// served here rather than sent on to a node that does not answer yet.
        opens_by: Instant,
        /// Whether it answers.
        opened: bool,
    },
}

impl Vip {
    /// How this node yields it, if it has come to that.
    pub(super) fn yielding(&self) -> Option<Role> {
        match &self.handing {
            Some(Handing {
                offer,
                step: Step::Yielding { to, .. } | Step::Draining { to, opened: false, .. },
                ..
            }) => Some(Role::Yielding { to: *to, number: offer.number }),
            _ => None,
        }
    }

    /// How this node serves what is left of it, if it has handed it over.
    pub(super) fn forwarding(&self) -> Option<Role> {
        match &self.handing {
            Some(Handing { step: Step::Draining { to, opened: true, .. }, .. }) => {
                Some(Role::Forwarding { to: *to })
            }
            Some(Handing { step: Step::Draining { .. }, .. }) => self.yielding(),
            _ => None,
        }
    }

    /// Whom the record can be handed over to now: the kernel has confirmed that this node yields.
    pub(super) fn may_be_handed_to(&self) -> Option<Successor> {
        let handing = self.handing.as_ref()?;
        let yields =
            self.yielding().is_some_and(|yields| self.stood == Some(yields) && self.wanted == Some(yields));
        yields.then(|| (handing.offer.to.clone(), handing.offer.session))
    }

    /// Takes an offer back, unless what hands the record over may have been sent.
    fn withdraw(&mut self) {
        if !self.pending && !self.doubtful {
            self.handing = None;
        }
    }
}

impl Node {
    /// How long each step of a handoff may take.
    fn step_limit(&self) -> Duration {
        self.settings.timing.lease / 2
    }

    /// Takes a VIP that the record says is this node's a step further on its way to another, if it is to go there.
    pub(super) fn move_on(&mut self, now: Instant, ip: IpAddr, session: Revision) {
        let urge = self.urge(now, ip);
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        if !vip.servable {
            vip.leaving = true;
        }
        if vip.leaving {
            vip.withdraw();
            self.stays(ip, NoHandoff::Leaving);
            return;
        }
        let Some(urge) = urge else {
            vip.withdraw();
            vip.wishes.tried.clear();
            return;
        };
        // Nothing is begun before what is under way is decided.
        if vip.pending || vip.doubtful || self.goes_on(now, ip, session) {
            return;
        }
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        if let Some(given_up) = vip.handing.take() {
            vip.wishes.tried.push((given_up.offer.to, given_up.offer.session));
        }
        match self.successor(now, ip, &urge) {
            Ok(to) => self.offer(now, ip, to),
            Err(why) => self.nobody_follows(now, ip, &urge, why),
        }
    }

    /// Whether a handoff that has begun goes on: it is within its time, and the successor is there.
    fn goes_on(&mut self, now: Instant, ip: IpAddr, session: Revision) -> bool {
        let limit = self.step_limit();
        let Some(vip) = self.vips.get(&ip) else { return false };
        let Some(Handing { offer, step, .. }) = &vip.handing else { return false };
        let entry = self.view.session(&offer.to, offer.session);
        let Some(Entry { value: Value::Session(other), .. }) = entry else { return false };
        if !self.macs.contains_key(&ip) {
            return false;
        }
        let until = match step {
            Step::Draining { .. } => return false,
            Step::Yielding { until, .. } => *until,
            Step::Offered { until } => {
                if let Some(to) = self.prepared(ip, offer, session) {
                    let until = now + limit;
                    if let Some(handing) = self.vips.get_mut(&ip).and_then(|vip| vip.handing.as_mut()) {
                        handing.step = Step::Yielding { to, until };
                    }
                    until
                } else if other.ready.contains(&ip) {
                    *until
                } else {
                    return false;
                }
            }
        };
        if now < until {
            self.wake_at(until);
        }
        now < until
    }

    fn offer(&mut self, now: Instant, ip: IpAddr, (to, session): Successor) {
        let until = now + self.step_limit();
        self.wake_at(until);
        let (Some(vip), Some(mac)) = (self.vips.get_mut(&ip), self.macs.get(&ip).copied()) else { return };
        // By the clock: so that neither an earlier offer nor one of an earlier agent has the same.
        let number = u64::try_from(now.since_boot().as_micros()).unwrap_or(u64::MAX);
        let offer = Offer { to: to.clone(), session, number, mac };
        vip.handing = Some(Handing { offer, began: now, step: Step::Offered { until } });
        self.tell(Notice::Offered { vip: ip, to });
    }

    /// Hands VIPs over to the node that is prepared for them, all of which the kernel yields.
    pub(super) fn hand_over(&mut self, now: Instant, session: Revision, to: &Successor, vips: &[IpAddr]) {
        let key = Key::Node(to.0.clone());
        let Some(Value::Session(successor)) = self.view.get(&key).map(|entry| &entry.value) else { return };
        let holder = Holder { node: to.0.clone(), session: to.1, bound: successor.bound };
        let record = Value::Record(Record { owner: Some(holder) });
        for batch in vips.chunks(crate::Txn::MOST_VIPS) {
            let mut txn = self.writing(batch, &record);
            txn.require(Compare::Created(key.clone(), to.1));
            self.renew_within(&mut txn, now, session);
            self.commit(now, Purpose::HandOver, txn);
        }
    }

    /// A record has changed: what was to hand it over can be carried out no more, or it was.
    pub(super) fn handing_is_decided(&mut self, now: Instant, ip: IpAddr) {
        let able = self.macs.contains_key(&ip);
        let (drain, limit) = (self.settings.drain, self.step_limit());
        let Some(vip) = self.vips.get_mut(&ip) else { return };
        let Some(mut handing) = vip.handing.take() else { return };
        let (to, session) = (handing.offer.to.clone(), handing.offer.session);
        if !vip.names(&to, session) {
            if !matches!(handing.step, Step::Draining { .. }) {
                vip.wishes.tried.push((to, session));
            }
            return;
        }
        let Step::Yielding { to: mac, .. } = handing.step else {
            // The new owner wrote it anew.
            vip.handing = Some(handing).filter(|handing| matches!(handing.step, Step::Draining { .. }));
            return;
        };
        vip.wishes = Wishes::default();
        let (epoch, took) = (vip.epoch, now.since(handing.began));
        handing.step = Step::Draining { to: mac, until: now + drain, opens_by: now + limit, opened: false };
        vip.handing = Some(handing).filter(|_| able);
        let ended = vip.handing.is_none();
        self.tell(Notice::HandedOver { vip: ip, to, epoch, took });
        if ended {
            self.tell(Notice::DrainEnded { vip: ip });
        }
    }

    /// Goes on with what was handed over: forwards once the successor answers, and ends the drains whose time is over.
    pub(super) fn drain(&mut self, now: Instant) {
        let (mut open, mut over) = (Vec::new(), Vec::new());
        let mut wake = self.wake;
        let session = self.own.live();
        for (ip, vip) in &self.vips {
            let Some(Handing { offer, step: Step::Draining { until, opens_by, opened, .. }, .. }) =
                &vip.handing
            else {
                continue;
            };
            let prepared = session.and_then(|session| self.prepared(*ip, offer, session));
            let answers = *opened || now >= *opens_by || prepared.is_none();
            if !self.macs.contains_key(ip) || (answers && now >= *until) {
                over.push(*ip);
            } else if answers {
                open.push(*ip);
                wake = wake.min(*until);
            } else {
                wake = wake.min(*opens_by);
            }
        }
        self.wake = wake;
        for ip in open {
            let handing = self.vips.get_mut(&ip).and_then(|vip| vip.handing.as_mut());
            if let Some(Handing { step: Step::Draining { opened, .. }, .. }) = handing {
                *opened = true;
            }
        }
        for ip in over {
            if let Some(vip) = self.vips.get_mut(&ip) {
                vip.handing = None;
            }
            self.tell(Notice::DrainEnded { vip: ip });
        }
    }

    /// The successor's MAC, while it says that it is prepared for this offer of this node's session: it does not answer yet.
    fn prepared(&self, ip: IpAddr, offer: &Offer, session: Revision) -> Option<Mac> {
        let entry = self.view.session(&offer.to, offer.session)?;
        let Value::Session(other) = &entry.value else { return None };
        let word = other.handoffs.prepared.get(&ip)?;
        ((word.session, word.number) == (session, offer.number)).then_some(word.mac)
    }

    /// No connection is left on a VIP that was handed over.
    pub(super) fn is_drained(&mut self, now: Instant, ip: IpAddr) {
        let handing = self.vips.get_mut(&ip).and_then(|vip| vip.handing.as_mut());
        if let Some(Handing { step: Step::Draining { until, .. }, .. }) = handing {
            *until = now;
        }
    }
}
