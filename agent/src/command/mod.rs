//! The subcommands of `mantle`, one file each.
//!
//! Exit codes: 0 done; 1 failed; 2 wrong usage or a wrong config; 3 no agent is running (`status`, `handoff`); 4 another agent is
//! running on this node (`run`); 5 there is advice on etcd or the machine's clocks, 6 with these it would not work (`check --online`); 7 the VIP is not
//! handed over, with the reason on stderr (`handoff`).

pub mod addresses;
mod check;
mod handoff;
mod run;
pub mod status;

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::agent;
use crate::config::{self, Config};
use crate::observe::log::LogFormat;
use mantle_protocol::NodeName;

const FAILED: u8 = 1;
const WRONG_CONFIG: u8 = 2;
const ALREADY_RUNNING: u8 = 4;
const ADVICE: u8 = 5;
const UNWORKABLE: u8 = 6;

/// Keeps a shared IP address alive on a layer-2 network: exactly one node wears it at a time.
#[derive(Debug, Parser)]
#[command(name = "mantle", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the agent until SIGTERM or SIGINT, which hand over or release every VIP in order; a second signal ends at once
    Run {
        #[command(flatten)]
        config: ConfigArgument,
        /// The form of a log line
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
        /// error, warn, info, debug, trace, or filters; `MANTLE_LOG` and then info if not given
        #[arg(long)]
        log_level: Option<String>,
    },
    /// Checks the config against itself and this machine; changes nothing
    Check {
        #[command(flatten)]
        config: ConfigArgument,
        /// Also asks etcd what it is like, and whether it and this machine's clocks fit the timing. Writes no key. Ends with
        /// 5 if there is advice, 6 if it would not work
        #[arg(long)]
        online: bool,
        /// What to print
        #[arg(short, long, value_enum, default_value_t)]
        output: check::Format,
    },
    /// Shows how the agent on this node stands to each VIP
    Status {
        #[command(flatten)]
        socket: SocketArgument,
        /// What to print
        #[arg(short, long, value_enum, default_value_t)]
        output: status::Format,
    },
    /// Hands a VIP of this node over to another, without losing a packet: to the best that is ready, or to one that is named.
    /// Ends with 7 if it is not handed over
    Handoff {
        /// The VIP
        vip: IpAddr,
        /// The node that is to follow
        #[arg(long, value_name = "NODE")]
        to: Option<NodeName>,
        /// Comes back only when the connections that are left here are drained, too
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        socket: SocketArgument,
    },
    /// Shows which of this node's addresses etcd, kubelet and others are to use; needs no agent and no etcd
    Addresses {
        /// etcd, kubelet or a name below `addresses` in the config; all of them if not given
        #[arg(value_name = "NAME")]
        consumer: Option<String>,
        /// A YAML file, or a directory of them
        #[arg(short, long, value_name = "FILE|DIR", default_value = "/etc/mantle")]
        config: PathBuf,
        /// What to print
        #[arg(short, long, value_enum, default_value_t)]
        output: addresses::Format,
        /// How long to wait until everything that is asked for is there
        #[arg(long, value_name = "TIME", value_parser = config::duration, default_value = "0")]
        wait: Duration,
        /// Also writes the environment files and remembers the choice, as the agent does
        #[arg(long)]
        write: bool,
    },
    /// Prints a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// A YAML file, or a directory of them
    #[arg(short, long, value_name = "FILE|DIR")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct SocketArgument {
    /// The config whose runtimeDir has the agent's socket
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// The agent's socket [default: /run/mantle/mantle.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Runs the subcommand that the command line names.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config, log_format, log_level } => {
            with_config(&config.config, |config| run::run(config, log_format, log_level.as_deref()))
        }
        Command::Check { config, online, output } => {
            with_config(&config.config, |config| check::run(config, online, output))
        }
        Command::Status { socket, output } => match socket.path() {
            Ok(path) => status::run(&path, output).unwrap_or_else(|error| fail("status", &error)),
            Err(code) => code,
        },
        Command::Handoff { vip, to, wait, socket } => match socket.path() {
            Ok(path) => handoff::run(&path, &handoff::Asked { vip, to, wait })
                .unwrap_or_else(|error| fail("handoff", &error)),
            Err(code) => code,
        },
        Command::Addresses { consumer, config, output, wait, write } => with_config(&config, |config| {
            addresses::run(config, &addresses::Asked { consumer, output, wait, write })
        }),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "mantle", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

impl SocketArgument {
    fn path(&self) -> Result<PathBuf, ExitCode> {
        match (&self.socket, &self.config) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(config)) => Ok(agent::socket(&load(config)?.runtime_dir)),
            (None, None) => Ok(agent::socket(Path::new(config::RUNTIME_DIR))),
        }
    }
}

fn with_config(path: &Path, command: impl FnOnce(&Config) -> anyhow::Result<ExitCode>) -> ExitCode {
    match load(path) {
        Ok(config) => command(&config).unwrap_or_else(|error| fail("run", &error)),
        Err(code) => code,
    }
}

fn load(path: &Path) -> Result<Config, ExitCode> {
    config::load(path).map_err(|errors| {
        complain(&format!("{errors}"));
        ExitCode::from(WRONG_CONFIG)
    })
}

fn fail(command: &str, error: &anyhow::Error) -> ExitCode {
    complain(&format!("mantle {command}: {error:#}"));
    ExitCode::from(FAILED)
}

/// Writes a line to stderr; where even that is closed there is nobody to tell.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
