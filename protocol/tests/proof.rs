//! Whether the protocol is right, in short: some worlds of the simulator and a small model. The longer proofs are
//! `mantle-sim`'s own tests.

use std::thread;

use mantle_sim::model::{Bounds, exhaust};

/// How many worlds each thread runs.
const SEEDS: u64 = 750;

#[test]
fn every_invariant_holds_in_some_worlds() {
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (1..=SEEDS * threads).filter(|seed| seed % threads == thread) {
                    if let Some(violation) = mantle_sim::run(seed, None, false).violation {
                        let story = mantle_sim::run(seed, None, true).story.join("\n");
                        panic!("seed {seed}: {violation:?}\n{story}");
                    }
                }
            });
        }
    });
}

#[test]
fn within_small_bounds_one_node_at_most_answers_whatever_happens() {
    for bounds in [Bounds { settled: false, ..Bounds::settled(4, 1, 0) }, Bounds::settled(6, 1, 1)] {
        let exhausted = exhaust(bounds, None).unwrap_or_else(|violated| panic!("{violated}"));
        assert!(exhausted.whole);
    }
}
