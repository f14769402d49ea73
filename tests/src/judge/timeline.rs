//! Who acted as owner when, and what the records said, told for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use mantle_protocol::Instant;

use crate::history::{Change, Changes};
use crate::tap::{Frame, FrameKind};

/// Frames in a row of one host.
struct Run<'a> {
    host: &'a str,
    mac: String,
    first: Instant,
    last: Instant,
    kinds: BTreeMap<FrameKind, usize>,
}

/// Tells the story of each VIP, in seconds from `start`.
pub fn timeline(frames: &[Frame], changes: &Changes, start: Instant) -> String {
    let vips: BTreeSet<IpAddr> =
        frames.iter().map(|frame| frame.claim.vip).chain(changes.keys().copied()).collect();
    let mut text = String::new();
    for vip in vips {
        let mut lines: Vec<(Instant, String)> = Vec::new();
        for run in runs(frames.iter().filter(|frame| frame.claim.vip == vip)) {
            lines.push((run.first, tell_run(&run, start)));
        }
        for change in changes.get(&vip).into_iter().flatten() {
            lines.push((change.at, tell_change(change)));
        }
        lines.sort_by_key(|(at, _)| *at);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{vip}");
        for (at, line) in lines {
            let _ = writeln!(text, "  {:>10} {line}", relative(at, start));
        }
    }
    text
}

fn runs<'a>(frames: impl Iterator<Item = &'a Frame>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for frame in frames {
        let mac = frame.claim.mac.to_string();
        let same = runs.last_mut().filter(|run| run.host == &*frame.host && run.mac == mac);
        let run = if let Some(run) = same {
            run
        } else {
            let (first, kinds) = (frame.at, BTreeMap::new());
            runs.push(Run { host: &frame.host, mac, first, last: first, kinds });
            runs.last_mut().expect("just pushed")
        };
        run.last = frame.at;
        *run.kinds.entry(frame.claim.kind).or_default() += 1;
    }
    runs
}

fn tell_run(run: &Run<'_>, start: Instant) -> String {
    let kinds: Vec<_> = run.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("wire    {} ({}) until {}: {}", run.host, run.mac, relative(run.last, start), kinds.join(", "))
}

fn tell_change(change: &Change) -> String {
    format!("record  revision {}: owner {}", change.revision, change.owner.as_deref().unwrap_or("nobody"))
}

fn relative(at: Instant, start: Instant) -> String {
    let (sign, distance) = if at >= start { ('+', at.since(start)) } else { ('-', start.since(at)) };
    format!("{sign}{:.4}s", distance.as_secs_f64())
}
