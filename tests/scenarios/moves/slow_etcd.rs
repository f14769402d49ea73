//! An etcd that takes what it is asked and answers late: too late for a try, or for the address's lifetime, and well before
//! the right is over.

use std::time::Duration;

use mantle_tests::clock::now;
use mantle_tests::stage::VIP;

use crate::relayed::behind_relays;
use crate::witness::{gap_since, watch_for};

/// Far more than a renewal usually takes, far less than the right that it gives.
const LATE: Duration = Duration::from_millis(250);

/// What a try at an endpoint is just not too long for; what is done with the answer then comes later.
const LAST_MOMENT: Duration = Duration::from_millis(148);

/// How long a VIP may be without an owner while etcd becomes slow: a silence and what a busy machine adds to it.
const SETTLED: Duration = Duration::from_secs(10);

#[test]
fn an_owner_whose_etcd_answers_late_does_not_keep_a_vip_that_it_does_not_wear() {
    with_late_answers("late-answers", LATE, &["a"]);
}

#[test]
fn an_owner_whose_etcd_answers_at_the_last_moment_does_not_keep_a_vip_that_it_does_not_wear() {
    with_late_answers("last-moment", LAST_MOMENT, &["a"]);
}

#[test]
fn where_etcd_answers_everybody_late_somebody_wears_the_vip() {
    with_late_answers("all-late", LATE, &["a", "b"]);
}

/// etcd takes at once what `nodes` ask, and answers them so much later. Once things have had time to settle the VIP is
/// answered for, with no more than a move's gap.
fn with_late_answers(name: &str, delay: Duration, nodes: &[&str]) {
    let (stage, relays) = behind_relays(name, &["a", "b"], "");
    for (node, relay) in stage.nodes.iter().zip(&relays) {
        if nodes.contains(&node.host.name()) {
            relay.delay_answers(delay);
        }
    }
    watch_for(SETTLED);
    let settled = now();
    watch_for(SETTLED);
    let gap = gap_since(&stage, VIP, settled);
    assert!(gap < SETTLED / 2, "the VIP was dark for {gap:?}, long after etcd had become slow");
    stage.end();
}
