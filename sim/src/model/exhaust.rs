//! Exhausting a model: every state within its bounds, or as many as there is time for.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model as _, Property};
use thiserror::Error;

use super::{Bounds, Model, State};
use crate::Mutant;

/// What a search came to.
#[derive(Debug)]
pub struct Exhausted {
    bounds: Bounds,
    states: usize,
    steps: usize,
    depth: usize,
    took: Duration,
    /// Whether every state was visited.
    pub whole: bool,
    /// What was found to happen.
    pub happens: Vec<&'static str>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bounds, states, steps, depth, took, whole, happens } = self;
        writeln!(
            f,
            "{bounds:?}: {states} states, {steps} steps, depth {depth}, {took:.1?}{}",
            match whole {
                true => "",
                false => ", not exhausted",
            }
        )?;
        write!(f, "it comes to {happens:?}")
    }
}

/// Something that must always hold did not.
#[derive(Debug, Error)]
#[error("{property} does not hold:\n{story}")]
pub struct Violated {
    property: &'static str,
    story: String,
}

/// Visits every state within the bounds, until the time is over.
pub fn exhaust(bounds: Bounds, until: Option<Instant>) -> Result<Exhausted, Violated> {
    let began = Instant::now();
    let left = until.map(|until| until.saturating_duration_since(began));
    let checker =
        Model { bounds, broken: None }.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures);
    let checker = match left {
        Some(left) => checker.timeout(left),
        None => checker,
    };
    let checker = checker.spawn_dfs().join();
    if let Some(violated) = violated(&checker) {
        return Err(violated);
    }
    Ok(Exhausted {
        bounds,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        whole: left.is_none_or(|left| began.elapsed() < left),
        happens: checker.discoveries().keys().copied().collect(),
    })
}

/// What comes of one of the rules being broken, by the shortest way there is. Nothing if it does no harm.
pub fn refute(bounds: Bounds, broken: Mutant) -> Option<Violated> {
    let model = Model { bounds, broken: Some(broken) };
    let search = model.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures);
    violated(&search.spawn_bfs().join())
}

/// What was found to be violated, with how it came about, tick by tick.
fn violated(checker: &impl Checker<Model>) -> Option<Violated> {
    let properties = checker.model().properties().into_iter();
    let mut always = properties.filter(|property| property.expectation == Expectation::Always);
    always.find_map(|Property { name, .. }| {
        let line = |(state, action): (State, Option<_>)| match action {
            Some(action) => format!("{:>4} {action:?}\n", state.ticks()),
            None => format!("{:>4} ** {name}\n", state.ticks()),
        };
        let path = checker.discovery(name)?;
        Some(Violated { property: name, story: path.into_vec().into_iter().map(line).collect() })
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
