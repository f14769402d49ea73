//! The demo: `cargo xtask demo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mantle_tests::demo::main(std::env::args().skip(1))
}
