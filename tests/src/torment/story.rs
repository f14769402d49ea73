//! The story of a run: what was done, what was measured, what the client saw, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use mantle_protocol::Instant;

use super::explain::Explained;
use super::run::{NAMES, On, Suffered};
use crate::probe::Gap;

/// What is told.
pub(super) struct Story<'a> {
    pub(super) start: Instant,
    pub(super) suffered: &'a [Suffered],
    pub(super) outages: &'a [Gap],
    pub(super) stalls: &'a [Gap],
    pub(super) gaps: &'a [Explained],
}

impl Story<'_> {
    /// Everything in the order in which it began.
    pub(super) fn told(&self) -> String {
        let mut lines: Vec<(Instant, String)> = Vec::new();
        for suffered in self.suffered {
            let lasted = suffered.until.since(suffered.from).as_millis();
            lines.push((
                suffered.from,
                format!("▶ {}: {} ms; as planned: {}", whom(suffered.on), lasted, suffered.fault),
            ));
        }
        for outage in self.outages {
            lines.push((outage.from, format!("· etcd took no write for {} ms", outage.length().as_millis())));
        }
        for stall in self.stalls {
            lines.push((
                stall.from,
                format!("· the machine kept a thread waiting for {} ms", stall.length().as_millis()),
            ));
        }
        for explained in self.gaps {
            lines.push((explained.gap.from, tell(explained)));
        }
        lines.sort_by_key(|(at, _)| *at);
        self.written(lines)
    }

    /// The gaps that fail the run: where only the beginning of the output is kept, they are what must be in it.
    pub(super) fn unexplained(&self) -> String {
        let gaps = self.gaps.iter().filter(|explained| !explained.is_explained());
        self.written(gaps.map(|explained| (explained.gap.from, tell(explained))))
    }

    fn written(&self, lines: impl IntoIterator<Item = (Instant, String)>) -> String {
        let mut text = String::new();
        for (at, line) in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:>9.3} s {line}", at.since(self.start).as_secs_f64());
        }
        text
    }

    /// For each cause that explained gaps alone: how many, the longest, and the least that a bound had left.
    pub(super) fn table(&self) -> String {
        let mut rows: BTreeMap<String, (usize, Duration, i128)> = BTreeMap::new();
        for explained in self.gaps {
            let mut kinds: Vec<&str> = explained.reasons.iter().map(|reason| reason.kind).collect();
            let (gap, bound) = (explained.gap.length(), explained.bound().total());
            let left = i128::try_from(bound.as_millis()).unwrap_or(i128::MAX)
                - i128::try_from(gap.as_millis()).unwrap_or(i128::MAX);
            kinds.dedup();
            let name = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(" + ") };
            let row = rows.entry(name).or_insert((0, Duration::ZERO, i128::MAX));
            *row = (row.0 + 1, row.1.max(gap), row.2.min(left));
        }
        let mut text = String::from("   gaps   longest  least left of the bound   cause\n");
        for (name, (count, longest, left)) in rows {
            let _ = writeln!(text, "{count:>7} {:>6} ms {left:>20} ms      {name}", longest.as_millis());
        }
        text
    }
}

fn whom(on: On) -> String {
    match on {
        On::Node(node) => format!("node {}", NAMES[node]),
        On::Member(member) => format!("etcd-{}", member + 1),
        On::Disks => "all disks".to_owned(),
    }
}

fn tell(explained: &Explained) -> String {
    let Explained { vip, gap, reasons, .. } = explained;
    let length = gap.length().as_millis();
    if reasons.is_empty() {
        return format!("✗ {vip} dark for {length} ms, and nothing explains it");
    }
    let names: Vec<&str> = reasons.iter().map(|reason| reason.told.as_str()).collect();
    let (sign, bound) = (if explained.is_explained() { ' ' } else { '✗' }, explained.bound());
    format!("{sign} {vip} dark for {length} ms: {}; bound: {bound}", names.join(" and "))
}
