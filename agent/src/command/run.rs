//! `mantle run`: the agent.

use std::process::ExitCode;

use super::{ALREADY_RUNNING, check};
use crate::agent::guardian::{self, Split};
use crate::agent::{self, RunError, RuntimeDirError};
use crate::config::{Config, check_against};
use crate::link::machine_links;
use crate::observe::log::{self, LogFormat};

/// Runs the agent, and beside it its guardian. Exit codes: 0 ended in order, 1 failed, 4 another agent runs on this node.
pub(super) fn run(config: &Config, format: LogFormat, level: Option<&str>) -> anyhow::Result<ExitCode> {
    // First of all: the log has a thread already.
    let guard = match config.guardian.grace.map(|grace| (grace, guardian::split())) {
        Some((grace, Ok(Split::Guardian(vigil)))) => {
            guardian::guard(config, grace, vigil, format, level)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some((_, Ok(Split::Agent(guard)))) => Ok(Some(guard)),
        Some((_, Err(error))) => Err(error),
        None => Ok(None),
    };
    let _flush = log::init(format, level)?;
    let guard = guard.unwrap_or_else(|error| {
        tracing::warn!("{error}");
        None
    });
    let findings = check_against(config, &check::links(&machine_links()?));
    for warning in config.warnings.iter().chain(&findings.warnings) {
        tracing::warn!("{warning}");
    }
    let mut config = config.clone();
    for error in &findings.errors {
        tracing::error!("this VIP is left out: {error}");
        // One VIP that cannot be is no reason to drop the others (I8).
        config.vips.retain(|vip| vip.origin != error.origin);
    }
    match agent::run(&config, guard) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(RunError::RuntimeDir(error @ RuntimeDirError::Taken { .. })) => {
            tracing::error!("{error}");
            Ok(ExitCode::from(ALREADY_RUNNING))
        }
        Err(error) => Err(error.into()),
    }
}
