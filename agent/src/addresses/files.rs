//! The files: environment files for others, and what the node remembers of its choices over a reboot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::environment::environment;
use super::keeper::{Choices, Kept};
use super::rule::Purpose;
use super::wishes::Wishes;

/// A file that could not be used.
#[derive(Debug, Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What a node remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The choices it made.
    pub choices: Choices,
    /// The VIPs that its cluster has: before etcd is reached, too, none of them is a node's own.
    pub vips: BTreeSet<IpAddr>,
}

/// Memory as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    choices: BTreeMap<String, Vec<IpAddr>>,
    vips: BTreeSet<IpAddr>,
}

const VERSION: u32 = 1;

impl Memory {
    /// Where it is kept.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("addresses.json")
    }

    /// What is remembered; nothing if nothing ever was.
    pub fn load(state_dir: &Path) -> Result<Self, FileError> {
        let path = Self::path(state_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(FileError { what: "read", path, source }),
        };
        let written = serde_json::from_slice(&text).map_err(io::Error::from).and_then(|written: Written| {
            let known = written.version == VERSION;
            known.then_some(written).ok_or_else(|| io::Error::other("it is of another version of Mantle"))
        });
        let Written { choices, vips, .. } =
            written.map_err(|source| FileError { what: "make sense of", path, source })?;
        let choices =
            choices.into_iter().map(|(name, addresses)| (Purpose::named(&name), addresses)).collect();
        Ok(Self { choices, vips })
    }

    /// Remembers, if it is anything new.
    pub fn save(&self, state_dir: &Path) -> Result<bool, FileError> {
        let choices = self.choices.iter().map(|(purpose, of)| (purpose.to_string(), of.clone())).collect();
        let written = Written { version: VERSION, choices, vips: self.vips.clone() };
        let text = serde_json::to_string_pretty(&written).expect("names and addresses are JSON");
        replace(&Self::path(state_dir), &(text + "\n"))
    }
}

/// Where a consumer's environment file is.
pub fn environment_file(runtime_dir: &Path, consumer: &str) -> PathBuf {
    runtime_dir.join(format!("{consumer}.env"))
}

/// Brings the environment files up to date; says whose were not, and what could not be written. A consumer for whom nothing
/// has been chosen keeps the file it has.
pub fn write_environments(
    runtime_dir: &Path,
    wishes: &Wishes,
    all: &[Kept],
) -> (Vec<String>, Vec<FileError>) {
    let (mut written, mut errors) = (Vec::new(), Vec::new());
    for consumer in wishes.consumers() {
        let Some(text) = environment(consumer, wishes, all) else { continue };
        match replace(&environment_file(runtime_dir, consumer), &text) {
            Ok(true) => written.push(consumer.to_owned()),
            Ok(false) => {}
            Err(error) => errors.push(error),
        }
    }
    (written, errors)
}

/// Puts a file in the place of the one that is there, unless it says the same already. Whoever reads sees the one or the
/// other, whole, also after a power cut.
fn replace(path: &Path, text: &str) -> Result<bool, FileError> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(false);
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Of this process alone: the agent and a command may write at the same time.
    let aside = directory.join(format!(".{name}.{}", std::process::id()));
    let put = || {
        fs::create_dir_all(directory)?;
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(directory)?.sync_all()
    };
    put().map_err(|source| {
        // It may never have been made.
        let _ = fs::remove_file(&aside);
        FileError { what: "write", path: path.to_owned(), source }
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests;
