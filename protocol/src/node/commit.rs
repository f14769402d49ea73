//! The transactions on VIPs: what each compares and writes.
//!
//! Every one compares each record as the decision saw it (I5) and this node's own session: what an older session asked for
//! is never carried out after the session is gone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::next::Next;
use super::vip::Inflight;
use super::{Node, Purpose, Request, Successor};
use crate::{Compare, Holder, Instant, Key, NodeName, Record, Revision, Txn, Value};

/// What is due, gathered so that VIPs that move together share transactions.
#[derive(Default)]
pub(super) struct Batches {
    claims: BTreeMap<Option<NodeName>, Vec<IpAddr>>,
    releases: Vec<IpAddr>,
    handovers: BTreeMap<Successor, Vec<IpAddr>>,
    takeovers: BTreeMap<NodeName, Vec<IpAddr>>,
}

impl Batches {
    /// Adds what is next for a VIP, if that is a transaction.
    pub(super) fn add(&mut self, ip: IpAddr, next: Next) {
        match next {
            Next::Claim { absent } => self.claims.entry(absent).or_default().push(ip),
            Next::Rewrite => self.claims.entry(None).or_default().push(ip),
            Next::Release => self.releases.push(ip),
            Next::HandOver(successor) => self.handovers.entry(successor).or_default().push(ip),
            Next::TakeOver(silent) => self.takeovers.entry(silent).or_default().push(ip),
            Next::Nothing | Next::WakeAt(_) | Next::Confirm { .. } => {}
        }
    }
}

impl Node {
    /// Commits everything that is due under this session.
    pub(super) fn commit_all(&mut self, now: Instant, session: Revision, due: Batches) {
        for (absent, vips) in due.claims {
            for batch in vips.chunks(Txn::MOST_VIPS) {
                self.claim(now, session, absent.as_ref(), batch);
            }
        }
        for batch in due.releases.chunks(Txn::MOST_VIPS) {
            let mut txn = self.writing(batch, &Value::Record(Record { owner: None }));
            txn.require(Compare::Created(self.own_key(), session));
            self.commit(now, Purpose::Release, txn);
        }
        for (to, vips) in due.handovers {
            for batch in vips.chunks(Txn::MOST_VIPS) {
                self.hand_over(now, session, &to, batch);
            }
        }
        for (silent, vips) in due.takeovers {
            self.take_over(now, session, silent, &vips);
        }
    }

    /// Takes what is free. That the session of the record's owner is not there is compared too.
    fn claim(&mut self, now: Instant, session: Revision, absent: Option<&NodeName>, vips: &[IpAddr]) {
        let mut txn = self.taking(now, session, vips);
        if let Some(name) = absent {
            let key = Key::Node(name.clone());
            let created = self.view.get(&key).map_or(0, |entry| entry.created);
            txn.require(Compare::Created(key, created));
        }
        self.commit(now, Purpose::Claim, txn);
    }

    /// Deletes the silent node's session, as its last renewal left it, and takes what it owned. That one delete fences the
    /// node for all its VIPs: those beyond one transaction's size are free from then on and follow without waiting.
    fn take_over(&mut self, now: Instant, session: Revision, silent: NodeName, vips: &[IpAddr]) {
        let batch = &vips[..vips.len().min(Txn::MOST_VIPS)];
        let key = Key::Node(silent);
        let modified = self.view.modified(&key);
        let mut txn = self.taking(now, session, batch);
        txn.delete(Compare::Modified(key, modified));
        self.commit(now, Purpose::TakeOver, txn);
    }

    /// Hands VIPs over to the node that is prepared for them. The kernel yields all of them (I4).
    fn hand_over(&mut self, now: Instant, session: Revision, to: &Successor, vips: &[IpAddr]) {
        let (name, created) = to;
        let key = Key::Node(name.clone());
        let Some(Value::Session(successor)) = self.view.get(&key).map(|entry| &entry.value) else { return };
        let holder = Holder { node: name.clone(), session: *created, bound: successor.bound };
        let mut txn = self.writing(vips, &Value::Record(Record { owner: Some(holder) }));
        txn.require(Compare::Created(key, *created));
        self.renew_within(&mut txn, now, session);
        self.commit(now, Purpose::HandOver, txn);
    }

    /// Puts this node into the records and renews its session.
    fn taking(&mut self, now: Instant, session: Revision, vips: &[IpAddr]) -> Txn {
        let holder = Holder { node: self.settings.name.clone(), session, bound: self.machine.bound };
        let mut txn = self.writing(vips, &Value::Record(Record { owner: Some(holder) }));
        self.renew_within(&mut txn, now, session);
        txn
    }

    /// Writes `record` into each VIP's record, if it is as this node saw it.
    fn writing(&mut self, vips: &[IpAddr], record: &Value) -> Txn {
        let mut txn = Txn::new();
        for ip in vips {
            let Some(vip) = self.vips.get_mut(ip) else { continue };
            vip.inflight = Inflight::UnderWay;
            txn.put(Compare::Modified(Key::Vip(*ip), vip.record.modified), record.clone());
        }
        txn
    }

    pub(super) fn commit(&mut self, now: Instant, purpose: Purpose, txn: Txn) {
        let request = Request { purpose, session: self.own.live(), txn, decided: now };
        self.effects.push(super::Effect::Commit(request));
    }
}
