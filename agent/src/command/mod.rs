//! The subcommands of `mantle`, one file each.

pub mod status;

use std::process::ExitCode;

/// Runs the subcommand that the command line names.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
