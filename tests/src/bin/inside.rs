//! The first process of an emulated machine; started by nobody else.

use std::process::ExitCode;

fn main() -> ExitCode {
    mantle_tests::machines::inside::main()
}
