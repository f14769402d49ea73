//! The mutants that cargo-mutants makes of the protocol.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use super::hunk::Hunk;
use super::mutant::{Change, Kind, Mutant};
use crate::place::Place;
use crate::{build, process};

/// Another version would make other mutants, and the figures could not be compared.
const VERSION: &str = "27.1.0";

/// All of them.
pub(super) fn list(place: &Place) -> anyhow::Result<Vec<Mutant>> {
    let root = place.tools().join("cargo-mutants");
    let program = root.join("bin/cargo-mutants");
    let is_there = process::silent(Command::new(&program).args(["mutants", "--version"]));
    if !is_there.is_ok_and(|said| said.contains(VERSION)) {
        println!("Building cargo-mutants {VERSION}; this takes a few minutes, once");
        let mut cargo = build::bare_cargo();
        cargo.args(["install", "cargo-mutants", "--version", VERSION, "--locked", "--force", "--root"]);
        let built = root.join("build");
        process::shown(cargo.arg(&root).env("CARGO_TARGET_DIR", &built))?;
        fs::remove_dir_all(&built).with_context(|| format!("cannot remove {}", built.display()))?;
    }
    let mut command = Command::new(program);
    command.current_dir(Place::workspace());
    command.args(["mutants", "--list", "--diff", "--package", "mantle-protocol"]);
    let mut mutants = parse(&process::silent(&mut command)?)?;
    number_those_of_one_name(&mut mutants);
    Ok(mutants)
}

/// Reads blocks of a line `PATH:LINE:COLUMN: DESCRIPTION` and a diff.
fn parse(text: &str) -> anyhow::Result<Vec<Mutant>> {
    let mut mutants: Vec<Mutant> = Vec::new();
    // How many lines of the hunk are still to come, of those before and of those after the change.
    let (mut before, mut after) = (0, 0);
    for line in text.lines() {
        if (before, after) != (0, 0) {
            let Some(Mutant { change: Change::Diff(hunks), .. }) = mutants.last_mut() else {
                bail!("a diff without a mutant: {line}");
            };
            hunks.last_mut().context("a line without a hunk")?.line(line)?;
            before -= usize::from(!line.starts_with('+'));
            after -= usize::from(!line.starts_with('-'));
        } else if line.starts_with("@@") {
            let Some(Mutant { change: Change::Diff(hunks), .. }) = mutants.last_mut() else {
                bail!("a hunk without a mutant: {line}");
            };
            hunks.push(Hunk::begin(line)?);
            (before, after) = (lines_of(line, '-')?, lines_of(line, '+')?);
        } else if !line.is_empty() && !line.starts_with("--- ") && !line.starts_with("+++ ") {
            let (place, description) = line.split_once(": ").with_context(|| format!("no mutant: {line}"))?;
            let file = place.split(':').next().unwrap_or_default();
            mutants.push(Mutant {
                kind: Kind::Generated,
                name: format!("{file}: {description}"),
                file: PathBuf::from(file),
                change: Change::Diff(Vec::new()),
            });
        }
    }
    Ok(mutants)
}

/// How many lines a hunk has on one side of the change: `17` of `@@ -19,17 +19,3 @@` on that of `-`.
fn lines_of(head: &str, side: char) -> anyhow::Result<usize> {
    let range = head.split(' ').find_map(|word| word.strip_prefix(side));
    let count = range.map(|range| range.split_once(',').map_or("1", |(_, count)| count));
    count.and_then(|count| count.parse().ok()).with_context(|| format!("no head of a hunk: {head}"))
}

/// One function may hold several of one description: they are told apart by their order.
fn number_those_of_one_name(mutants: &mut [Mutant]) {
    let mut seen = std::collections::HashMap::new();
    for mutant in mutants {
        let count = seen.entry(mutant.name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            mutant.name = format!("{} (#{count})", mutant.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
a.rs:2:9: replace f -> u8 with 0
--- a.rs
+++ replace f -> u8 with 0
@@ -1,3 +1,3 @@
 fn f() -> u8 {
-    1
+    0 /* ~ changed ~ */
 }

a.rs:2:9: replace f -> u8 with 0
--- a.rs
+++ replace f -> u8 with 0
@@ -1,3 +1,3 @@
 fn f() -> u8 {
-    1
+    0
 }
";

    #[test]
    fn lines_added_behind_the_last_of_a_hunk_belong_to_it() {
        let list = "a.rs:1:1: grow\n--- a.rs\n+++ grow\n@@ -1,2 +1,3 @@\n a\n-b\n+c\n+d\n\na.rs:1:1: other\n--- a.rs\n+++ other\n@@ -1,1 +1,1 @@\n-a\n+x\n";
        let mutants = parse(list).unwrap();
        assert_eq!(mutants.len(), 2);
        assert_eq!(mutants[0].apply("a\nb\n").unwrap(), "a\nc\nd\n");
        assert_eq!(mutants[1].apply("a\n").unwrap(), "x\n");
    }

    #[test]
    fn a_list_is_read_with_its_diffs() {
        let mut mutants = parse(LIST).unwrap();
        number_those_of_one_name(&mut mutants);
        assert_eq!(mutants.len(), 2);
        assert_eq!(mutants[0].name, "a.rs: replace f -> u8 with 0");
        assert_eq!(mutants[1].name, "a.rs: replace f -> u8 with 0 (#2)");
        let text = "fn f() -> u8 {\n    1\n}\n";
        assert_eq!(mutants[1].apply(text).unwrap(), "fn f() -> u8 {\n    0\n}\n");
        assert!(mutants[0].apply("other\n").is_err());
    }
}
