//! Exhausting a model: every state within its bounds, or as many as there is time for.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model as _};
use thiserror::Error;

use super::{Bounds, Model, State};

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
    for property in checker.model().properties() {
        if property.expectation == Expectation::Always
            && let Some(story) = story(&checker, property.name)
        {
            return Err(Violated { property: property.name, story });
        }
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

/// How a breach of this property comes about, tick by tick, with one of the rules broken: the shortest way there is. Nothing
/// if it does not.
pub fn refute(bounds: Bounds, broken: crate::Mutant, property: &'static str) -> Option<String> {
    let model = Model { bounds, broken: Some(broken) };
    let checker =
        model.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    story(&checker, property)
}

fn story(checker: &impl Checker<Model>, property: &'static str) -> Option<String> {
    let path = checker.discovery(property)?;
    let line = |(state, action): (State, Option<_>)| match action {
        Some(action) => format!("{:>4} {action:?}\n", state.ticks()),
        None => format!("{:>4} ** {property}\n", state.ticks()),
    };
    Some(path.into_vec().into_iter().map(line).collect())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
