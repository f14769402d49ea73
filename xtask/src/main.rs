//! Sets up, builds, demonstrates, tests and measures Mantle: `cargo xtask help`.
//!
//! Each task prepares by itself what it needs. This crate is built before anything else is there, so it depends on
//! nothing that needs `protoc`, and on next to nothing at all.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people talks on the terminal")]

mod arguments;
mod build;
mod build_ebpf;
mod fuzz;
mod machines;
mod model;
mod mutants;
mod place;
mod process;
mod refusal;
mod run;
mod setup;
mod tally;
mod test;

use std::process::ExitCode;

use arguments::Task;
use place::Place;
use refusal::Refusal;
use setup::Purpose;

/// The exit code of a task that was not begun: the command line is wrong, or root is missing.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    match arguments::parse(std::env::args().skip(1)).map_err(Into::into).and_then(carry_out) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<Refusal>() { ExitCode::from(REFUSED) } else { ExitCode::FAILURE }
        }
    }
}

fn carry_out(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Help => print!("{}", arguments::USAGE),
        Task::Setup => {
            setup::prepare(Purpose::Lab, &Place::find()?)?;
            println!("Ready for `cargo xtask demo` and `cargo xtask test`.");
        }
        Task::Build { profile } => {
            setup::prepare(Purpose::Build, &Place::find()?)?;
            build::everything(profile)?;
        }
        Task::BuildEbpf { check } => build_ebpf::run(&Place::find()?, check)?,
        Task::Fuzz { minutes, targets } => fuzz::run(&Place::find()?, minutes, &targets)?,
        Task::Mutants(options) => mutants::run(&Place::find()?, &options)?,
        Task::Model { minutes } => model::run(&Place::find()?, minutes)?,
        Task::Test { profile, arguments } => test::run(&Place::find()?, profile, &arguments)?,
        Task::Machines { arguments } => match machines::run(&Place::find()?, &arguments)? {},
        Task::Run { program, arguments } => match run::program(&Place::find()?, program, &arguments)? {},
    }
    Ok(ExitCode::SUCCESS)
}
