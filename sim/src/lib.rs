//! The protocol put to the proof, twice. The protocol is the product's own; what stands around it here is what the
//! product's rooms promise it.
//!
//! The simulator: many nodes and VIPs around one etcd, on one virtual clock, with everything that can go wrong drawn from
//! a seed, and the invariants judged after every step. The same seed gives the same world: a failing one replays alone
//! and tells its story.
//!
//! The [model]: few nodes and VIPs, and within bounds everything that can happen, in every order.

mod clock;
mod effects;
mod etcd;
mod fault;
mod handoffs;
mod host;
mod invariants;
mod kernel;
mod misfortune;
pub mod model;
mod mutant;
mod plan;
mod random;
mod store;
mod story;
mod strike;
mod world;

pub use clock::{Clock, Micros};
pub use invariants::Violation;
pub use kernel::{Entry, Fence, Kernel, State};
pub use mutant::{Broken, Mutant};
pub use store::Store;
pub use story::Counts;

use plan::Plan;
use random::Random;
use story::Story;
use world::World;

/// What became of a world.
pub struct Outcome {
    /// The first invariant that did not hold, if any.
    pub violation: Option<Violation>,
    /// What happened, if that was to be told.
    pub story: Vec<String>,
    /// What was done how often.
    pub counts: Counts,
}

/// Runs the world of a seed, with the protocol as it is or with one of its rules broken.
pub fn run(seed: u64, broken: Option<Broken>, told: bool) -> Outcome {
    run_planned(seed, Plan::draw, broken, told)
}

/// Runs a seed's world in which one VIP alone is in trouble.
pub fn run_with_one_in_trouble(seed: u64, broken: Option<Broken>, told: bool) -> Outcome {
    run_planned(seed, Plan::draw_with_one_in_trouble, broken, told)
}

/// Something that the protocol does not survive yet. Worlds with it are kept apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A record is deleted, and a node that never saw it starts, or one hears nothing of it.
    RecordLost,
    /// etcd is stopped and restored to an older state under live agents.
    Restored,
    /// A machine is cloned with its running agent.
    Cloned,
}

/// Runs a seed's world in which that happens.
pub fn run_beyond(limit: Limit, seed: u64, told: bool) -> Outcome {
    let mut random = Random::new(seed);
    let plan = Plan::draw_beyond(&mut random, limit);
    finish(World::new(random, plan, None, Story::new(told)))
}

fn run_planned(seed: u64, draw: fn(&mut Random) -> Plan, broken: Option<Broken>, told: bool) -> Outcome {
    let mut random = Random::new(seed);
    let plan = draw(&mut random);
    finish(World::new(random, plan, broken, Story::new(told)))
}

fn finish(mut world: World) -> Outcome {
    world.run();
    let violation = world.violation;
    let (story, counts) = world.story.end();
    Outcome { violation, story, counts }
}
