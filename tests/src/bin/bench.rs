//! The bench: `cargo xtask bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mantle_tests::bench::main(std::env::args().skip(1))
}
