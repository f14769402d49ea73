//! The judge: from what the tap saw it must follow that no two nodes acted as owner of a VIP at overlapping times.
//!
//! Each frame of a host must fall into a tenure of that host: a time for which the records name it. Tenures are
//! taken in their order, so that a host which comes back after another one needs a new tenure of its own. A tenure
//! ends when the lab *knew* that the record names somebody else; the change was made before that, so a frame after it
//! is a node acting past its right, whatever the watch's delay. Without records (a scenario without etcd) the order of
//! the frames alone decides: no host may come back after another.

mod tenure;
mod timeline;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mantle::wire::Mac;
use mantle_protocol::Instant;

use crate::history::Changes;
use crate::tap::{Frame, FrameKind};
use tenure::Tenures;
pub use timeline::timeline;
pub use verdict::{Verdict, Violation, Wrong};

/// Judges what the tap saw, with the records' history where there is one; `drops` is what the tap missed.
pub fn judge(frames: &[Frame], changes: Option<&Changes>, drops: u64) -> Verdict {
    let mut by_vip: BTreeMap<IpAddr, Vec<&Frame>> = BTreeMap::new();
    for frame in frames {
        by_vip.entry(frame.claim.vip).or_default().push(frame);
    }
    let none = Vec::new();
    let macs: BTreeMap<Mac, &str> = frames.iter().map(|frame| (frame.from, &*frame.host)).collect();
    let violations = by_vip.iter().flat_map(|(vip, frames)| match changes {
        Some(changes) => against_records(*vip, frames, Tenures::of(changes.get(vip).unwrap_or(&none)), &macs),
        None => by_order_alone(*vip, frames),
    });
    let start = frames.first().map(|frame| frame.at).unwrap_or_default();
    let timeline = timeline(frames, changes.unwrap_or(&Changes::new()), start);
    Verdict { drops, violations: violations.collect(), timeline }
}

fn against_records(
    vip: IpAddr,
    frames: &[&Frame],
    mut tenures: Tenures,
    macs: &BTreeMap<Mac, &str>,
) -> Vec<Violation> {
    let mut violations = Violations::default();
    for frame in frames {
        // Who has handed over serves its connections to their end, and may still say where the successor is.
        let is_due = |successor: &str| {
            let is_its = || macs.get(&frame.claim.mac).is_none_or(|host| *host == successor);
            frame.claim.kind == FrameKind::Ip || (frame.names_another() && is_its())
        };
        if tenures.successors(&frame.host, frame.at).any(is_due) {
            continue;
        }
        if let Err(wrong) = tenures.place(&frame.host, frame.at) {
            violations.add(vip, frame, wrong);
        }
    }
    violations.0
}

fn by_order_alone(vip: IpAddr, frames: &[&Frame]) -> Vec<Violation> {
    let mut violations = Violations::default();
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    let mut last: Option<(&str, Instant)> = None;
    for frame in frames {
        let host = &*frame.host;
        match last {
            Some((other, since)) if other != host => {
                gone.insert(other);
                if gone.contains(host) {
                    violations.add(vip, frame, Wrong::Overlap { other: other.to_owned(), since });
                }
                last = Some((host, frame.at));
            }
            Some(_) => {}
            None => last = Some((host, frame.at)),
        }
    }
    violations.0
}

