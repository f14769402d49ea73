//! What the agent shows of itself: status, metrics, health, logs.
//!
//! Everything in here runs on the agent's side thread. The core thread only ever stores: a [`Snapshot`] into a watch
//! channel, numbers into atomics. It waits for no scrape, no client and no terminal.

pub mod choices;
pub mod client;
pub mod command;
pub mod counters;
pub mod feed;
pub mod health;
pub mod http;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod serve;
pub mod snapshot;
pub mod status;
pub mod table;

#[cfg(test)]
mod sample;

pub use counters::Counters;
pub use feed::{Feed, Publisher, feed};
pub use snapshot::Snapshot;
pub use status::Status;
