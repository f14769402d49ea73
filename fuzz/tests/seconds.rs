//! The corpora replayed, and mutated for a few seconds each, the same way on every run. With `MANTLE_FUZZ_SECONDS` for as long
//! as that says, another way each time.

use std::cell::Cell;
use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::time::{Duration, Instant};

use mantle_fuzz::mutate::{Random, mutant};
use mantle_fuzz::{Target, corpus};

fn inputs(target: Target) -> Vec<Vec<u8>> {
    let folder = corpus(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("a folder is read to its end").path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "a corpus of {} is none", paths.len());
    paths.into_iter().map(|path| fs::read(path).expect("a file of a corpus is read")).collect()
}

thread_local! {
    /// Something panicked on this thread. A panic in a task of the server's, which goes on without it, is one too.
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

static WATCHING: Once = Once::new();

/// Runs one input; a panic is told with what it takes to have it again.
#[track_caller]
fn run(target: Target, input: &[u8], which: &str) {
    // The panic itself goes by in the test's output.
    let _told = catch_unwind(AssertUnwindSafe(|| target.run(input)));
    let name = target.name();
    assert!(!HAS_PANICKED.take(), "{name}, {which}, fails with \"{}\"", input.escape_ascii());
}

/// From now on no panic goes unseen.
fn watch_for_panics() {
    WATCHING.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            HAS_PANICKED.set(true);
            report(panic);
        }));
    });
}

#[expect(clippy::print_stdout, reason = "how much was tried is shown by `--nocapture`")]
fn seconds(target: Target, mutants: u64) {
    watch_for_panics();
    let inputs = inputs(target);
    for (number, input) in inputs.iter().enumerate() {
        run(target, input, &format!("input {number} of the corpus"));
    }
    let wanted = env::var("MANTLE_FUZZ_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    let (begun, limit) = (Instant::now(), wanted.map(Duration::from_secs));
    let mut random = Random::new(limit.map_or(0, |_| RandomState::new().hash_one(())));
    let mut number = 0;
    while limit.map_or(number < mutants, |limit| begun.elapsed() < limit) {
        run(target, &mutant(&inputs, target.words(), &mut random), &format!("mutant {number}"));
        number += 1;
    }
    println!("{}: {number} mutants in {:.0?}", target.name(), begun.elapsed());
}

#[test]
fn values_in_etcd() {
    seconds(Target::Values, 700);
}

#[test]
fn frames_from_the_link() {
    seconds(Target::Frames, 200_000);
}

#[test]
fn config_documents() {
    seconds(Target::Config, 1000);
}

#[test]
fn http_requests() {
    seconds(Target::Http, 1000);
}

#[test]
fn requests_to_the_control_socket() {
    seconds(Target::Control, 500);
}
