//! `cargo xtask fuzz`: libFuzzer looks for inputs that the agent does not bear.
//!
//! The instrumentation is LLVM's own, asked for by stable flags (`-C passes`, `-C llvm-args`), so that no nightly is needed:
//! what is instrumented otherwise by `cargo fuzz`, but for the address sanitizer, which our code without `unsafe` gains
//! little from. Everything is built for a named target: build scripts are not instrumented then.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::build;
use crate::place::Place;
use crate::process;
use crate::refusal::Refusal;
use crate::setup::{self, Purpose};

/// What can be fuzzed, as the crate `mantle-fuzz` names it.
pub(crate) const TARGETS: [&str; 5] = ["values", "frames", "config", "http", "control"];

/// Coverage as libFuzzer wants it: counters per edge, where they belong, and the operands of comparisons.
const INSTRUMENTED: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                            -Cllvm-args=-sanitizer-coverage-pc-table \
                            -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Whatever takes longer than these seconds for one input is a finding.
const LIMIT: &str = "-timeout=20";

/// Fuzzes each of the targets (all of them, if none is named) for so many minutes.
pub(crate) fn run(place: &Place, minutes: u32, targets: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = targets.iter().find(|name| !TARGETS.contains(&name.as_str())) {
        let known = TARGETS.join(", ");
        return Err(
            Refusal::Usage(format!("there is no target `{unknown}` to fuzz; there is {known}")).into()
        );
    }
    setup::prepare(Purpose::Build, place)?;
    let folder = place.target().join("fuzz");
    let program = program(&folder)?;
    let mut failed = Vec::new();
    for target in TARGETS {
        let is_asked_for = targets.is_empty() || targets.iter().any(|name| name == target);
        if is_asked_for && !fuzz(&program, &folder, target, minutes)? {
            failed.push(target);
        }
    }
    if !failed.is_empty() {
        bail!("findings in {}: the inputs lie in {}", failed.join(", "), folder.join("findings").display());
    }
    Ok(())
}

/// Builds it, away from everything that is built without instruments.
fn program(folder: &Path) -> anyhow::Result<PathBuf> {
    let version =
        process::silent(Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it builds for")?;
    let mut cargo = build::bare_cargo();
    cargo.current_dir(Place::workspace()).env("RUSTFLAGS", INSTRUMENTED);
    cargo.args([
        "build",
        "--package",
        "mantle-fuzz",
        "--features",
        "libfuzzer",
        "--bin",
        "fuzz",
        "--profile",
        "fuzz",
    ]);
    cargo.args(["--target", host]).arg("--target-dir").arg(folder);
    process::shown(&mut cargo)?;
    Ok(folder.join(host).join("fuzz/fuzz"))
}

/// Fuzzes one target; says whether nothing was found. What is new goes into a folder of its own: what of it is worth keeping is
/// a person's choice.
fn fuzz(program: &Path, folder: &Path, target: &str, minutes: u32) -> anyhow::Result<bool> {
    let grown = folder.join("corpus").join(target);
    let findings = folder.join("findings");
    for path in [&grown, &findings] {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    println!("Fuzzing {target} for {minutes} minutes");
    let mut command = Command::new(program);
    command.env("MANTLE_FUZZ", target).arg(grown).arg(Place::workspace().join("fuzz/corpus").join(target));
    command.arg(format!("-max_total_time={}", u64::from(minutes) * 60));
    command.arg(format!("-artifact_prefix={}/{target}-", findings.display()));
    command.args([LIMIT, "-max_len=8192", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=1"]);
    let status = command.status().with_context(|| format!("cannot run `{}`", process::line(&command)))?;
    Ok(status.success())
}
