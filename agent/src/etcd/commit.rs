//! Carrying out a transaction: one endpoint after the other until one gives a definite answer.

use std::time::Duration;

use tokio::time::{Instant as Deadline, timeout_at};

use super::endpoint::Endpoint;
use super::failure::{Cause, Errand};
use super::handle::Etcd;
use super::{ranking, transaction};
use crate::clock;
use mantle_protocol::{Answer, Instant, Txn, Write};

/// What became of a transaction, and when the try that etcd answered was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// What became of it.
    pub answer: Answer,
    /// Just before the try that was answered was sent: what a right counts from (I3). Nothing if none was answered.
    pub sent: Option<Instant>,
}

/// How one try at one endpoint ended.
pub(super) enum Try {
    Answered(Committed),
    /// It certainly was not carried out.
    NotDone,
    /// It certainly was not carried out, and another try there, logged in anew, may be.
    LoginExpired,
    /// It may have been carried out, or still be.
    Open,
}

impl Etcd {
    /// Carries out `txn`, asking one endpoint after the other, and gives up after `overall`.
    ///
    /// When a try's outcome is open and a later one is answered, that answer counts. It may be a refusal that the open
    /// try itself caused; what was found tells.
    ///
    /// Dropping the future leaves the outcome open.
    pub async fn commit(&self, txn: &Txn, overall: Duration) -> Committed {
        let deadline = Deadline::now() + overall;
        let order = ranking::order(&self.standings(), self.favourite());
        let mut open = false;
        for (turn, &number) in order.iter().enumerate() {
            let is_last = turn + 1 == order.len();
            match self.try_at(number, txn, is_last, deadline).await {
                Try::Answered(committed) => {
                    self.answered_by(number, txn, &committed.answer);
                    return committed;
                }
                Try::Open => open = true,
                Try::NotDone | Try::LoginExpired => {}
            }
        }
        Committed { answer: if open { Answer::Unknown } else { Answer::Failed }, sent: None }
    }

    /// One try at one endpoint, for as long as a try may take; the last one for as long as there is time.
    pub(super) async fn try_at(&self, number: usize, txn: &Txn, is_last: bool, deadline: Deadline) -> Try {
        let endpoint = self.endpoint(number);
        match self.try_once(endpoint, txn, is_last, deadline).await {
            Try::LoginExpired => self.try_once(endpoint, txn, is_last, deadline).await,
            other => other,
        }
    }

    async fn try_once(
        &self,
        endpoint: &std::sync::Arc<Endpoint>,
        txn: &Txn,
        is_last: bool,
        deadline: Deadline,
    ) -> Try {
        let settings = self.settings();
        // A connection in the making goes on being made in the background. With nobody left to ask it is worth waiting
        // for, and so is the answer: thrown away, a renewal that etcd took would keep others waiting and give no right.
        let until = if is_last { deadline } else { deadline.min(Deadline::now() + settings.try_timeout) };
        let Ok(Ok(connection)) = timeout_at(until, endpoint.connection()).await else { return Try::NotDone };

        let left = deadline.saturating_duration_since(Deadline::now());
        let limit = if is_last { left } else { left.min(settings.try_timeout) };
        if limit.is_zero() {
            return Try::NotDone;
        }
        let request = transaction::request(txn, self.keys());
        let mut kv = connection.kv.clone();
        let sent = clock::now();
        match endpoint.attempt(&connection, Errand::Write, limit, kv.txn(request)).await {
            Ok(response) => {
                self.took(clock::now().since(sent));
                Try::Answered(Committed {
                    answer: transaction::answer(txn, &response, self.keys()),
                    sent: Some(sent),
                })
            }
            Err(failure) if failure.cause == Cause::LoginExpired => Try::LoginExpired,
            Err(failure) if failure.cause.leaves_outcome_open() => Try::Open,
            Err(_) => Try::NotDone,
        }
    }

    /// Learns from an answer whom to ask first, and what the watch is to show.
    pub(super) fn answered_by(&self, number: usize, txn: &Txn, answer: &Answer) {
        self.prefer(number);
        self.warm();
        // A deletion alone leaves no trace when the key was gone: only a put is sure to show up in the watch.
        let shows = txn.writes().iter().any(|write| matches!(write, Write::Put(..)));
        if let Answer::Done(revision) = answer
            && shows
        {
            self.acknowledged(*revision);
        }
    }
}
