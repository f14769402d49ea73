//! An endpoint of etcd that stops answering, beside one that goes on.

use std::time::Duration;

use mantle_tests::clock::now;
use mantle_tests::etcd::Relay;
use mantle_tests::stage::{Setting, Stage};

use crate::seen::metric;
use crate::witness::watch_for;

/// A right that is over before a silent endpoint has failed (150 ms), if nobody else is asked meanwhile.
const SHORT: &str = "timing: {renew: 100ms, lease: 200ms, silence: 275ms}";

/// How late a stalled endpoint answers: no right comes of that.
const LATE: Duration = Duration::from_millis(400);

/// Longer than what was late is on its way.
const SETTLED: Duration = Duration::from_millis(600);

/// How often an endpoint stalls at most: a busy machine may end so short a right by itself.
const TURNS: usize = 20;

#[test]
fn an_endpoint_that_stalls_ends_no_right_while_another_answers() {
    let setting = Setting { members: 2, settings: SHORT, ..Setting::default() };
    let mut stage = Stage::empty("stalled-endpoint", &setting);
    let since = now();
    let (at, relays) = stage.add_behind_relays("a");
    stage.wait_owner(at, since);

    let (mut asked, mut unharmed) = (0, 0);
    for turn in 0..TURNS {
        // Whoever answered last is asked first, so they stall in turns.
        if let Some(is_unharmed) = stalled(&stage, &relays, turn % relays.len()) {
            asked += 1;
            unharmed += usize::from(is_unharmed);
        }
        if unharmed >= 3 {
            break;
        }
    }
    assert!(unharmed >= 3, "the right outlived {unharmed} stalls of {asked}");
    stage.end();
}

/// Lets an endpoint stall for a while; says whether the right outlived it, if the agent asked there.
fn stalled(stage: &Stage, relays: &[Relay], endpoint: usize) -> Option<bool> {
    let host = &stage.nodes[0].host;
    watch_for(SETTLED);
    let before = metric(host, "mantle_lapses_total");
    relays[endpoint].delay_answers(LATE);
    watch_for(SETTLED);
    let status = stage.status(0).expect("an agent runs on a");
    let is_unharmed = metric(host, "mantle_lapses_total") <= before;
    relays[endpoint].delay_answers(Duration::ZERO);
    status["etcd"]["endpoints"][endpoint]["last_error"].is_string().then_some(is_unharmed)
}
