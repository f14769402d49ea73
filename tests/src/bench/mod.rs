//! The bench: what Mantle promises in numbers, measured on the lab with a release build.
//!
//! Each bench is a file of its own that measures one or more [`figures`] so many times. A figure counts only if the judge
//! found everything in order while it was measured: a fast move that lets two nodes answer is no move.

mod cold_start;
mod cost;
mod crash;
mod crash_with_leader;
mod etcd_writes;
mod figures;
mod flood;
mod forward;
mod handoff;
mod handoff_load;
mod idle;
mod keepalived;
mod killed_agent;
mod machine;
mod no_false_alarm;
mod options;
mod planned_stop;
mod planned_stop_of_many;
mod removed_by_hand;
mod report;
mod resume;
mod series;
mod settle;
mod silence;
mod takeover_of_many;
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
    /// It takes so long that it has to be asked for by name.
    is_long: bool,
}

const fn bench(name: &'static str, measure: fn(usize) -> Vec<Series>) -> Bench {
    Bench { name, measure, is_long: false }
}

const BENCHES: [Bench; 22] = [
    bench("planned-stop", planned_stop::measure),
    bench("handoff", handoff::measure),
    bench("keepalived", keepalived::measure),
    bench("crash", crash::by_default),
    bench("crash-fast", crash::fast),
    bench("crash-fastest", crash::fastest),
    bench("crash-with-leader", crash_with_leader::measure),
    bench("killed-agent", killed_agent::measure),
    bench("silence", silence::measure),
    bench("resume", resume::measure),
    bench("removed-by-hand", removed_by_hand::measure),
    bench("cold-start", cold_start::measure),
    bench("planned-stop-of-many", planned_stop_of_many::measure),
    bench("takeover-of-256", takeover_of_many::of_256),
    bench("takeover-of-1024", takeover_of_many::of_1024),
    bench("idle", idle::measure),
    bench("etcd-writes", etcd_writes::measure),
    bench("cost", cost::measure),
    bench("flood", flood::measure),
    bench("forward", forward::measure),
    Bench { name: "handoff-load", measure: handoff_load::measure, is_long: true },
    Bench { name: "no-false-alarm", measure: no_false_alarm::measure, is_long: true },
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
    for bench in BENCHES.iter().filter(|bench| options.wants(bench.name, bench.is_long)) {
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
