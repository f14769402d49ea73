//! `cargo xtask model`: the protocol under the model checker for as long as was asked for, bound after bound, each exhausted
//! before the next.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people talks on the terminal")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mantle_sim::model::{Bounds, exhaust};

fn main() -> ExitCode {
    let Some(minutes) = std::env::args().nth(1).and_then(|minutes| minutes.parse::<u64>().ok()) else {
        eprintln!("Usage: model MINUTES");
        return ExitCode::from(2);
    };
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    for ticks in 4.. {
        for (nodes, vips, faults) in [(2, 1, 2), (3, 2, 1)] {
            let bounds = Bounds { nodes, vips, ..Bounds::settled(ticks, faults, 0) };
            match exhaust(bounds, Some(until)) {
                Ok(exhausted) => {
                    println!("{exhausted}");
                    if !exhausted.whole {
                        return ExitCode::SUCCESS;
                    }
                }
                Err(violated) => {
                    eprintln!("{violated}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}
