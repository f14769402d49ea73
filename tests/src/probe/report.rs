//! What the client counted.

use std::net::IpAddr;
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use mantle_protocol::Instant;

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When it was sent.
    pub sent: Instant,
    /// Its first answer; nothing if it was lost.
    pub answer: Option<Answer>,
}

/// The answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the kernel took it in.
    pub at: Instant,
    /// The node's place in the list of those that answered.
    node: usize,
}

/// Everything the client counted.
#[derive(Clone, Debug)]
pub struct Probes(Vec<VipProbes>);

/// What the client counted for one VIP.
#[derive(Clone, Debug)]
pub struct VipProbes {
    vip: IpAddr,
    probes: Vec<Probe>,
    nodes: Vec<String>,
    doubled: u64,
}

/// A time without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last answer before it, or the start of the window.
    pub from: Instant,
    /// The first answer after it, or the end of the window.
    pub to: Instant,
}

/// Answers in a row from one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRun {
    /// Who answered.
    pub node: String,
    /// Its first answer.
    pub first: Instant,
    /// Its last answer.
    pub last: Instant,
    /// How many.
    pub count: usize,
}

impl Gap {
    /// How long it was.
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

impl Probes {
    pub(super) fn new(vips: &[IpAddr]) -> Self {
        let of = |vip: &IpAddr| VipProbes { vip: *vip, probes: Vec::new(), nodes: Vec::new(), doubled: 0 };
        Self(vips.iter().map(of).collect())
    }

    /// What was counted for a VIP.
    pub fn of(&self, vip: IpAddr) -> &VipProbes {
        self.0.iter().find(|of| of.vip == vip).unwrap_or_else(|| panic!("the client did not probe {vip}"))
    }

    /// What was counted for each VIP.
    pub fn iter(&self) -> impl Iterator<Item = &VipProbes> {
        self.0.iter()
    }

    pub(super) fn sent(&mut self, place: usize, probe: Probe) {
        self.0[place].probes.push(probe);
    }

    pub(super) fn answered(&mut self, place: usize, number: u64, at: Instant, node: &str) {
        self.0[place].answered(number, at, node);
    }
}

impl VipProbes {
    /// The VIP.
    pub fn vip(&self) -> IpAddr {
        self.vip
    }

    /// Every probe, in the order they were sent.
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// How many were sent.
    pub fn sent(&self) -> usize {
        self.probes.len()
    }

    /// How many were answered.
    pub fn answered_count(&self) -> usize {
        self.sent() - self.lost()
    }

    /// How many were not.
    pub fn lost(&self) -> usize {
        self.lost_in(..)
    }

    /// How many of those sent within a window were not answered.
    pub fn lost_in(&self, window: impl RangeBounds<Instant>) -> usize {
        self.lost_at(window).count()
    }

    /// When those were sent.
    pub fn lost_at(&self, window: impl RangeBounds<Instant>) -> impl Iterator<Item = Instant> {
        let sent = self.probes.iter().filter(|probe| probe.answer.is_none()).map(|probe| probe.sent);
        sent.filter(move |sent| window.contains(sent))
    }

    /// How many answers came for probes that had one already: two nodes answered, or the network doubled a packet.
    pub fn doubled(&self) -> u64 {
        self.doubled
    }

    /// The longest time without an answer within a window; an open end of the window is the first or last probe.
    /// Nothing if no probe was sent.
    ///
    /// A stall of the client itself looks like a gap too: compare [`Self::longest_stall`].
    pub fn longest_gap(&self, window: impl RangeBounds<Instant>) -> Option<Gap> {
        // The longest, and the first of those as long.
        self.all_gaps(window).into_iter().rev().max_by_key(Gap::length)
    }

    /// The times without an answer within a window that were at least so long, in their order.
    pub fn gaps(&self, window: impl RangeBounds<Instant>, least: Duration) -> Vec<Gap> {
        self.all_gaps(window).into_iter().filter(|gap| gap.length() >= least).collect()
    }

    fn all_gaps(&self, window: impl RangeBounds<Instant>) -> Vec<Gap> {
        let start = bound(window.start_bound()).or(self.probes.first().map(|probe| probe.sent));
        let end = bound(window.end_bound()).or(self.probes.last().map(|probe| probe.sent));
        let (Some(start), Some(end)) = (start, end) else { return Vec::new() };
        let mut marks = vec![start];
        marks.extend(self.answers().map(|(at, _)| at).filter(|at| start < *at && *at < end));
        marks.push(end);
        marks.windows(2).map(|pair| Gap { from: pair[0], to: pair[1] }).collect()
    }

    /// The client's own stalls: when it sent no probe for at least so long.
    pub fn stalls(&self, least: Duration) -> Vec<Gap> {
        let between = self.probes.windows(2).map(|pair| Gap { from: pair[0].sent, to: pair[1].sent });
        between.filter(|stall| stall.length() >= least).collect()
    }

    /// The longest time between two probes: the client's own share in any gap.
    pub fn longest_stall(&self) -> Duration {
        let between = |pair: &[Probe]| pair[1].sent.since(pair[0].sent);
        self.probes.windows(2).map(between).max().unwrap_or_default()
    }

    /// Who answered when: answers in a row from one node, folded. In the order in which the probes were sent: what an
    /// owner took in before it handed over it may answer a little later than its successor the next.
    pub fn runs(&self) -> Vec<NodeRun> {
        let mut runs: Vec<NodeRun> = Vec::new();
        for answer in self.probes.iter().filter_map(|probe| probe.answer.as_ref()) {
            let (at, node) = (answer.at, self.node_of(answer));
            match runs.last_mut() {
                Some(run) if run.node == node => {
                    run.last = run.last.max(at);
                    run.count += 1;
                }
                _ => runs.push(NodeRun { node: node.to_owned(), first: at, last: at, count: 1 }),
            }
        }
        runs
    }

