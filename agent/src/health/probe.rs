//! One try of a check, within its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::{command, http};
use crate::config::{Check, CheckKind, CommandCheck};

/// How long a command that was killed may take to be gone.
const GRACE: Duration = Duration::from_secs(1);

/// What tries a check.
pub(super) struct Prober {
    kind: CheckKind,
    limit: Duration,
    stopping: Arc<AtomicBool>,
    /// A command that could not be ended in time: it hangs within the kernel, and no second one is started beside it.
    stuck: Option<JoinHandle<Result<(), String>>>,
}

impl Prober {
    pub(super) fn new(check: &Check, stopping: Arc<AtomicBool>) -> Self {
        Self { kind: check.kind.clone(), limit: check.pace.timeout, stopping, stuck: None }
    }

    /// Tries once; says why if it failed.
    pub(super) async fn probe(&mut self) -> Result<(), String> {
        let limit = self.limit;
        let late = |_| Err(format!("no answer within {limit:?}"));
        match &self.kind {
            CheckKind::Tcp(address) => {
                timeout(limit, connect(*address)).await.map_or_else(late, |result| result.map(drop))
            }
            CheckKind::Http(check) => timeout(limit, http::probe(check)).await.unwrap_or_else(late),
            CheckKind::Command(command) => {
                let command = command.clone();
                self.run(command).await
            }
        }
    }

    async fn run(&mut self, command: CommandCheck) -> Result<(), String> {
        let (limit, stopping) = (self.limit, Arc::clone(&self.stopping));
        let mut running = self
            .stuck
            .take()
            .unwrap_or_else(|| spawn_blocking(move || command::run(&command, limit, &stopping)));
        if let Ok(result) = timeout(limit + GRACE, &mut running).await {
            return result.unwrap_or_else(|error| Err(format!("the try was cut short: {error}")));
        }
        self.stuck = Some(running);
        Err("the command was killed and does not end: it hangs within the kernel".to_owned())
    }
}

/// Connects.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("cannot connect to {address}: {error}"))
}
