//! What answers and the watch say of this node's session, and of the lease that its renewals give.

use super::own::Standing;
use super::vip::{Inflight, Input};
use super::{Effect, How, Node, Notice, Purpose, Request};
use crate::{Answer, Instant, Revision};

impl Node {
    /// Takes in what an answer says about the session.
    pub(super) fn session_answered(
        &mut self,
        now: Instant,
        request: &Request,
        sent: Instant,
        answer: &Answer,
    ) {
        let is_own = |session| request.session == Some(session);
        match (self.own.standing(), request.purpose) {
            (Standing::Starting, Purpose::Start) => match answer {
                Answer::Done(session) => {
                    self.go_live(now, *session, sent);
                    self.notify(Notice::SessionStarted(*session));
                }
                Answer::Refused { .. } | Answer::Failed | Answer::Unknown => self.try_again(now, answer),
            },
            (Standing::Resuming(session), Purpose::Resume) => match answer {
                Answer::Done(_) => {
                    self.go_live(now, session, sent);
                    self.notify(Notice::SessionResumed(session));
                    self.resume_vips(now, session);
                }
                Answer::Refused { .. } | Answer::Failed | Answer::Unknown => self.try_again(now, answer),
            },
            (Standing::Ending(session), Purpose::End) if is_own(session) => match answer {
                Answer::Done(_) | Answer::Refused { .. } => {
                    self.own.has_ended(session);
                    self.effects.push(Effect::Ended);
                }
                Answer::Failed | Answer::Unknown => {
                    self.own.stands(Standing::Live(session));
                    self.own.retry_at = now + self.settings.timing.renew;
                    self.own_again(session, |_| false);
                }
            },
            (
                Standing::Live(session),
                Purpose::Renew | Purpose::Claim | Purpose::TakeOver | Purpose::HandOver,
            ) if is_own(session) => match answer {
                Answer::Done(_) => {
                    self.extend_lease(session, sent);
                    self.own.acknowledged(now, request.decided);
                }
                // etcd answered, but renewed nothing.
                Answer::Refused { .. } => self.own.answered(request.decided),
                Answer::Failed | Answer::Unknown => self.own.missed(request.decided),
            },
            // Of an older session it means nothing (I6).
            _ => {}
        }
    }

    /// A further try of a renewal was acknowledged: perhaps it was sent later than the one that was answered first. Of an
    /// older session it means nothing (I6).
    pub(super) fn acknowledged_too(&mut self, session: Option<Revision>, sent: Instant) {
        if let Some(live) = self.own.live()
            && session == Some(live)
        {
            self.extend_lease(live, sent);
        }
    }

    /// The session was not begun. A refusal told what is there: that can be acted on at once.
    fn try_again(&mut self, now: Instant, answer: &Answer) {
        let pause = if matches!(answer, Answer::Refused { .. }) { 1 } else { 4 };
        self.own.stands(Standing::None);
        self.own.retry_at = now + self.settings.timing.renew * pause / 4;
    }

    fn go_live(&mut self, now: Instant, session: Revision, sent: Instant) {
        self.own.goes_live(now, session);
        self.extend_lease(session, sent);
    }

    /// The lease counts from before the acknowledged request was sent (I3), and never moves back.
    fn extend_lease(&mut self, session: Revision, sent: Instant) {
        let until = sent + self.settings.timing.lease;
        if until > self.lease {
            self.lease = until;
            self.effects.push(Effect::Grant(session, until));
        }
    }

    /// The key of this node's session now has this create revision; none if it is gone.
    pub(super) fn session_is(&mut self, created: Option<Revision>) {
        if let Some(session) = self.own.live()
            && created != Some(session)
        {
            self.lose_session(session);
        }
    }

    /// Disarms everything at once; every pending operation of the session is void (I6).
    fn lose_session(&mut self, session: Revision) {
        self.lease = Instant::ZERO;
        self.own.is_lost(session);
        for vip in self.vips.values_mut() {
            if vip.inflight.is_under_way() {
                vip.inflight = Inflight::default();
            }
            vip.step(Input::SessionLost);
        }
        self.effects.push(Effect::Revoke(session));
        self.notify(Notice::SessionLost(session));
    }

    /// What a resumed session owns goes on, if it still stands. What does not stand, or halfway in a handoff, may be under a
    /// release or a handover that an earlier agent sent, so it is served only once its record has changed.
    fn resume_vips(&mut self, now: Instant, session: Revision) {
        for (vip, epoch) in self.own_again(session, |vip| vip.kernel.may_be_given_away()) {
            self.notify(Notice::BecameOwner { vip, epoch, how: How::Resumed });
        }
        self.inherit_all(now, session);
    }

    /// Takes up the VIPs whose records name the session, which is live again.
    fn own_again(
        &mut self,
        session: Revision,
        must_rewrite: impl Fn(&super::Vip) -> bool,
    ) -> Vec<(std::net::IpAddr, crate::Epoch)> {
        let name = &self.settings.name;
        let own = self.vips.iter_mut().filter(|(_, vip)| vip.record.names(name, session));
        own.map(|(ip, vip)| {
            let must_rewrite = must_rewrite(vip);
            vip.step(Input::SessionBack { must_rewrite });
            (*ip, vip.record.epoch)
        })
        .collect()
    }
}
