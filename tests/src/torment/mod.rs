//! Torment: real agents and a real etcd while everything goes wrong at random, for as long as is asked.
//!
//! A [`plan`] is drawn from a seed before anything is begun, [`run`] carries it out on a lab, and then the wire is judged and
//! every gap in which the client lost a probe is [explained](explain): by what was done or measured, and within the bound that
//! follows from the timings. A gap without a cause, or a longer one, fails the run, as does an overlap. The same seed makes
//! the same plan again.

mod bounds;
mod dice;
mod explain;
mod fault;
mod options;
mod plan;
mod run;
mod story;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use crate::clock::now;
use crate::interrupt::Interrupt;
use crate::probe::Gap;
use explain::Evidence;
use options::{Options, USAGE};
use plan::Plan;
use run::{INTERVAL, NAMES, Run};
use story::Story;

/// An answer that is only late, with no probe lost, is a scheduler's doing, but not if it is later than this.
const LATE: Duration = Duration::from_millis(500);
/// A shorter time without a write, or a probe, is a busy machine's.
const STALLED: Duration = Duration::from_millis(150);

/// The exit code of a command line that makes no sense.
const REFUSED: u8 = 2;

/// Torments; the arguments are the command line without the program's own name.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people talks on the terminal")]
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprint!("torment: {complaint}\n\n{USAGE}");
            return ExitCode::from(REFUSED);
        }
    };
    Interrupt::listen();
    let clock = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let seed = options.seed.unwrap_or(clock);
    // What went wrong has been told where it did.
    match catch_unwind(|| torment(seed, options.span)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Torments for about so long, and tells the story.
///
/// # Panics
/// If two nodes acted as owner at once, a gap is not explained, or something did not settle in time.
#[expect(clippy::print_stdout, reason = "the story is told while it happens, also in a test that then fails")]
pub fn torment(seed: u64, span: Duration) {
    let minutes = span.as_secs().div_ceil(60);
    let plan = Plan::draw(seed, span);
    println!("Again: cargo xtask torment --seed {seed} --minutes {minutes}");
    let named: Vec<String> =
        NAMES.iter().zip(plan.timings).map(|(name, timing)| format!("{name} {timing}")).collect();
    println!("{} episodes; timings: {}", plan.episodes.len(), named.join(", "));
    for (number, episode) in plan.episodes.iter().enumerate() {
        let faults: Vec<String> = episode.faults.iter().map(ToString::to_string).collect();
        println!("{:>9}. {}", number + 1, faults.join("; "));
    }

    let mut run = Run::set("torment", &plan);
    let mut perform = |(number, episode)| {
        let began = now().since(run.from).as_secs_f64();
        println!("{began:>9.3} s episode {}", number + 1);
        // Nothing is done with the run after a panic but to look at what it has seen.
        catch_unwind(AssertUnwindSafe(|| run.perform(episode)))
    };
    let performed = plan.episodes.iter().enumerate().try_for_each(&mut perform);
    judge(&run, &plan);
    if let Err(panic) = performed {
        resume_unwind(panic);
    }
}

/// Judges the wire and explains every gap.
#[expect(clippy::print_stdout, reason = "see `torment`")]
fn judge(run: &Run, plan: &Plan) {
    let to = now();
    let changes = run.stage.history.changes();
    let outages: Vec<Gap> = run.pulse.outages().filter(|gap| gap.length() >= STALLED).collect();
    let timings = plan.timings();
    let window = run.from..to;
    let (stalls, gaps) = run.stage.client.look(|probes| {
        let own = probes.iter().next().map(|of| of.stalls(2 * INTERVAL)).unwrap_or_default();
        let stalls: Vec<Gap> = own.into_iter().chain(run.witness.waits(2 * INTERVAL)).collect();
        let evidence =
            Evidence { suffered: &run.suffered, outages: &outages, stalls: &stalls, timings: &timings };
        let explain = |of: &crate::probe::VipProbes| {
            let changes = changes.get(&of.vip()).map(Vec::as_slice).unwrap_or_default();
            let dark = |gap: &Gap| gap.length() >= LATE || of.lost_in(gap.from..gap.to) > 0;
            let gaps: Vec<Gap> = of.gaps(window.clone(), 2 * INTERVAL).into_iter().filter(dark).collect();
            evidence.explain(of.vip(), &gaps, changes)
        };
        let gaps: Vec<_> = probes.iter().flat_map(explain).collect();
        (stalls, gaps)
    });
    let stalls: Vec<Gap> = stalls.into_iter().filter(|stall| stall.length() >= STALLED).collect();
    let story =
        Story { start: run.from, suffered: &run.suffered, outages: &outages, stalls: &stalls, gaps: &gaps };
    print!("{}{}{}", story.unexplained(), story.told(), story.table());

    let frames = run.stage.lab.tap().frames().len();
    run.stage.lab.verdict(Some(&run.stage.history)).assert_in_order();
    let unexplained = gaps.iter().filter(|gap| !gap.is_explained()).count();
    println!("No overlap in {frames} frames; {} gaps, {unexplained} of them unexplained.", gaps.len());
    assert!(unexplained == 0, "{unexplained} gaps are not explained, or too long: ✗ before the story");
}
