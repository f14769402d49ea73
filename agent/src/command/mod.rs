//! The subcommands of `mantle`, one file each.

use std::process::ExitCode;

/// Runs the subcommand that the command line names.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
