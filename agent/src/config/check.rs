//! What the config says of health: the checks, and what a failing one means.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mantle_protocol::WhenNobodyIsReady;

/// What decides whether this node is ready, beside its links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The checks, in the order they are written.
    pub checks: Vec<Check>,
    /// What an owner does whose check fails while no other node is ready.
    pub when_nobody_is_ready: WhenNobodyIsReady,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name: in the log, the status and the metrics.
    pub name: String,
    /// The VIPs it speaks for; none: every VIP of this node.
    pub vips: Option<Vec<IpAddr>>,
    /// What is tried.
    pub kind: CheckKind,
    /// How often it is tried, and how many results decide.
    pub pace: CheckPace,
}

/// How often a check is tried, and how many results decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckPace {
    /// How long from the start of one try to the next.
    pub interval: Duration,
    /// How long a try may take.
    pub timeout: Duration,
    /// So many successes in a row make a failing check good again.
    pub rise: u32,
    /// So many failures in a row make it failing.
    pub fall: u32,
    /// And this long without a failure: a service that comes and goes is not good.
    pub recovery: Duration,
}

impl Default for CheckPace {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            recovery: Duration::from_secs(5),
        }
    }
}

/// What a check tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// To connect.
    Tcp(SocketAddr),
    /// To be answered over HTTP, with a status that is wanted.
    Http(HttpCheck),
    /// To run a command that ends with 0.
    Command(CommandCheck),
}

impl CheckKind {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
            Self::Command(_) => "command",
        }
    }
}

/// The target, for a person.
impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Http(http) => {
                let scheme = if http.tls.is_some() { "https" } else { "http" };
                write!(f, "{scheme}://{}{}", http.address, http.path)
            }
            // Only the program: arguments may hold a password.
            Self::Command(CommandCheck::Run(words)) => f.write_str(words.first().map_or("", String::as_str)),
            Self::Command(CommandCheck::Shell(_)) => f.write_str("sh"),
        }
    }
}

/// A request over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Whom to ask. An address and no name: a check that needs DNS judges DNS.
    pub address: SocketAddr,
    /// What for, with its query.
    pub path: String,
    /// The status codes that are wanted.
    pub statuses: Vec<u16>,
    /// How to encrypt, if at all.
    pub tls: Option<CheckTls>,
}

/// How a check over HTTPS trusts and is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckTls {
    /// Who must have signed the server's certificate.
    pub ca_file: PathBuf,
    /// The name that must stand in it; none: the address.
    pub server_name: Option<String>,
    /// The client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandCheck {
    /// A program and its arguments, as they are.
    Run(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}
