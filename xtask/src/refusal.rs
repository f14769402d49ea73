//! Tasks that are not even begun.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::Context;

/// Why a task was refused before it did anything.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The command line makes no sense.
    Usage(String),
    /// The task needs root, for this.
    Root(&'static str),
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what}: `cargo xtask help` tells what there is"),
            Self::Root(what_for) => write!(
                f,
                "root is needed {what_for}: run it again as root, for example by \
                 `sudo env \"HOME=$HOME\" \"PATH=$PATH\" cargo xtask …`"
            ),
        }
    }
}

/// Refuses unless this is root; `what_for` completes "root is needed".
pub(crate) fn unless_root(what_for: &'static str) -> anyhow::Result<()> {
    // A process's own entry belongs to its effective user.
    let own = fs::metadata("/proc/self").context(
        "cannot read /proc/self to tell whether this is root: Mantle and its lab run on Linux only",
    )?;
    if own.uid() == 0 { Ok(()) } else { Err(Refusal::Root(what_for).into()) }
}