    /// Who answered last.
    pub fn last_answered_by(&self) -> Option<&str> {
        self.answers().last().map(|(_, node)| node)
    }

    /// The node that gave an answer.
    pub fn node_of(&self, answer: &Answer) -> &str {
        &self.nodes[answer.node]
    }

    /// The answer to the latest probe that has one, if that was sent after `since`.
    pub fn latest_answer(&self, since: Instant) -> Option<&Answer> {
        let mut after = self.probes.iter().rev().take_while(|probe| probe.sent > since);
        after.find_map(|probe| probe.answer.as_ref())
    }

    /// The probes that were sent within a window.
    pub fn sent_in(&self, from: Instant, to: Instant) -> &[Probe] {
        let [start, end] = [from, to].map(|at| self.probes.partition_point(|probe| probe.sent < at));
        &self.probes[start..end.max(start)]
    }

    /// A node's first answer to a probe that was sent after `since`.
    pub fn first_answer(&self, node: &str, since: Instant) -> Option<Instant> {
        let from = self.probes.partition_point(|probe| probe.sent <= since);
        let by_node = |answer: &Answer| self.nodes[answer.node] == node;
        self.probes[from..].iter().filter_map(|probe| probe.answer).find(by_node).map(|answer| answer.at)
    }

    /// Who answered the first answered probe of those sent after `since`.
    pub(super) fn first_answerer(&self, since: Instant) -> Option<&str> {
        let from = self.probes.partition_point(|probe| probe.sent <= since);
        let answer = self.probes[from..].iter().find_map(|probe| probe.answer)?;
        Some(&self.nodes[answer.node])
    }

    fn answered(&mut self, number: u64, at: Instant, node: &str) {
        let known = self.nodes.iter().position(|known| known == node);
        let node = known.unwrap_or_else(|| {
            self.nodes.push(node.to_owned());
            self.nodes.len() - 1
        });
        let probe = usize::try_from(number).ok().and_then(|number| self.probes.get_mut(number));
        match probe {
            Some(probe @ Probe { answer: None, .. }) => probe.answer = Some(Answer { at, node }),
            Some(_) => self.doubled += 1,
            // A number that was never sent is not an answer.
            None => {}
        }
    }

    /// The answers in the order they came.
    fn answers(&self) -> impl Iterator<Item = (Instant, &str)> {
        let mut answers: Vec<_> = self.probes.iter().filter_map(|probe| probe.answer).collect();
        answers.sort_by_key(|answer| answer.at);
        answers.into_iter().map(|answer| (answer.at, self.nodes[answer.node].as_str()))
    }
}

fn bound(bound: Bound<&Instant>) -> Option<Instant> {
    match bound {
        Bound::Included(instant) | Bound::Excluded(instant) => Some(*instant),
        Bound::Unbounded => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_boot(Duration::from_millis(ms))
    }

    /// Ten probes, one each 10 ms; 0 to 2 answered by a, 6 to 8 by b, 1 ms later each.
    fn moved() -> VipProbes {
        let mut probes = Probes::new(&[[10, 0, 0, 1].into()]);
        for number in 0..10 {
            probes.sent(0, Probe { sent: at(number * 10), answer: None });
            match number {
                0..=2 => probes.answered(0, number, at(number * 10 + 1), "a"),
                6..=8 => probes.answered(0, number, at(number * 10 + 1), "b"),
                _ => {}
            }
        }
        probes.of([10, 0, 0, 1].into()).clone()
    }

    #[test]
    fn every_probe_is_counted_once() {
        let mut probes = moved();
        assert_eq!((probes.sent(), probes.answered_count(), probes.lost()), (10, 6, 4));
        assert_eq!(probes.lost_in(at(30)..at(50)), 2);
        probes.answered(0, at(99), "b");
        probes.answered(99, at(99), "b");
        assert_eq!((probes.answered_count(), probes.doubled()), (6, 1));
        assert_eq!(probes.last_answered_by(), Some("b"));
    }

    #[test]
    fn the_longest_gap_lies_between_answers_or_the_ends_of_the_window() {
        let probes = moved();
        assert_eq!(probes.longest_gap(..), Some(Gap { from: at(21), to: at(61) }));
        assert_eq!(probes.longest_gap(at(25)..).unwrap().length(), Duration::from_millis(36));
        assert_eq!(probes.gaps(.., Duration::from_millis(25)), [Gap { from: at(21), to: at(61) }]);
        assert_eq!(probes.longest_gap(at(62)..at(200)).unwrap(), Gap { from: at(81), to: at(200) });
        assert_eq!(probes.longest_stall(), Duration::from_millis(10));
        assert_eq!(
            (probes.stalls(Duration::from_millis(10)).len(), probes.stalls(Duration::from_millis(11)).len()),
            (9, 0)
        );
    }

    #[test]
    fn runs_tell_who_answered_when() {
        let probes = moved();
        let run = |node: &str, first, last| NodeRun {
            node: node.into(),
            first: at(first),
            last: at(last),
            count: 3,
        };
        assert_eq!(probes.runs(), [run("a", 1, 21), run("b", 61, 81)]);
        assert_eq!(probes.first_answer("b", at(0)), Some(at(61)));
        assert_eq!(probes.first_answer("b", at(60)), Some(at(71)), "the probe must be sent after");
        assert_eq!(probes.first_answer("a", at(60)), None);
        assert_eq!(probes.first_answerer(at(0)), Some("a"));
        assert_eq!(probes.first_answerer(at(20)), Some("b"));
        assert_eq!(probes.first_answerer(at(80)), None);
    }
}
