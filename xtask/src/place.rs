//! Where things lie: the workspace, and what cargo builds.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::build::Profile;

/// The folders the tasks work in.
#[derive(Debug)]
pub(crate) struct Place {
    /// Cargo's target folder.
    target: PathBuf,
    /// The folder within it that the profiles' folders lie in: the same, unless cargo builds for a named target.
    built: PathBuf,
}

impl Place {
    /// Finds them from where this program itself was built to, wherever `CARGO_TARGET_DIR` put that.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot tell where xtask itself lies")?;
        let built = program
            .ancestors()
            .nth(2)
            .with_context(|| format!("{} was not built by cargo: run `cargo xtask`", program.display()))?;
        // Cargo marks the target folder it made; one that somebody else made has no mark.
        let target = built.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap_or(built);
        Ok(Self { target: target.to_owned(), built: built.to_owned() })
    }

    /// The workspace.
    pub(crate) fn workspace() -> &'static Path {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        xtask.parent().unwrap_or(xtask)
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where programs go that are fetched for the lab.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A program of this workspace.
    pub(crate) fn program(&self, profile: Profile, name: &str) -> PathBuf {
        self.built.join(profile.folder()).join(name)
    }
}
