//! What has been found so far to be wrong or doubtful.

use std::path::{Path, PathBuf};

use super::error::{Concern, Error, Errors, Fault, Warning};
use super::origin::{Origin, Position};

/// Errors and warnings as they are found, so that a reader can go on after the first one.
#[derive(Debug, Default)]
pub(super) struct Report {
    file: PathBuf,
    errors: Vec<Error>,
    warnings: Vec<Warning>,
}

impl Report {
    /// What follows is about this file.
    pub(super) fn enter(&mut self, file: &Path) {
        file.clone_into(&mut self.file);
    }

    /// The file this is about.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// A place in the file this is about.
    pub(super) fn origin(&self, position: impl Into<Option<Position>>) -> Origin {
        Origin { file: self.file.clone(), position: position.into() }
    }

    /// Something is wrong at this place; at none: with the file as a whole.
    pub(super) fn error(&mut self, position: impl Into<Option<Position>>, fault: impl Into<Fault>) {
        let origin = self.origin(position);
        self.error_at(origin, fault);
    }

    /// Something is wrong at this place, of whichever file.
    pub(super) fn error_at(&mut self, origin: Origin, fault: impl Into<Fault>) {
        self.errors.push(Error { origin, fault: fault.into() });
    }

    /// Something is doubtful at this place; at none: about the file as a whole.
    pub(super) fn warn(&mut self, position: impl Into<Option<Position>>, concern: Concern) {
        let origin = self.origin(position);
        self.warn_at(origin, concern);
    }

    /// Something is doubtful at this place, of whichever file.
    pub(super) fn warn_at(&mut self, origin: Origin, concern: Concern) {
        self.warnings.push(Warning { origin, concern });
    }

    /// Whether anything is wrong so far.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The warnings, if nothing is wrong.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, Errors> {
        if self.errors.is_empty() {
            self.warnings.sort_by(|a, b| a.origin.cmp(&b.origin));
            Ok(self.warnings)
        } else {
            self.errors.sort_by(|a, b| a.origin.cmp(&b.origin));
            Err(Errors(self.errors))
        }
    }
}
