//! Somebody takes the owner's address off: what the client notices until it is back.

use ipnet::IpNet;

use super::figures::REMOVED_BY_HAND;
use super::series::Series;
use super::settle::{longest_gap, look_on, wait_stands_by};
use crate::clock::now;
use crate::lab::PUBLIC_LINK;
use crate::stage::{Setting, Stage, VIP};

/// Two nodes and three members; the standby looks on.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let stage = Stage::set("bench-removed-by-hand", &Setting { members: 3, ..Setting::default() });
    wait_stands_by(&stage, 1);
    let gaps = (0..runs).map(|_| {
        let removed = now();
        stage.nodes[0].host.remove_address(PUBLIC_LINK, IpNet::from(VIP));
        longest_gap(&stage, removed, look_on()).as_secs_f64() * 1000.0
    });
    let series = Series::new(&REMOVED_BY_HAND, gaps.collect());
    stage.end();
    vec![series]
}
