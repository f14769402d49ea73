//! `cargo xtask model`: the protocol under the model checker, as deep as the time allows.

use crate::build;
use crate::place::Place;
use crate::process;
use crate::setup::{self, Purpose};

/// Exhausts bound after bound for so many minutes.
pub(crate) fn run(place: &Place, minutes: u32) -> anyhow::Result<()> {
    setup::prepare(Purpose::Build, place)?;
    let mut cargo = build::bare_cargo();
    // Optimized: it is all computing.
    cargo.current_dir(Place::workspace()).args([
        "run",
        "--release",
        "--package",
        "mantle-sim",
        "--bin",
        "model",
    ]);
    process::shown(cargo.arg("--").arg(minutes.to_string()))
}
