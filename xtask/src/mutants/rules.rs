//! The rules that are broken by hand, and the mutants that change nothing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::mutant::{Change, Kind, Mutant};
use crate::place::Place;

/// The committed table: blocks of a name, what is broken, the file, and the text before and after.
const RULES: &str = "protocol/mutants/rules.txt";

/// The committed list: mutants that change nothing, each with its reason.
const EQUIVALENT: &str = "protocol/mutants/equivalent.txt";

/// Reads the table.
pub(super) fn read() -> anyhow::Result<Vec<Mutant>> {
    let path = Place::workspace().join(RULES);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {RULES}"))?;
    let mutants = parse(&text).with_context(|| format!("{RULES} is not as it should be"))?;
    for mutant in &mutants {
        let source = fs::read_to_string(Place::workspace().join(&mutant.file));
        // A rule that no longer fits its source would be a test that proves nothing.
        mutant.apply(&source.with_context(|| format!("cannot read {}", mutant.file.display()))?)?;
    }
    Ok(mutants)
}

/// The names of the mutants that change nothing.
pub(super) fn equivalent() -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(Place::workspace().join(EQUIVALENT))
        .with_context(|| format!("cannot read {EQUIVALENT}"))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once(" -- ") {
            Some((name, reason)) if !reason.trim().is_empty() => Ok(name.trim().to_owned()),
            _ => bail!("{EQUIVALENT}: `{line}` gives no reason"),
        })
        .collect()
}

/// Each block begins with `## name`, then lines of what is broken, `file: PATH`, and the two texts, each line of them behind
/// `- ` and `+ `.
fn parse(text: &str) -> anyhow::Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for block in text.split("\n## ").skip(1) {
        let mut lines = block.lines();
        let name = lines.next().unwrap_or_default().trim().to_owned();
        let (mut file, mut old, mut new) = (None, Vec::new(), Vec::new());
        for line in lines {
            if let Some(path) = line.strip_prefix("file: ") {
                file = Some(PathBuf::from(path));
            } else if line == "-" || line.starts_with("- ") {
                old.push(line.get(2..).unwrap_or_default());
            } else if line == "+" || line.starts_with("+ ") {
                new.push(line.get(2..).unwrap_or_default());
            }
        }
        let file = file.with_context(|| format!("{name} names no file"))?;
        if name.is_empty() || old.is_empty() {
            bail!("`{name}` has no name or no old text");
        }
        let change = Change::Text { old: old.join("\n"), new: new.join("\n") };
        mutants.push(Mutant { kind: Kind::Rule, name, file, change });
    }
    if mutants.is_empty() {
        bail!("there is no rule in it");
    }
    Ok(mutants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_name_a_file_and_two_texts() {
        let text = "# Rules\n\n## lease-back\nThe lease moves back.\nfile: a.rs\n- if until > self.lease {\n-     x\n+ if true {\n+     x\n\n## other\nfile: b.rs\n- y\n";
        let mutants = parse(text).unwrap();
        assert_eq!(mutants.len(), 2);
        assert_eq!(mutants[0].name, "lease-back");
        assert_eq!(mutants[0].apply("if until > self.lease {\n    x\n").unwrap(), "if true {\n    x\n");
        assert_eq!(mutants[1].apply("ayb").unwrap(), "ab");
        assert!(mutants[1].apply("yy").is_err(), "not once");
        assert!(mutants[1].apply("").is_err());
        for wrong in ["", "\n## a\n- x\n", "\n## a\nfile: b\n"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_committed_rules_fit_their_sources() {
        assert!(read().unwrap().len() >= 28);
        equivalent().unwrap();
    }
}
