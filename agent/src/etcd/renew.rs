//! Carrying out a renewal: a second endpoint is asked before the first has failed.
//!
//! A right that waits for one endpoint is as good as that endpoint. So a renewal that has no answer within a time in
//! which answers usually come is sent to a second one as well, and both answers count. That is harmless for a renewal
//! and for nothing else: it compares the session's *create* revision, which a renewal leaves as it is, so each copy is
//! carried out or finds the session gone for good; and what it writes is this node's own. A copy that is late makes
//! others wait longer, and no right of ours rests on it but by its own answer.
//!
//! Each try counts from just before it was sent itself (I3). The first answer is the renewal's; a later one may still
//! move the right. No try outlives the time that the whole renewal has.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant as Deadline, sleep, sleep_until, timeout_at};

use super::commit::{Committed, Try};
use super::failure::{Cause, Errand};
use super::handle::Etcd;
use super::ranking;
use mantle_protocol::{Answer, Instant, Txn};

/// A renewal on its way, to one endpoint or more.
///
/// Dropping it leaves its outcome open.
pub struct Renewal {
    etcd: Etcd,
    txn: Txn,
    deadline: Deadline,
    /// The endpoints that were not asked yet, the best last.
    unasked: Vec<usize>,
    tries: FuturesUnordered<BoxFuture<'static, (usize, Try)>>,
    /// When the next endpoint is asked, whatever the others do.
    next: Deadline,
    open: bool,
    /// It has an answer: nothing is sent any more.
    is_answered: Arc<AtomicBool>,
}

impl Etcd {
    /// Begins to renew the session by `txn`, for `overall` at most.
    pub fn renew(&self, txn: Txn, overall: Duration) -> Renewal {
        let mut unasked = ranking::order(&self.standings(), self.favourite());
        unasked.reverse();
        let now = Deadline::now();
        Renewal {
            etcd: self.clone(),
            txn,
            deadline: now + overall,
            unasked,
            tries: FuturesUnordered::new(),
            next: now,
            open: false,
            is_answered: Arc::default(),
        }
    }
}

impl Renewal {
    /// What became of it, as the first endpoint that answers says.
    pub async fn answer(&mut self) -> Committed {
        loop {
            if self.tries.is_empty() && !self.ask() {
                let answer = if self.open { Answer::Unknown } else { Answer::Failed };
                return Committed { answer, sent: None };
            }
            let ended = tokio::select! {
                biased;
                ended = self.tries.next() => ended,
                () = sleep_until(self.next), if !self.unasked.is_empty() => {
                    self.ask();
                    continue;
                }
            };
            match ended {
                Some((number, Try::Answered(committed))) => {
                    self.is_answered.store(true, Ordering::Relaxed);
                    self.etcd.answered_by(number, &self.txn, &committed.answer);
                    return committed;
                }
                Some((_, Try::Open)) => self.open = true,
                Some((_, Try::NotDone | Try::LoginExpired)) | None => {}
            }
            // Whoever failed need not be waited for.
            self.ask();
        }
    }

    /// The next acknowledgement after the first answer: the instant before its own try was sent. Nothing once no try is left.
    pub async fn acknowledged_too(&mut self) -> Option<Instant> {
        while let Some((_, ended)) = self.tries.next().await {
            if let Try::Answered(Committed { answer: Answer::Done(_), sent: Some(sent) }) = ended {
                return Some(sent);
            }
        }
        None
    }

    /// Asks the next endpoint; says whether there was one.
    fn ask(&mut self) -> bool {
        let Some(number) = self.unasked.pop() else { return false };
        // A second try for what may be no more than a slow moment; a third only for what is more.
        let is_first = self.tries.is_empty();
        let patience = if is_first { self.etcd.hedge() } else { self.etcd.settings().try_timeout };
        self.next = Deadline::now() + patience;
        let (etcd, txn, deadline) = (self.etcd.clone(), self.txn.clone(), self.deadline);
        let is_answered = Arc::clone(&self.is_answered);
        self.tries.push(Box::pin(async move {
            // A connection may take longer than the other endpoint's answer.
            let connected = timeout_at(deadline, etcd.endpoint(number).connection()).await;
            if !matches!(connected, Ok(Ok(_))) || is_answered.load(Ordering::Relaxed) {
                return (number, Try::NotDone);
            }
            (number, etcd.renew_at(number, &txn, deadline).await)
        }));
        true
    }
}

impl Etcd {
    /// Tries one endpoint for as long as there is time. With others to ask, one that is silent for longer than a try may
    /// take counts as failed meanwhile.
    async fn renew_at(&self, number: usize, txn: &Txn, deadline: Deadline) -> Try {
        let mut tried = pin!(self.try_at(number, txn, true, deadline));
        let limit = self.settings().try_timeout;
        if self.settings().endpoints.len() > 1 {
            tokio::select! {
                biased;
                ended = &mut tried => return ended,
                () = sleep(limit) => self.endpoint(number).silent(Errand::Write, Cause::Silent(limit)),
            }
        }
        timeout_at(deadline, tried).await.unwrap_or(Try::Open)
    }
}
