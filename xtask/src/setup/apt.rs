//! apt, where there is one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::need;
use crate::process;

/// The package manager of Debian and Ubuntu.
#[derive(Debug)]
pub(super) struct Apt {
    /// The package lists were fetched in this run.
    lists_are_fresh: bool,
}

impl Apt {
    /// This machine's, if it has one.
    pub(super) fn of_this_machine() -> Option<Self> {
        need::on_path("apt-get").map(|_| Self { lists_are_fresh: false })
    }

    /// Installs packages.
    pub(super) fn install(&mut self, packages: &[&str]) -> anyhow::Result<()> {
        self.ensure_lists(packages)?;
        self.with_lists(|| {
            // rustc-web conflicts with rustc and rustup, for one: nothing of somebody's machine goes for our sake.
            let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
            process::silent(apt_get().args(install).args(packages))
        })?;
        Ok(())
    }

    /// The version of a package that would be installed; none if it is not to be had.
    pub(super) fn candidate(&mut self, package: &str) -> anyhow::Result<Option<String>> {
        self.ensure_lists(&[package])?;
        candidate(package)
    }

    /// Downloads packages and unpacks their files below `folder`, without installing anything.
    pub(super) fn unpack(&mut self, packages: &[&str], folder: &Path) -> anyhow::Result<()> {
        self.ensure_lists(packages)?;
        self.with_lists(|| process::silent(apt_get().arg("download").args(packages).current_dir(folder)))?;
        for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let archive = entry?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                process::silent(Command::new("dpkg-deb").arg("--extract").args([&archive, folder]))?;
            }
        }
        Ok(())
    }

    /// Fetches the lists if a package is unknown: a fresh container has none.
    fn ensure_lists(&mut self, packages: &[&str]) -> anyhow::Result<()> {
        for package in packages {
            if !self.lists_are_fresh && candidate(package)?.is_none() {
                self.update()?;
            }
        }
        Ok(())
    }

    /// Does it, and once more with fresh lists if it fails: old lists name files that the mirrors have dropped.
    fn with_lists(&mut self, step: impl Fn() -> anyhow::Result<String>) -> anyhow::Result<String> {
        match step() {
            Err(_) if !self.lists_are_fresh => {
                self.update()?;
                step()
            }
            outcome => outcome,
        }
    }

    fn update(&mut self) -> anyhow::Result<()> {
        println!("Fetching the package lists");
        process::silent(apt_get().arg("update"))?;
        self.lists_are_fresh = true;
        Ok(())
    }
}

pub(super) fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    // Its sandbox user may not enter the target folder, and it would complain about that at length.
    apt_get.args(["--quiet", "--option", "APT::Sandbox::User=root"]).env("DEBIAN_FRONTEND", "noninteractive");
    apt_get
}

fn candidate(package: &str) -> anyhow::Result<Option<String>> {
    let policy = process::silent(Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C"))?;
    Ok(candidate_in(&policy).map(str::to_owned))
}

fn candidate_in(policy: &str) -> Option<&str> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_apts_policy() {
        let policy = "etcd-server:\n  Installed: (none)\n  Candidate: 3.4.23-4+b4\n  Version table:\n";
        assert_eq!(candidate_in(policy), Some("3.4.23-4+b4"));
    }

    #[test]
    fn an_unknown_package_has_no_candidate() {
        assert_eq!(candidate_in(""), None);
        assert_eq!(candidate_in("etcd:\n  Installed: (none)\n  Candidate: (none)\n"), None);
    }
}
