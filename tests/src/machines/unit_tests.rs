//! The tests that were built here, run inside a machine with another kernel.

use std::env;
use std::time::Duration;

use super::Bench;
use super::machine::{Booting, Hardware};
use crate::Lab;

/// How long a test program may take: emulated, a test takes ten times as long.
const LIMIT: Duration = Duration::from_mins(10);

/// Runs the data plane's and the links' tests in a machine.
pub(super) fn run(name: &str, kernel: &str, bench: &Bench) -> String {
    let lab = Lab::new(name);
    let hardware = Hardware { kernel: kernel.to_owned(), cards: Vec::new() };
    let mut machine = Booting::begin(&lab, "machine", &hardware, bench.of(kernel)).finish();
    let mut told = Vec::new();
    for (variable, filters) in
        [("MANTLE_TEST_KERNEL", ""), ("MANTLE_TEST_LIB", "dataplane::kernel_tests link::")]
    {
        let program = env::var(variable).unwrap_or_else(|_| panic!("{variable} names a test program"));
        let (code, said) = machine.tries(&format!("{program} --test-threads 4 {filters} 2>&1"), LIMIT);
        let result = said.lines().rev().find(|line| line.starts_with("test result")).unwrap_or("no result");
        let failed: Vec<_> = said.lines().filter(|line| line.ends_with("FAILED")).collect();
        assert!(code == 0, "{result}\n{}\n{said}", failed.join("\n"));
        told.push(
            result.trim_start_matches("test result: ok. ").split(';').next().unwrap_or_default().to_owned(),
        );
    }
    told.join(" and ")
}
