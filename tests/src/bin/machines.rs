//! Emulated machines: `cargo xtask machines`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mantle_tests::machines::main(std::env::args().skip(1))
}
