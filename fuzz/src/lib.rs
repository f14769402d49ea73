//! Whatever comes from outside into the agent: one target each, which takes any bytes and panics if what is promised of
//! them does not hold.
//!
//! - `cargo test` replays the corpora and mutates them for a while, the same way on every run;
//! - `cargo xtask fuzz` has libFuzzer look for inputs that reach code no other has reached. What it finds belongs into the corpus,
//!   with the mend.

pub mod mutate;
pub mod target;

use std::path::PathBuf;

pub use target::Target;

/// Where the committed inputs of a target lie.
pub fn corpus(target: Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name())
}
