//! The protocol under the model checker: exhausted within bounds, and refuted where a rule is broken.

use mantle_sim::Mutant;
use mantle_sim::model::{Bounds, Model, exhaust, refute};
use stateright::{Expectation, Model as _};

/// What is exhausted: the beginning, few faults for a longer time, more for a shorter one. `cargo xtask model` goes deeper.
const EXHAUSTED: [Bounds; 4] = [
    Bounds { settled: false, ..Bounds::settled(4, 1, 0) },
    Bounds::settled(7, 1, 1),
    Bounds::settled(6, 2, 0),
    Bounds { preempts: true, ..Bounds::settled(6, 1, 0) },
];

/// The rules that keep two nodes from answering, each with the bounds that show its breach: two that answer, or a record given
/// away by one that does.
const BROKEN: [(Mutant, Bounds); 10] = [
    (Mutant::SilenceIsLease, Bounds::settled(6, 2, 0)),
    (Mutant::NoKernelDeadline, Bounds::settled(9, 1, 0)),
    (Mutant::ClockStopsWhileFrozen, Bounds::settled(9, 1, 0)),
    (Mutant::LeaseFromTheAnswer, Bounds::settled(9, 1, 0)),
    (Mutant::EntriesOutliveTheSession, Bounds::settled(9, 1, 0)),
    (Mutant::UnguardedTakeOver, Bounds::settled(9, 1, 0)),
    (Mutant::UnguardedRenewal, Bounds::settled(6, 2, 0)),
    (Mutant::RearmedByARead, Bounds::settled(8, 1, 1)),
    (Mutant::HandsOverUnconfirmed, Bounds::settled(6, 1, 1)),
    (Mutant::OpensOnTheOffer, Bounds::settled(6, 0, 1)),
];

#[test]
fn within_bounds_one_node_at_most_answers_whatever_happens() {
    let mut found = Vec::new();
    for bounds in EXHAUSTED {
        let exhausted = exhaust(bounds, None).unwrap_or_else(|violated| panic!("{violated}"));
        println!("{exhausted}");
        found.extend(exhausted.happens);
    }
    for property in (Model { bounds: EXHAUSTED[0], broken: None }).properties() {
        let happens = property.expectation == Expectation::Always || found.contains(&property.name);
        assert!(happens, "it never comes to this, so nothing is proved of it: {}", property.name);
    }
}

#[test]
fn every_broken_rule_is_refuted() {
    let mut survivors = Vec::new();
    for (rule, bounds) in BROKEN {
        match refute(bounds, rule) {
            Some(violated) => println!("{rule:?} is refuted: {violated}"),
            None => survivors.push(rule),
        }
    }
    assert!(survivors.is_empty(), "the model refutes none of {survivors:?}");
}
