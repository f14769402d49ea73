//! A real etcd on loopback, with a directory of its own; gone with the test, however it ends.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub(super) struct Server {
    process: Option<Child>,
    directory: TempDir,
    pub(super) port: u16,
    scheme: &'static str,
    more: Vec<String>,
}

/// A free port of loopback, below those that the kernel hands out by itself: those of a server that is about to be
/// started again must not be taken meanwhile by one of the many connections around.
pub(super) fn free_port() -> u16 {
    let drawn = std::iter::repeat_with(|| 10_000 + RandomState::new().hash_one(()) % 20_000);
    drawn
        .map(|port| u16::try_from(port).unwrap())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

impl Server {
    /// An etcd with its defaults.
    pub(super) async fn start() -> Self {
        Self::start_with("http", &[]).await
    }

    /// An etcd that serves `scheme` and takes these arguments besides.
    pub(super) async fn start_with(scheme: &'static str, more: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            directory: TempDir::new().unwrap(),
            port: free_port(),
            scheme,
            more: more.iter().map(ToString::to_string).collect(),
        };
        server.run().await;
        server
    }

    pub(super) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Starts it again after [`Server::stop`], with the same data and at the same port.
    pub(super) async fn run(&mut self) {
        let mut command = Command::new(program());
        command
            .arg("--data-dir")
            .arg(self.directory.path().join("data"))
            .args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()])
            .args(["--listen-peer-urls", "http://127.0.0.1:0", "--log-level", "error"])
            .args(&self.more)
            // It takes ETCD_* for arguments.
            .env_clear()
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: between fork and exec only prctl(2) is called, which is async-signal-safe and allocates nothing.
        unsafe {
            command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
        }
        let process =
            command.spawn().unwrap_or_else(|error| panic!("cannot run etcd: {error}; run cargo xtask setup"));
        self.process = Some(process);
        let listening = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                let ended = self.process.as_mut().unwrap().try_wait().unwrap();
                assert_eq!(ended, None, "etcd ended at once");
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), listening).await.expect("etcd listens within 20 s");
        // It listens a little before it has elected itself.
        self.wait_for_leader().await;
    }

    async fn wait_for_leader(&self) {
        if self.scheme == "https" {
            return;
        }
        let leads = async {
            loop {
                if let Ok(mut client) = etcd_client::Client::connect([self.url()], None).await
                    && let Ok(status) = client.status().await
                    && status.leader() != 0
                {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), leads).await.expect("etcd leads itself within 20 s");
    }

    /// A client as anybody else would have it.
    pub(super) async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect([self.url()], None).await.unwrap()
    }

    /// Kills it; its data stays.
    pub(super) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The etcd that `cargo xtask setup` provides below cargo's target folder, in which this very test lies; or else the one on
/// the `PATH`.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let provided = test.ancestors().map(|folder| folder.join("tools/etcd-3.4/etcd"));
    provided.into_iter().find(|program| program.is_file()).unwrap_or_else(|| "etcd".into())
}
