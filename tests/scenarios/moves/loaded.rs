//! Moves on purpose with a load on the VIPs. As much of it as a busy machine bears; `cargo xtask bench --only handoff-load` has
//! more.

use std::time::Duration;

use mantle_tests::load::{Handoffs, Rates};
use mantle_tests::stage::{VIP, VIP6};

/// On each of two VIPs at once.
const RATES: Rates =
    Rates { datagrams: 1000, connections: 100, pause: Duration::from_millis(100), new_connections: 50 };

/// So much of every rate must be reached, however busy the machine.
const LEAST: f64 = 0.5;

fn nothing_is_lost(name: &str, mode: &str) {
    let mut handoffs = Handoffs::set(name, mode, &[VIP, VIP6]);
    for moved in handoffs.under(RATES, 4) {
        moved.assert_lossless(LEAST);
        assert_eq!(moved.gaps.len(), 4);
    }
    handoffs.end();
}

#[test]
fn four_handoffs_under_load_lose_nothing_at_tc() {
    nothing_is_lost("loaded-tc", "tc");
}

#[test]
fn four_handoffs_under_load_lose_nothing_at_native_xdp() {
    nothing_is_lost("loaded-xdp", "xdp");
}
