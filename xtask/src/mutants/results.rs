//! What became of each mutant, kept in a file so that a run goes on where another was ended.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::mutant::Mutant;
use super::stage::Stage;
use crate::place::Place;

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It does not compile.
    Unviable,
    /// This noticed it.
    Caught(Stage),
    /// Nothing noticed it.
    Survived,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self {
            Self::Unviable => "unviable".to_owned(),
            Self::Caught(stage) => format!("caught by {stage}"),
            Self::Survived => "survived".to_owned(),
        })
    }
}

impl Outcome {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "unviable" => Some(Self::Unviable),
            "survived" => Some(Self::Survived),
            _ => {
                let stage = word.strip_prefix("caught by ")?;
                Stage::ALL.into_iter().find(|known| known.name() == stage).map(Self::Caught)
            }
        }
    }
}

/// The file and what it says.
pub(super) struct Results {
    known: HashMap<String, Outcome>,
    file: File,
    /// The sources that a judgement depends on.
    sources: String,
}

impl Results {
    /// Opens the file in this folder, or begins it anew.
    pub(super) fn open(folder: &Path, fresh: bool) -> anyhow::Result<Self> {
        let path = folder.join("results.txt");
        if fresh && path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let known = text.lines().filter_map(|line| {
            let mut columns = line.split('\t');
            Some((columns.next()?.to_owned(), Outcome::parse(columns.next()?)?))
        });
        let known = known.collect();
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { known, file, sources: sources()? })
    }

    /// Whether the mutant was judged before.
    pub(super) fn knows(&self, mutant: &Mutant) -> bool {
        self.outcome(mutant).is_some()
    }

    /// What became of a mutant.
    pub(super) fn outcome(&self, mutant: &Mutant) -> Option<Outcome> {
        self.known.get(&mutant.key(&self.sources)).copied()
    }

    /// Keeps what became of a mutant.
    pub(super) fn add(&mut self, mutant: &Mutant, outcome: Outcome) -> anyhow::Result<()> {
        let key = mutant.key(&self.sources);
        writeln!(self.file, "{key}\t{outcome}\t{}", mutant.name).context("cannot write a result")?;
        self.known.insert(key, outcome);
        Ok(())
    }
}

/// What a judgement depends on beside the mutant: the sources of the protocol and of what proves it.
fn sources() -> anyhow::Result<String> {
    let mut text = String::new();
    let mut folders = vec![Place::workspace().join("protocol/src"), Place::workspace().join("sim")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else {
                text.push_str(
                    &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
                );
            }
        }
    }
    Ok(text)
}

/// How many came to what.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) unviable: usize,
    pub(super) equivalent: usize,
    pub(super) survived: usize,
    pub(super) caught: BTreeMap<Stage, usize>,
}

impl Tally {
    fn all_caught(&self) -> usize {
        self.caught.values().sum()
    }

    /// The share of the viable mutants that were caught; those that change nothing do not count.
    pub(super) fn per_cent(&self) -> usize {
        let viable = self.all_caught() + self.survived;
        (100 * self.all_caught()).checked_div(viable).unwrap_or(100)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<String> =
            self.caught.iter().map(|(stage, count)| format!("{count} by {stage}")).collect();
        write!(
            f,
            "{} caught ({}), {} survived, {} change nothing, {} do not compile: {} % of the viable are caught",
            self.all_caught(),
            stages.join(", "),
            self.survived,
            self.equivalent,
            self.unviable,
            self.per_cent()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_back_as_it_was_written() {
        let caught = Stage::ALL.map(Outcome::Caught);
        for outcome in caught.into_iter().chain([Outcome::Unviable, Outcome::Survived]) {
            assert_eq!(Outcome::parse(&outcome.to_string()), Some(outcome));
        }
        assert_eq!(Outcome::parse("caught by chance"), None);
    }

    #[test]
    fn what_changes_nothing_or_does_not_compile_does_not_count() {
        let caught = BTreeMap::from([(Stage::Tables, 18), (Stage::Model, 1)]);
        let tally = Tally { unviable: 7, equivalent: 5, survived: 1, caught };
        assert_eq!(tally.per_cent(), 95);
        assert!(tally.to_string().starts_with("19 caught (18 by tables, 1 by model), 1 survived"), "{tally}");
    }
}