/// Violations in a row of one host, folded: thousands of frames may tell the same.
#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, vip: IpAddr, frame: &Frame, wrong: Wrong) {
        if let Some(last) = self.0.last_mut()
            && *last.host == *frame.host
            && last.wrong == wrong
        {
            last.frames += 1;
            return;
        }
        let (host, kind) = (frame.host.to_string(), frame.claim.kind);
        self.0.push(Violation { vip, host, at: frame.at, kind, frames: 1, wrong });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::Change;
    use crate::tap::Claim;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn at(ms: u64) -> Instant {
        Instant::from_boot(Duration::from_secs(100) + Duration::from_millis(ms))
    }

    /// Frames from "host@millisecond" words; "host+" is one of a connection, "host:other" names another's MAC.
    fn frames(words: &str) -> Vec<Frame> {
        let frame = |word: &str| {
            let (host, ms) = word.split_once('@').unwrap();
            let kind = if host.ends_with('+') { FrameKind::Ip } else { FrameKind::ArpReply };
            let host = host.trim_end_matches('+');
            let (host, named) = host.split_once(':').unwrap_or((host, host));
            let [from, mac] = [host, named].map(|name| Mac([2, 0, 0, 0, 0, name.as_bytes()[0]]));
            let claim = Claim { vip: VIP, kind, mac };
            Frame { at: at(ms.parse().unwrap()), host: host.into(), from, claim }
        };
        words.split_whitespace().map(frame).collect()
    }

    /// Changes from "owner@millisecond" words; "-" is nobody, and "owner!" one that the VIP was handed over to.
    fn records(words: &str) -> Changes {
        let change = |(index, word): (usize, &str)| {
            let (owner, ms) = word.split_once('@').unwrap();
            let handed = owner.ends_with('!');
            let owner = owner.trim_end_matches('!');
            let owner = (owner != "-").then(|| owner.to_owned());
            let revision = i64::try_from(index).unwrap() + 1;
            Change { at: at(ms.parse().unwrap()), revision, owner, handed }
        };
        [(VIP, words.split_whitespace().enumerate().map(change).collect())].into()
    }

    fn wrongs(frame_words: &str, record_words: &str) -> Vec<Wrong> {
        let verdict = judge(&frames(frame_words), Some(&records(record_words)), 0);
        verdict.violations.into_iter().map(|violation| violation.wrong).collect()
    }

    #[test]
    fn a_vip_that_follows_its_record_is_in_order() {
        assert_eq!(wrongs("a@1 a@500 b@1001 b@1500 a@2000", "a@0 -@600 b@1000 -@1600 a@1999"), []);
        assert_eq!(wrongs("a@1 b@900", "a@0 b@1000"), [], "the watch may be slower than the announcement");
        assert_eq!(wrongs("a@1 a@700", "a@0 a@500 -@900"), [], "a new session of the same node");
    }

    #[test]
    fn who_handed_over_serves_its_connections_and_claims_nothing() {
        assert_eq!(wrongs("a@1 b@1001 a+@1002 b+@1003 a+@9000 b@9500", "a@0 b!@1000"), []);
        assert_eq!(wrongs("a@1 b@1001 a+@1002 b@1003 a@2000", "a@0 b!@1000 a!@1900"), [], "and back");
        assert_eq!(wrongs("a@1 b@1001 a@1200", "a@0 b!@1000").len(), 1, "that is a claim");
        assert_eq!(wrongs("a@1 b@1001 a+@1200", "a@0 b@1000").len(), 1, "it was taken over from");
        assert_eq!(wrongs("a@1 b@1001 a+@30000", "a@0 b!@1000").len(), 1, "no drain takes so long");
        assert_eq!(wrongs("a@1 a:b@999 a:b@1002 b@1003", "a@0 b!@1000"), [], "b is where it says");
        assert_eq!(wrongs("a@1 a:b@1200", "a@0 b@1000").len(), 1, "it has handed nothing over");
        assert_eq!(wrongs("a@1 b@1001 a:c@1002 b@1003 c@2001", "a@0 b!@1000 c@2000").len(), 1, "not to c");
    }

    #[test]
    fn a_frame_after_another_was_made_owner_is_past_the_right() {
        let past = Wrong::PastRight { ended: at(1000), successor: Some("b".into()) };
        assert_eq!(wrongs("a@1 a@1001", "a@0 b@1000"), [past]);
        let past = Wrong::PastRight { ended: at(1000), successor: None };
        assert_eq!(wrongs("a@1 a@1001 a@1002", "a@0 -@1000"), [past]);
    }

    #[test]
    fn two_hosts_at_once_overlap_even_before_the_record_is_known() {
        let overlap = |other: &str, since| Wrong::Overlap { other: other.into(), since: at(since) };
        assert_eq!(wrongs("a@1 b@990 a@995", "a@0 b@1000"), [overlap("b", 990)]);
    }

    #[test]
    fn coming_back_takes_a_record_of_its_own() {
        assert_eq!(wrongs("a@1 b@1001 a@2001", "a@0 b@1000 a@2000"), []);
        let past = Wrong::PastRight { ended: at(1000), successor: Some("b".into()) };
        assert_eq!(wrongs("a@1 b@1001 a@2001", "a@0 b@1000"), [past]);
    }

    #[test]
    fn a_host_that_no_record_names_is_never_owner() {
        assert_eq!(wrongs("a@1 c@2", "a@0 b@1000"), [Wrong::NeverOwner]);
        assert_eq!(wrongs("a@1", ""), [Wrong::NeverOwner]);
    }

    #[test]
    fn acting_long_before_the_record_is_too_early() {
        assert_eq!(wrongs("b@100", "a@0 b@1000"), [Wrong::TooEarly { owner_from: at(1000) }]);
    }

    #[test]
    fn without_records_nobody_may_come_back_after_another() {
        let wrongs = |words: &str| -> Vec<_> {
            let violations = judge(&frames(words), None, 0).violations;
            violations
                .into_iter()
                .map(|violation| (violation.host, violation.wrong, violation.frames))
                .collect()
        };
        assert_eq!(wrongs("a@1 a@2 b@3 b@4 c@5"), []);
        let overlap = Wrong::Overlap { other: "b".into(), since: at(3) };
        assert_eq!(wrongs("a@1 a@2 b@3 b@4 a@5"), [("a".into(), overlap, 1)]);
    }

    #[test]
    fn what_the_tap_missed_is_no_acquittal() {
        assert!(judge(&[], None, 0).is_in_order());
        let verdict = judge(&[], None, 3);
        assert!(!verdict.is_in_order());
        assert!(verdict.to_string().contains("3 frames"), "{verdict}");
    }

    #[test]
    fn a_verdict_tells_the_story() {
        let verdict = judge(&frames("a@1 a@1500"), Some(&records("a@0 b@1000")), 0);
        let told = verdict.to_string();
        for part in ["10.0.0.1", "a acted as owner", "0.500s after", "owner b", "ARP reply"] {
            assert!(told.contains(part), "{part:?} is missing in:\n{told}");
        }
    }
}
