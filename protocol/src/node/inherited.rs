//! What a predecessor with another config held: VIPs of which this one's config knows nothing.
//!
//! Their records name the resumed session, and while that lives nobody else could take them. So they are given up, in
//! the order of I4, like a VIP that is not ready.

use std::net::IpAddr;

use super::Node;
use super::vip::Vip;
use crate::{Entry, Instant, Key, Revision};

impl Node {
    /// Takes up every such VIP.
    pub(super) fn inherit_all(&mut self, now: Instant, session: Revision) {
        let named = |(key, entry): (&Key, &Entry)| match key {
            Key::Vip(ip) => self.inherited(now, *ip, session, Some(entry)).map(|vip| (*ip, vip)),
            Key::Node(_) => None,
        };
        let inherited: Vec<(IpAddr, Vip)> = self.view.iter().filter_map(named).collect();
        self.vips.extend(inherited);
    }

    /// Takes up a VIP if its record is such a one: the predecessor's claim may have been committed late.
    pub(super) fn inherit(&mut self, now: Instant, ip: IpAddr, entry: Option<&Entry>) {
        let live = self.own.live();
        if let Some(vip) = live.and_then(|session| self.inherited(now, ip, session, entry)) {
            self.vips.insert(ip, vip);
        }
    }

    fn inherited(&self, now: Instant, ip: IpAddr, session: Revision, entry: Option<&Entry>) -> Option<Vip> {
        if self.vips.contains_key(&ip) {
            return None;
        }
        let mut vip = Vip::default();
        // Whatever of it still stood was told of at the start, and would be known here.
        vip.found(false, false);
        vip.record_is(now, entry);
        vip.names(&self.settings.name, session).then_some(vip)
    }

    /// Forgets those that are given up.
    pub(super) fn forget_inherited(&mut self) {
        if self.vips.len() == self.settings.vips.len() {
            return;
        }
        let Some(session) = self.own.live() else { return };
        let settings = &self.settings;
        self.vips.retain(|ip, vip| {
            let given_up = vip.is_off() && !vip.pending && !vip.names(&settings.name, session);
            settings.vips.contains(ip) || !given_up
        });
    }
}
