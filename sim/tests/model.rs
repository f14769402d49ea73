//! The protocol under the model checker: exhausted within bounds, and refuted where a rule is broken.
//!
//! What is ignored goes deeper for `MANTLE_MODEL_MINUTES` (10): bound after bound, each exhausted before the next.

#![expect(clippy::print_stdout, reason = "what was exhausted is shown by the test's own output")]

use std::time::{Duration, Instant};

use mantle_sim::Mutant;
use mantle_sim::model::{Bounds, Model};
use stateright::{Checker, Expectation, HasDiscoveries, Model as _};

/// Two nodes and one VIP, with an owner, for so long and with so many faults and orders.
const fn settled(ticks: u64, faults: u8, orders: u8) -> Bounds {
    Bounds { nodes: 2, vips: 1, settled: true, ticks, faults, orders }
}

/// What is exhausted when nobody asks for more: the beginning, few faults for a longer time, more for a shorter one.
const EXHAUSTED: [Bounds; 3] =
    [Bounds { settled: false, ..settled(4, 1, 0) }, settled(7, 1, 1), settled(6, 2, 0)];

/// The rules that keep two nodes from answering, each with the bounds that show its breach: two that answer, or a record given
/// away by one that does.
const BROKEN: [(Mutant, Bounds); 10] = [
    (Mutant::SilenceIsRight, settled(6, 2, 0)),
    (Mutant::NoKernelDeadline, settled(9, 1, 0)),
    (Mutant::ClockStopsWhileFrozen, settled(9, 1, 0)),
    (Mutant::RightFromTheAnswer, settled(9, 1, 0)),
    (Mutant::EntriesOutliveTheSession, settled(9, 1, 0)),
    (Mutant::UnguardedTakeOver, settled(9, 1, 0)),
    (Mutant::UnguardedRenewal, settled(6, 2, 0)),
    (Mutant::RearmedByARead, settled(8, 1, 1)),
    (Mutant::HandsOverUnconfirmed, settled(6, 1, 1)),
    (Mutant::OpensOnTheOffer, settled(6, 0, 1)),
];

/// How a violation came about, tick by tick.
fn story(checker: &impl Checker<Model>, name: &'static str) -> Option<String> {
    let path = checker.discovery(name)?;
    let line = |(state, action): (mantle_sim::model::State, Option<_>)| match action {
        Some(action) => format!("{:>4} {action:?}\n", state.ticks()),
        None => format!("{:>4} ** {name}\n", state.ticks()),
    };
    Some(path.into_vec().into_iter().map(line).collect())
}

fn is_always(model: &Model, name: &str) -> bool {
    model
        .properties()
        .iter()
        .any(|property| property.name == name && property.expectation == Expectation::Always)
}

/// Exhausts a model, until the time is over; gives what was found to happen sometimes, if there was time for all of it.
fn exhaust(bounds: Bounds, until: Option<Instant>) -> Option<Vec<&'static str>> {
    let began = Instant::now();
    let model = Model { bounds, broken: None };
    let left = until.map(|until| until.saturating_duration_since(began));
    let checker = model.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures);
    let checker = match left {
        Some(left) => checker.timeout(left),
        None => checker,
    };
    let checker = checker.spawn_dfs().join();
    let is_over = left.is_some_and(|left| began.elapsed() >= left);
    println!(
        "{bounds:?}: {} states, {} steps, depth {}, {:.1?}{}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed(),
        if is_over { ", not exhausted" } else { "" }
    );
    let found: Vec<&'static str> = checker.discoveries().keys().copied().collect();
    println!("it comes to {found:?}");
    for name in &found {
        assert!(
            !is_always(checker.model(), name),
            "{name} does not hold:\n{}",
            story(&checker, name).unwrap_or_default()
        );
    }
    (!is_over).then_some(found)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn within_bounds_one_node_at_most_answers_whatever_happens() {
    let found: Vec<_> = EXHAUSTED.into_iter().filter_map(|bounds| exhaust(bounds, None)).flatten().collect();
    for property in (Model { bounds: EXHAUSTED[0], broken: None }).properties() {
        let happens = property.expectation == Expectation::Always || found.contains(&property.name);
        assert!(happens, "it never comes to this, so nothing is proved of it: {}", property.name);
    }
}

#[test]
fn every_broken_rule_is_refuted() {
    let mut survivors = Vec::new();
    for (rule, bounds) in BROKEN {
        let began = Instant::now();
        let checker = Model { bounds, broken: Some(rule) }
            .checker()
            .threads(threads())
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        match checker
            .discoveries()
            .keys()
            .find_map(|name| story(&checker, name).filter(|_| is_always(checker.model(), name)))
        {
            Some(story) => println!(
                "{rule:?}, refuted after {} states and {:.1?}:\n{story}",
                checker.unique_state_count(),
                began.elapsed()
            ),
            None => survivors.push(rule),
        }
    }
    assert!(survivors.is_empty(), "the model refutes none of {survivors:?}");
}

#[test]
#[ignore = "takes the minutes it is given"]
fn bound_after_bound_holds_for_as_long_as_was_asked_for() {
    let minutes = std::env::var("MANTLE_MODEL_MINUTES").unwrap_or("10".into());
    let minutes: u64 =
        minutes.parse().unwrap_or_else(|_| panic!("MANTLE_MODEL_MINUTES={minutes} is no number"));
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    for ticks in 4.. {
        for (nodes, vips, faults) in [(2, 1, 2), (3, 2, 1)] {
            if exhaust(Bounds { nodes, vips, ..settled(ticks, faults, 0) }, Some(until)).is_none() {
                return;
            }
        }
    }
}
