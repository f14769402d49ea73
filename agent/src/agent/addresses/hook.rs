//! What the config wants run after a change.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// So long it may run; then it is killed, since the next change waits for it.
const LIMIT: Duration = Duration::from_secs(30);

/// One call of a consumer's command.
#[derive(Debug)]
pub(super) struct Hook {
    consumer: String,
    command: Vec<String>,
    /// The lines of the consumer's environment file.
    environment: Vec<(String, String)>,
}

impl Hook {
    pub(super) fn new(consumer: &str, command: &[String], environment: &str) -> Self {
        let lines = environment.lines().filter_map(|line| line.split_once('='));
        let environment = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { consumer: consumer.to_owned(), command: command.to_vec(), environment }
    }

    pub(super) async fn run(self) {
        let Self { consumer, command, environment } = self;
        // The config refuses an empty command.
        let [program, arguments @ ..] = command.as_slice() else { return };
        let spawned = Command::new(program)
            .args(arguments)
            .envs(environment)
            .env("MANTLE_CONSUMER", &consumer)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return tracing::error!(consumer, program, "onChange cannot be started: {error}"),
        };
        match timeout(LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => tracing::info!(consumer, program, "onChange done"),
            Ok(Ok(status)) => tracing::error!(consumer, program, "onChange failed: {status}"),
            Ok(Err(error)) => tracing::error!(consumer, program, "onChange was lost: {error}"),
            Err(_) => tracing::error!(consumer, program, "onChange killed: it ran for longer than {LIMIT:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hook_is_told_what_changed() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        let script = format!("echo $MANTLE_CONSUMER $DB_ADDRESS >> {}", told.display());
        let command = ["sh", "-c", &script].map(str::to_owned);
        Hook::new("db", &command, "DB_ADDRESS=10.0.0.5\nDB_ADDRESSES=10.0.0.5\n").run().await;
        assert_eq!(std::fs::read_to_string(told).unwrap(), "db 10.0.0.5\n");
    }
}
