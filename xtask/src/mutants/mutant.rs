//! One change to the protocol's source.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::hunk::Hunk;

/// Where a mutant comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A rule broken by hand.
    Rule,
    /// cargo-mutants made it.
    Generated,
}

/// A change to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    pub(super) kind: Kind,
    /// What it is called, without the line it is at: that moves.
    pub(super) name: String,
    /// The file it changes, from the workspace.
    pub(super) file: PathBuf,
    pub(super) change: Change,
}

/// How a file is changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Change {
    /// A text that is there once becomes another.
    Text { old: String, new: String },
    /// A part of a diff.
    Diff(Vec<Hunk>),
}

impl Mutant {
    /// The file's text with the change.
    pub(super) fn apply(&self, text: &str) -> anyhow::Result<String> {
        match &self.change {
            Change::Text { old, new } => match text.matches(old.as_str()).count() {
                1 => Ok(text.replacen(old.as_str(), new, 1)),
                count => bail!(
                    "{}: its old text stands in {} {count} times, not once",
                    self.name,
                    self.file.display()
                ),
            },
            Change::Diff(hunks) => hunks
                .iter()
                .rev()
                .try_fold(text.to_owned(), |text, hunk| hunk.apply(&text))
                .with_context(|| format!("{} does not fit {}", self.name, self.file.display())),
        }
    }

    /// Tells it from every other mutant, and from the same of a changed source.
    pub(super) fn key(&self, source: &str) -> String {
        let mut hasher = DefaultHasher::new();
        (self.kind, &self.name, &self.file, &self.change, source).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
