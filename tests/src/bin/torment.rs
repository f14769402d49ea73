//! The torment: `cargo xtask torment`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mantle_tests::torment::main(std::env::args().skip(1))
}
