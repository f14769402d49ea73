//! `mantle status`: asks the agent on this node how things stand.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::observe::client::{self, AskError};
use crate::observe::{Status, table};

/// How long the agent may take: it answers in a millisecond or not at all.
const LIMIT: Duration = Duration::from_secs(3);

/// No agent is running behind the socket.
const NOT_RUNNING: u8 = 3;

/// What to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// The status document, as `docs/status.md` describes it.
    Json,
}

/// Prints the status of the agent behind `socket`. Exit codes: 0 it answered, 1 an error, 3 no agent is running.
pub fn run(socket: &Path, format: Format) -> anyhow::Result<ExitCode> {
    let json = match client::get(socket, "/status.json", LIMIT) {
        Ok(json) => json,
        Err(error @ AskError::NotRunning { .. }) => {
            print(std::io::stderr(), &format!("mantle status: {error}\n"))?;
            return Ok(ExitCode::from(NOT_RUNNING));
        }
        Err(error) => return Err(error.into()),
    };
    let text = match format {
        // As it came: with every field the agent sent, also those that this version doesn't know.
        Format::Json => json,
        Format::Table => table::draw(&parse(&json)?, colour()),
    };
    print(std::io::stdout(), &text)?;
    Ok(ExitCode::SUCCESS)
}

fn parse(json: &str) -> anyhow::Result<Status> {
    let status: Status = serde_json::from_str(json)
        .context("the agent's status is of another version than this command; `-o json` shows it as it is")?;
    anyhow::ensure!(
        status.version == Status::VERSION,
        "the agent's status has version {}, this command knows {}; `-o json` shows it as it is",
        status.version,
        Status::VERSION
    );
    Ok(status)
}

/// Colours belong on a terminal, unless its owner said no (<https://no-color.org>).
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints; a reader that left early (`| head`) has seen what it wanted.
fn print(mut to: impl Write, text: &str) -> anyhow::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot print the status"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../observe/golden/status.json");

    #[test]
    fn a_status_of_another_version_is_not_guessed_at() {
        assert!(parse(DOCUMENT).is_ok());
        let later = DOCUMENT.replacen("\"version\": 1", "\"version\": 2", 1);
        let error = parse(&later).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("-o json"), "{error}");
    }

    #[test]
    fn without_an_agent_the_exit_code_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let code = run(&dir.path().join("mantle.sock"), Format::Table).unwrap();
        assert_eq!(code, ExitCode::from(NOT_RUNNING));
    }
}
