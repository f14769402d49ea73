//! `cargo xtask test`: every unit test, and every scenario against the agent's real binary.

use std::env;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::num::NonZero;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::build::{self, Profile};
use crate::place::Place;
use crate::process;
use crate::refusal;
use crate::setup::{self, Purpose};
use crate::tally::Tally;

/// How many scenarios run at a time on two cores. Each is a handful of processes that mostly wait for timers, so one
/// for each core would leave the machine idle; with more, an agent starved of the processor loses its right, and the
/// scenario would be about the machine instead of about Mantle.
const SCENARIOS_ON_TWO_CORES: usize = 5;

/// Prepares, builds and runs them; the arguments go to every test program.
pub(crate) fn run(place: &Place, profile: Profile, arguments: &[String]) -> anyhow::Result<()> {
    let begun = Instant::now();
    refusal::unless_root("for the lab's network namespaces")?;
    setup::prepare(Purpose::Lab, place)?;
    build::with_tests(profile)?;
    let built = Instant::now();

    let (tally, succeeded) = run_tests(profile, arguments)?;
    println!("{tally}");
    println!(
        "Tested in {:.0} s, after {:.0} s of preparing and building.",
        built.elapsed().as_secs_f64(),
        built.duration_since(begun).as_secs_f64()
    );
    judge(tally, succeeded, setup::under_ci())
}

/// Runs every test program, showing what they print, and adds up what they report.
fn run_tests(profile: Profile, arguments: &[String]) -> anyhow::Result<(Tally, bool)> {
    let mut cargo = build::cargo("test", profile);
    cargo.args(["--no-fail-fast", "--"]).args(arguments);
    if io::stdout().is_terminal() {
        // It does not see the terminal through the pipe it is read by.
        cargo.arg("--color=always");
    }
    if env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        cargo.env("RUST_TEST_THREADS", (cores * SCENARIOS_ON_TWO_CORES / 2).to_string());
    }
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", process::line(&cargo)))?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("cargo's output is piped")?).lines() {
        let line = line.context("cannot read what the tests print")?;
        println!("{line}");
        tally.read(&line);
    }
    let status = child.wait().context("cannot wait for cargo to end")?;
    Ok((tally, status.success()))
}

fn judge(tally: Tally, succeeded: bool, under_ci: bool) -> anyhow::Result<()> {
    if !succeeded {
        bail!("tests failed: what went wrong stands above");
    }
    if tally.passed == 0 {
        bail!("no test was run: none has a name that contains what was asked for");
    }
    if under_ci && tally.ignored > 0 {
        bail!("{} tests were skipped, which under CI is a failure: it would look like a pass", tally.ignored);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_run_never_looks_like_a_pass() {
        let good = Tally { passed: 3, failed: 0, ignored: 0 };
        assert!(judge(good, true, true).is_ok());
        assert!(judge(good, false, false).is_err());
        assert!(judge(Tally::default(), true, false).is_err());
        let skipped = Tally { ignored: 1, ..good };
        assert!(judge(skipped, true, false).is_ok());
        assert!(judge(skipped, true, true).is_err());
    }
}
