//! `mantle handoff`: has a VIP of this node handed over to another.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::observe::Status;
use crate::observe::client::{self, AskError};
use crate::observe::command::{HANDOFF, HandedOver, OUTCOME_WITHIN};
use crate::observe::status::Role;
use mantle_protocol::NodeName;

/// No agent is running behind the socket.
const NOT_RUNNING: u8 = 3;

/// The VIP was not handed over.
const NOT_HANDED_OVER: u8 = 7;

/// How long the agent may take to show its status.
const STATUS_WITHIN: Duration = Duration::from_secs(3);

/// How often is looked whether the drain has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// The VIP.
    pub(super) vip: IpAddr,
    /// The node that is to follow; the best that is ready if it is not said.
    pub(super) to: Option<NodeName>,
    /// Whether to come back only when the drain has ended.
    pub(super) wait: bool,
}

/// Asks the agent behind `socket`. Exit codes: 0 handed over, 1 an error, 3 no agent is running, 7 not handed over, with the
/// reason on stderr.
pub(super) fn run(socket: &Path, asked: &Asked) -> anyhow::Result<ExitCode> {
    let to = asked.to.as_ref().map(|to| format!("&to={to}")).unwrap_or_default();
    let path = format!("{HANDOFF}?vip={}{to}", asked.vip);
    let began = Instant::now();
    let answer = match client::post(socket, &path, OUTCOME_WITHIN + Duration::from_secs(1)) {
        Ok(answer) => answer,
        Err(error @ AskError::NotRunning { .. }) => {
            complain(&error.to_string())?;
            return Ok(ExitCode::from(NOT_RUNNING));
        }
        Err(AskError::Refused { code: 409, text, .. }) => {
            complain(&format!("{} is not handed over: {text}", asked.vip))?;
            return Ok(ExitCode::from(NOT_HANDED_OVER));
        }
        Err(error) => return Err(error.into()),
    };
    let handed: HandedOver = serde_json::from_str(&answer)
        .context("the agent's answer is of another version than this command")?;
    say(&format!(
        "{}: handed over to {} in {:.1} ms, epoch {}",
        handed.vip, handed.owner, handed.took_ms, handed.epoch
    ))?;
    if asked.wait {
        let ended = drained(socket, asked.vip)?;
        say(&format!("{}: {ended} after {} ms", handed.vip, began.elapsed().as_millis()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the node serves nothing of the VIP any more; what it found then.
fn drained(socket: &Path, vip: IpAddr) -> anyhow::Result<&'static str> {
    loop {
        let json = match client::get(socket, "/status.json", STATUS_WITHIN) {
            Ok(json) => json,
            Err(AskError::NotRunning { .. }) => return Ok("the agent has ended"),
            Err(error) => return Err(error.into()),
        };
        let status: Status = serde_json::from_str(&json).context("the agent's status cannot be read")?;
        match status.vips.iter().find(|shown| shown.vip == vip).map(|shown| shown.stance) {
            Some(Role::Forwarding | Role::Yielding) => sleep(LOOK_EVERY),
            Some(Role::Owner) => return Ok("owner again"),
            Some(Role::Off | Role::Prepared) | None => return Ok("drained"),
        }
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot print")
}

fn complain(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "mantle handoff: {line}").context("cannot print")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_agent_the_exit_code_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let asked = Asked { vip: "10.0.0.1".parse().unwrap(), to: None, wait: false };
        assert_eq!(run(&dir.path().join("mantle.sock"), &asked).unwrap(), ExitCode::from(NOT_RUNNING));
    }
}
