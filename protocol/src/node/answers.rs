//! How the answers to a node's own transactions change what it knows.

use super::vip::{Inflight, Input};
use super::{Effect, Node, Notice, Purpose, Request};
use crate::{Answer, Change, Compare, Entry, Instant, Key, Revision, Txn, Write};

impl Node {
    pub(super) fn answered(&mut self, now: Instant, request: &Request, sent: Instant, answer: &Answer) {
        let is_current = request.session == self.own.live();
        match answer {
            Answer::Done(revision) => self.done(now, &request.txn, *revision),
            Answer::Refused { found, .. } => self.changes(now, found.clone()),
            Answer::Failed | Answer::Unknown => {}
        }
        self.session_answered(now, request, sent, answer);
        // Answers of an older session change nothing but the view (I6).
        if is_current {
            self.vips_answered(now, request, answer);
        }
    }

    /// Takes in what this node's own transaction wrote, as the watch will show it again later.
    fn done(&mut self, now: Instant, txn: &Txn, revision: Revision) {
        for write in txn.writes() {
            let change = match write {
                Write::Put(key, value) => {
                    let created = self.view.get(key).map_or(revision, |entry| entry.created);
                    let entry = Entry { created, modified: revision, value: value.clone() };
                    Change { key: key.clone(), revision, entry: Some(entry) }
                }
                Write::Delete(key) => Change { key: key.clone(), revision, entry: None },
            };
            self.change(now, change);
        }
    }

    /// Takes in what an answer says about the VIPs it was about.
    fn vips_answered(&mut self, now: Instant, request: &Request, answer: &Answer) {
        let renew = self.settings.timing.renew;
        let retry_at = match answer {
            Answer::Done(_) => Instant::ZERO,
            Answer::Refused { .. } => now + renew / 4,
            Answer::Failed | Answer::Unknown => now + renew,
        };
        let is_open = request.purpose == Purpose::HandOver && *answer == Answer::Unknown;
        for compare in request.txn.compares() {
            let Key::Vip(ip) = compare.key() else { continue };
            let Some(vip) = self.vips.get_mut(ip) else { continue };
            vip.inflight = Inflight::None { retry_at };
            // It may be carried out late, as long as the record is the one that it compares.
            if is_open && *compare == Compare::Modified(Key::Vip(*ip), vip.record.modified) {
                vip.step(Input::HandoverUnknown);
            }
        }
        match (request.purpose, answer) {
            // The other node was not silent: the watch is. What the watch kept from this node is no silence of anybody. Nor is
            // it where the session is gone by now: its owner may have renewed it until just before.
            (Purpose::TakeOver | Purpose::Clear, Answer::Refused { .. }) => {
                self.peers.wait_anew(now);
                self.effects.push(Effect::Relist);
            }
            (Purpose::Clear, Answer::Done(_)) => {
                if let Some(Key::Node(name)) = request.txn.compares().first().map(Compare::key) {
                    self.notify(Notice::Cleared(name.clone()));
                }
            }
            _ => {}
        }
    }
}
