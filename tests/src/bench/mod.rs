//! The bench: what Mantle promises in numbers, measured on the lab with a release build.
//!
//! Each bench is a file of its own that measures one or more [`figures`] so many times. A figure counts only if the judge
//! found everything in order while it was measured: a fast move that lets two nodes answer is no move.

mod cold_start;
mod cost;
mod crash;
mod etcd_writes;
mod figures;
mod flood;
mod idle;
mod machine;
mod options;
mod planned_stop;
mod planned_stop_of_many;
mod removed_by_hand;
mod report;
mod resume;
mod series;
mod settle;
mod silence;
mod vips;

use std::fs;
use std::panic::catch_unwind;
use std::process::ExitCode;

use crate::interrupt::Interrupt;
use machine::Machine;
use options::{Options, USAGE};
use series::Series;

/// Something that can be measured.
struct Bench {
    /// What `--only` calls it.
    name: &'static str,
    /// Measures its figures so many times.
    measure: fn(usize) -> Vec<Series>,
}

const BENCHES: [Bench; 11] = [
    Bench { name: "planned-stop", measure: planned_stop::measure },
    Bench { name: "crash", measure: crash::measure },
    Bench { name: "silence", measure: silence::measure },
    Bench { name: "resume", measure: resume::measure },
    Bench { name: "removed-by-hand", measure: removed_by_hand::measure },
    Bench { name: "cold-start", measure: cold_start::measure },
    Bench { name: "planned-stop-of-many", measure: planned_stop_of_many::measure },
    Bench { name: "idle", measure: idle::measure },
    Bench { name: "etcd-writes", measure: etcd_writes::measure },
    Bench { name: "cost", measure: cost::measure },
    Bench { name: "flood", measure: flood::measure },
];

/// The exit code of a command line that makes no sense.
const REFUSED: u8 = 2;

/// Measures; the arguments are the command line without the program's own name.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people talks on the terminal")]
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let names = BENCHES.map(|bench| bench.name);
    let options = match Options::parse(arguments, &names) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            println!("\nNames: {}", names.join(", "));
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprint!("bench: {complaint}\n\n{USAGE}");
            return ExitCode::from(REFUSED);
        }
    };
    Interrupt::listen();
    let machine = Machine::look();
    println!("{machine}");

    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for bench in BENCHES.iter().filter(|bench| options.wants(bench.name)) {
        eprintln!("{} …", bench.name);
        let (measure, runs) = (bench.measure, options.runs);
        // Whatever went wrong has been told by the lab; the other figures are not worth less for it.
        match catch_unwind(move || measure(runs)) {
            Ok(series) => all.extend(series),
            Err(_) => failed.push(bench.name),
        }
    }

    print!("{}", report::table(&all));
    for name in &failed {
        println!("{name}: could not be measured; why stands above");
    }
    let json = report::json(&machine, &all, &failed);
    if let Err(error) = fs::write(&options.json, format!("{json:#}\n")) {
        eprintln!("bench: cannot write {}: {error}", options.json.display());
        return ExitCode::FAILURE;
    }
    println!("Written to {}.", options.json.display());
    let missed = all.iter().any(|series| !series.is_met());
    if failed.is_empty() && !(options.strict && missed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
