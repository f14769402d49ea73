//! What an owner and two standbys write into etcd, counted by its revisions: each transaction that writes makes one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use etcd_client::{Client, Error, WatchOptions};
use mantle_protocol::{Instant, Revision};

use super::figures::{Figure, WRITES_FAST, WRITES_FASTEST, WRITES_FOR_MANY, WRITES_FOR_ONE, WRITES_STEADY};
use super::series::Series;
use super::settle::wait_stands_by;
use super::vips;
use crate::clock::now;
use crate::namespace::finish;
use crate::stage::{Setting, Stage, VIP};

/// How long each run counts.
const WINDOW: Duration = Duration::from_secs(10);
/// After this nothing of the start is left.
const CALM: Duration = Duration::from_secs(3);

/// One VIP, and many; and one at each other timing.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    vec![
        writes("bench-etcd-writes-one", &WRITES_FOR_ONE, "timing: default", vec![VIP], runs),
        writes("bench-etcd-writes-many", &WRITES_FOR_MANY, "timing: default", vips::many(), runs),
        writes("bench-etcd-writes-steady", &WRITES_STEADY, "timing: steady", vec![VIP], runs),
        writes("bench-etcd-writes-fast", &WRITES_FAST, "timing: fast", vec![VIP], runs),
        writes("bench-etcd-writes-fastest", &WRITES_FASTEST, "timing: fastest", vec![VIP], runs),
    ]
}

fn writes(name: &str, figure: &'static Figure, settings: &str, vips: Vec<IpAddr>, runs: usize) -> Series {
    let interval = Duration::from_millis(500);
    let stage = Stage::set(
        name,
        &Setting { nodes: &["a", "b", "c"], vips, settings, interval, ..Setting::default() },
    );
    (0..3).for_each(|at| wait_stands_by(&stage, at));
    sleep(CALM);
    let rates = (0..runs).map(|_| rate(&seen_within(&stage, WINDOW))).collect();
    stage.end();
    Series::new(figure, rates)
}

/// A write as the watch shows it.
struct Write {
    at: Instant,
    revision: Revision,
    key: Vec<u8>,
}

/// Writes per second: for each key from its first write to its last, so that the ends of the window take nothing away
/// and add nothing.
fn rate(writes: &[Write]) -> f64 {
    let (Some(first), Some(last)) = (writes.first(), writes.last()) else { return 0.0 };
    let revisions = usize::try_from(last.revision - first.revision + 1).unwrap_or_default();
    let mut by_key: BTreeMap<&[u8], Vec<Instant>> = BTreeMap::new();
    for write in writes {
        by_key.entry(&write.key).or_default().push(write.at);
    }
    assert_eq!(writes.len(), revisions, "somebody writes what is not below the prefix");
    let of_key = |at: &Vec<Instant>| {
        let span = at[at.len() - 1].since(at[0]).as_secs_f64();
        // A key written once in all the time is no renewal, and counts as what it is.
        let intervals = u32::try_from(at.len() - 1).unwrap_or(u32::MAX);
        if intervals == 0 { 1.0 / WINDOW.as_secs_f64() } else { f64::from(intervals) / span }
    };
    by_key.values().map(of_key).sum()
}

fn seen_within(stage: &Stage, window: Duration) -> Vec<Write> {
    let etcd = stage.etcd.clone();
    let watching = etcd.observer().clone().on_thread(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}"));
        runtime.block_on(async {
            let client = etcd.access().connect(&etcd.endpoints()[0]).await?;
            watch(client, window).await
        })
    });
    finish(watching.join()).unwrap_or_else(|error: Error| panic!("cannot watch etcd: {error}"))
}

async fn watch(mut client: Client, window: Duration) -> Result<Vec<Write>, Error> {
    // Everything, not only what is below the prefix: nothing that is written can hide.
    let mut stream = client.watch("\0", Some(WatchOptions::new().with_from_key())).await?;
    let end = tokio::time::Instant::now() + window;
    let mut writes = Vec::new();
    while let Ok(message) = tokio::time::timeout_at(end, stream.message()).await {
        let Some(response) = message? else { break };
        let at = now();
        let kvs = response.events().iter().filter_map(|event| event.kv());
        writes.extend(kvs.map(|kv| Write { at, revision: kv.mod_revision(), key: kv.key().to_vec() }));
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(ms: u64, revision: Revision, key: &str) -> Write {
        Write { at: Instant::from_boot(Duration::from_millis(ms)), revision, key: key.into() }
    }

    #[test]
    fn each_session_counts_from_its_first_renewal_to_its_last() {
        let writes: Vec<_> = [(0, "a"), (150, "b"), (200, "a"), (400, "a"), (1150, "b")].into();
        let writes: Vec<_> =
            (1..).zip(writes).map(|(revision, (ms, key))| write(ms, revision, key)).collect();
        assert!((rate(&writes) - 6.0).abs() < 1e-9);
        assert!(rate(&[]).abs() < 1e-9);
    }

    #[test]
    #[should_panic(expected = "somebody writes")]
    fn a_revision_that_was_not_seen_is_noticed() {
        rate(&[write(0, 1, "a"), write(200, 3, "a")]);
    }
}
