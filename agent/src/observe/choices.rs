//! Which of the node's addresses are chosen for whom, from the thread that chooses to whoever scrapes.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The choices as last made.
#[derive(Debug, Default)]
pub struct Choices(Mutex<Vec<ShownChoice>>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownChoice {
    /// What it is for.
    pub purpose: String,
    /// The addresses in force.
    pub addresses: Vec<String>,
    /// Whether they are old ones, or none, because what was asked for is not there.
    pub stale: bool,
    /// How often it has changed since the agent started.
    pub changes: u64,
}

impl Choices {
    /// Shows a choice from now on.
    pub fn show(&self, purpose: String, addresses: Vec<String>, stale: bool, is_new: bool) {
        let mut all = self.lock();
        match all.iter_mut().find(|shown| shown.purpose == purpose) {
            Some(shown) => {
                let changes = shown.changes + u64::from(is_new);
                *shown = ShownChoice { purpose, addresses, stale, changes };
            }
            None => all.push(ShownChoice { purpose, addresses, stale, changes: u64::from(is_new) }),
        }
    }

    /// What is shown now.
    pub fn shown(&self) -> Vec<ShownChoice> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ShownChoice>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
