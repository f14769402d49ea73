//! A mapping as its readers see it: they take the keys they know, and everything that isn't as it should be is
//! reported at its place.

use std::fmt::Display;

use super::error::{Fault, quoted};
use super::nearest::nearest;
use super::node::{Content, Key, Node};
use super::origin::Position;
use super::report::Report;

/// A mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'n> {
    /// Where it stands.
    pub(super) position: Position,
    /// What it is called in errors.
    name: &'static str,
    entries: &'n [(Key, Node)],
}

impl<'n> Section<'n> {
    /// The mapping that stands here, whatever keys it has; none, and reported, if something else does.
    pub(super) fn open(node: &'n Node, name: &'static str, report: &mut Report) -> Option<Self> {
        if let Content::Mapping(entries) = &node.content {
            return Some(Self { position: node.position, name, entries });
        }
        let wanted = format!("keys and values of {name}, indented below it");
        report.error(node.position, Fault::WrongShape { found: node.found(), wanted });
        None
    }

    /// The same under the name it turned out to have.
    pub(super) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Reports every key that is not known.
    pub(super) fn only(self, known: &[&'static str], report: &mut Report) -> Self {
        for (key, _) in self.entries {
            if known.contains(&key.name.as_str()) {
                continue;
            }
            let remedy = match nearest(&key.name, known.iter().copied()) {
                Some(meant) => format!("write {meant}"),
                None => format!("take it away, known are {}", known.join(", ")),
            };
            report.error(
                key.position,
                Fault::UnknownKey { found: quoted(&key.name), section: self.name, remedy },
            );
        }
        self
    }

    /// Every key and what stands under it.
    pub(super) fn entries(self) -> &'n [(Key, Node)] {
        self.entries
    }

    /// What stands under a key. A key without a value counts as none.
    pub(super) fn get(self, key: &str) -> Option<&'n Node> {
        let (_, value) = self.entries.iter().find(|(known, _)| known.name == key)?;
        (!value.is_null()).then_some(value)
    }

    /// The mapping under a key, if there is one.
    pub(super) fn section(self, key: &'static str, report: &mut Report) -> Option<Self> {
        Self::open(self.get(key)?, key, report)
    }

    /// The mapping under a key of ours, if there is one: keys that are not known are reported.
    pub(super) fn own_section(
        self,
        key: &'static str,
        known: &[&'static str],
        report: &mut Report,
    ) -> Option<Self> {
        Some(self.section(key, report)?.only(known, report))
    }

    /// The items under a key; none if there is no such key.
    pub(super) fn list(self, key: &'static str, report: &mut Report) -> &'n [Node] {
        match self.get(key) {
            None => &[],
            Some(Node { content: Content::List(items), .. }) => items,
            Some(other) => {
                let wanted = format!("a list below {key}, each item after a dash");
                report.error(other.position, Fault::WrongShape { found: other.found(), wanted });
                &[]
            }
        }
    }

    /// The value under a key, if there is one and it can be read, and where it stands.
    pub(super) fn value<T, F: Into<Fault>>(
        self,
        key: &'static str,
        report: &mut Report,
        read: impl FnOnce(&str) -> Result<T, F>,
    ) -> Option<(Position, T)> {
        let node = self.get(key)?;
        Some((node.position, scalar(node, key, report, read)?))
    }

    /// The same, and reported if there is none.
    pub(super) fn required<T, F: Into<Fault>>(
        self,
        key: &'static str,
        example: &'static str,
        report: &mut Report,
        read: impl FnOnce(&str) -> Result<T, F>,
    ) -> Option<(Position, T)> {
        if self.get(key).is_none() {
            report.error(self.position, Fault::MissingKey { key, section: self.name, example });
        }
        self.value(key, report, read)
    }

    /// Puts the value under a key, if there is one, in the place of the default.
    pub(super) fn fill<T, F: Into<Fault>>(
        self,
        key: &'static str,
        target: &mut T,
        report: &mut Report,
        read: impl FnOnce(&str) -> Result<T, F>,
    ) {
        if let Some((_, value)) = self.value(key, report, read) {
            *target = value;
        }
    }
}

/// The value that stands here, if it is a scalar and can be read; reported otherwise.
pub(super) fn scalar<T, F: Into<Fault>>(
    node: &Node,
    key: impl Display,
    report: &mut Report,
    read: impl FnOnce(&str) -> Result<T, F>,
) -> Option<T> {
    let Content::Scalar(text) = &node.content else {
        let wanted = format!("one value for {key}");
        report.error(node.position, Fault::WrongShape { found: node.found(), wanted });
        return None;
    };
    match read(text) {
        Ok(value) => Some(value),
        Err(fault) => {
            report.error(node.position, fault);
            None
        }
    }
}
