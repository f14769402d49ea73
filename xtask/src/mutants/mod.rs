//! `cargo xtask mutants`: the protocol with one thing broken at a time, to see whether the proof notices.
//!
//! Two kinds. *Rules* are broken by hand, one by one (protocol/mutants/rules.txt): each must be noticed by the simulator or
//! the model, which judge the protocol from outside. *Generated* mutants are cargo-mutants' (a function that does
//! nothing, a comparison turned round): each is judged by the cheapest test that notices it.

mod generated;
mod hunk;
mod mutant;
mod options;
mod results;
mod rules;
mod stage;
mod workshop;

use std::sync::Mutex;
use std::thread;

use anyhow::bail;

use crate::place::Place;
use crate::setup::{self, Purpose};
use mutant::{Kind, Mutant};
pub(crate) use options::Options;
use results::{Outcome, Results};
use workshop::Workshop;

/// The least share of the viable mutants that must be caught, in per cent.
const ENOUGH: usize = 95;

/// Judges every mutant that was asked for and not judged before; fails if too few are caught.
pub(crate) fn run(place: &Place, options: &Options) -> anyhow::Result<()> {
    setup::prepare(Purpose::Build, place)?;
    let folder = place.target().join("mutants");
    let mutants = all(place, options)?;
    let workshops = options.jobs.max(1);
    let mut shops = Vec::new();
    for number in 0..workshops {
        shops.push(Workshop::set_up(&folder.join(format!("shop-{number}")))?);
    }
    let results = Mutex::new(Results::open(&folder, options.fresh)?);
    let open: Vec<&Mutant> =
        mutants.iter().filter(|mutant| !results.lock().expect("no thread panicked").knows(mutant)).collect();
    println!("{} mutants, {} of them judged before.", mutants.len(), mutants.len() - open.len());
    if !open.is_empty() {
        // What is red unbroken would catch everything.
        shops[0].judge(None)?;
    }
    let queue = Mutex::new(open.into_iter());
    let work = |mut shop: Workshop| -> anyhow::Result<()> {
        loop {
            let Some(mutant) = queue.lock().expect("no thread panicked").next() else { return Ok(()) };
            let outcome = shop.judge(Some(mutant))?;
            println!("{outcome:<28} {}", mutant.name);
            results.lock().expect("no thread panicked").add(mutant, outcome)?;
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = shops.into_iter().map(|shop| scope.spawn(move || work(shop))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panicked"))
    })?;
    let results = results.into_inner().expect("no thread panicked");
    let equivalent = rules::equivalent()?;
    // Only among all of them can one be missed.
    if options.is_everything() {
        let is_there = |name: &&String| mutants.iter().any(|mutant| mutant.name == **name);
        if let Some(stale) = equivalent.iter().find(|name| !is_there(name)) {
            bail!("{stale} is said to change nothing, but there is no such mutant any more");
        }
    }
    conclude(&mutants, &results, &equivalent)
}

/// The mutants that were asked for.
fn all(place: &Place, options: &Options) -> anyhow::Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    if options.rules {
        mutants.extend(rules::read()?);
    }
    if options.generated {
        mutants.extend(generated::list(place)?);
    }
    let asked = |mutant: &Mutant| {
        options.names.is_empty() || options.names.iter().any(|name| mutant.name.contains(name))
    };
    mutants.retain(asked);
    let (shard, shards) = options.shard;
    Ok(mutants
        .into_iter()
        .enumerate()
        .filter(|(at, _)| at % shards == shard)
        .map(|(_, mutant)| mutant)
        .collect())
}

/// Says what the mutants came to, and fails if the proof is not sharp enough.
fn conclude(mutants: &[Mutant], results: &Results, equivalent: &[String]) -> anyhow::Result<()> {
    let judged = |mutant: &Mutant| results.outcome(mutant);
    let mut tally = results::Tally::default();
    let mut survivors = Vec::new();
    for mutant in mutants {
        let Some(outcome) = judged(mutant) else { continue };
        let changes_nothing = equivalent.contains(&mutant.name);
        match (mutant.kind, outcome) {
            (_, Outcome::Survived) if changes_nothing => tally.equivalent += 1,
            (_, Outcome::Survived) => {
                tally.survived += 1;
                survivors.push(mutant);
            }
            (_, Outcome::Unviable) => tally.unviable += 1,
            (_, Outcome::Caught(stage)) => *tally.caught.entry(stage).or_default() += 1,
        }
    }
    println!("\n{tally}");
    for survivor in &survivors {
        println!("survived: {}", survivor.name);
    }
    let rules = survivors.iter().filter(|mutant| mutant.kind == Kind::Rule).count();
    if rules > 0 {
        bail!("{rules} broken rules are noticed by neither the simulator nor the model");
    }
    if tally.per_cent() < ENOUGH {
        bail!("{} % of the viable mutants are caught; at least {ENOUGH} % must be", tally.per_cent());
    }
    Ok(())
}
