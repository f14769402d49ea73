//! `cargo xtask machines`: emulated machines with real kernels and real drivers, in the lab of the namespaces.
//!
//! A row of the table is a scenario. Its machines' cards end in hosts of the lab, so the client, the tap and the judge are those of
//! every other scenario; only times are not judged, since emulated time is slow and uneven.

mod accelerator;
mod cluster;
mod initramfs;
pub mod inside;
mod kernel;
mod machine;
mod options;
mod results;
mod rows;
mod talk;
mod unit_tests;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use self::accelerator::Accelerator;
use self::kernel::Kernel;
use self::machine::Tools;
use self::options::Options;
use self::results::Results;
use crate::clock::now;
use crate::interrupt::Interrupt;

/// What machines are made with.
struct Bench {
    kernels: Vec<Kernel>,
    accelerator: Accelerator,
    tools: Tools,
}

impl Bench {
    fn of(&self, line: &str) -> cluster::Base<'_> {
        let kernel = self.kernels.iter().find(|kernel| kernel.is_of(line));
        let kernel = kernel.unwrap_or_else(|| panic!("there is no kernel {line} among {:?}", self.kernels));
        (kernel, self.accelerator, &self.tools)
    }
}

/// Runs the rows that are asked for.
#[expect(clippy::print_stderr, reason = "a command for people talks on the terminal")]
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("machines: {why}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let _interrupt = Interrupt::listen();
    let Some(tools) = env::var_os("MANTLE_MACHINES").map(PathBuf::from) else {
        eprintln!("machines: run `cargo xtask machines`, which provides the kernels");
        return ExitCode::from(2);
    };
    let (kernels, tools) = (Kernel::all(&tools), Tools(tools));
    let Some(newest) = kernels.last() else {
        eprintln!("machines: there is no kernel in {}", tools.0.display());
        return ExitCode::from(2);
    };
    let accelerator = Accelerator::probe(newest, &tools);
    let bench = Bench { kernels, accelerator, tools };
    run(&options, &bench)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people talks on the terminal")]
fn run(options: &Options, bench: &Bench) -> ExitCode {
    let mut results = Results::read(options.fresh);
    let rows: Vec<_> = rows::all().into_iter().filter(|row| options.wants(row)).collect();
    if rows.is_empty() {
        eprintln!("machines: no row is called so; there are {}", rows::names());
        return ExitCode::from(2);
    }
    println!("{} rows, by {}.", rows.len(), bench.accelerator);
    let mut red = 0;
    for row in rows {
        if results.has(row.name) && options.names.is_empty() {
            println!("green before  {}", row.name);
            continue;
        }
        println!("begins        {}: {}", row.name, row.about);
        let begun = now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (row.run)(row.name, bench)));
        let took = now().since(begun).as_secs();
        let said = outcome.map_err(|panic| results::reason(&*panic));
        red += usize::from(!results.judge(&row, said, took));
    }
    if red > 0 {
        eprintln!("machines: {red} rows are red");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
