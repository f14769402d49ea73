//! What a node takes up beyond its config, and what it forgets.
//!
//! An earlier agent with another config may have owned VIPs of which this one's config knows nothing. Their records name the
//! resumed session, and while that lives nobody else could take them. So this node gives them up in the order of I4, like a
//! VIP that is not ready, and then forgets them.

use std::net::IpAddr;

use super::Node;
use super::vip::{Input, Vip};
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

    /// Takes up a VIP if its record is such a one: the earlier agent's claim may have been committed late.
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
        vip.record.is(now, entry);
        vip.step(Input::SessionBack { must_rewrite: false });
        vip.record.names(&self.settings.name, session).then_some(vip)
    }

    /// Forgets the inherited VIPs that are given up, and the sessions that are neither there nor named by a record.
    pub(super) fn forget(&mut self) {
        if self.vips.len() > self.settings.vips.len() && self.own.live().is_some() {
            let settings = &self.settings;
            self.vips.retain(|ip, vip| {
                let given_up = vip.kernel.is_off() && !vip.inflight.is_under_way() && !vip.phase.is_ours();
                settings.vips.contains(ip) || !given_up
            });
        }
        if std::mem::take(&mut self.sessions_changed) {
            let (view, vips) = (&self.view, &self.vips);
            self.peers.retain(|name, created| {
                view.session(name, created).is_some()
                    || vips.values().any(|vip| vip.record.names(name, created))
            });
        }
    }
}
