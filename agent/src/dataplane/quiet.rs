//! Keeps the kernel's own ARP quiet about the VIPs on a link, and gives the settings back as they were.
//!
//! On the VIPs' own links in mode raw, where raw sockets answer; and in every mode on the node's other links, since one of
//! them may be in the same network, and the kernel answers on any link for any address of the host. It doesn't with
//! `arp_ignore` 3 for addresses of host scope, which are the VIPs, and for next to nothing else.
//!
//! What they were is noted in the runtime directory before they are changed: the next agent gives them back, should this
//! one not come to it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::dataplane::name_of;

const SETTINGS_OF_LINKS: &str = "/proc/sys/net/ipv4/conf";

/// A setting of a link. The kernel goes by the larger one of the link's and that of `all` (`IN_DEV_MAXCONF`).
#[derive(Debug)]
struct Setting {
    name: &'static str,
    quiet: i32,
    is_quiet: fn(i32) -> bool,
}

const SETTINGS: [Setting; 2] = [
    // 3 is like 0 but for addresses of host scope. 1 and 2 answer only for addresses of the link, 8 for none; 4 to 7 are
    // reserved and mean 0 (`arp_ignore` in net/ipv4/arp.c).
    Setting { name: "arp_ignore", quiet: 3, is_quiet: |value| matches!(value, 1 | 2 | 3 | 8) },
    // Else the kernel asks for a neighbour's MAC in the VIP's name when it answers a connection to it, and the
    // neighbour takes note of where the VIP is (`arp_solicit`).
    Setting { name: "arp_announce", quiet: 2, is_quiet: |value| value >= 2 },
];

/// Why a link's settings could not be changed or given back.
#[derive(Debug, Error)]
pub enum QuietError {
    /// A setting cannot be read or written.
    #[error("cannot {what} {path}: {source}; is /proc/sys/net writable?")]
    Setting {
        /// What was tried.
        what: &'static str,
        /// The setting.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// The setting of all links is stronger.
    #[error(
        "net.ipv4.conf.all.{setting} is {value}, which makes the kernel answer for the VIPs; set it to 0"
    )]
    Overruled {
        /// The setting.
        setting: &'static str,
        /// Its value for all links.
        value: i32,
    },
    /// What was changed cannot be noted.
    #[error("cannot note the links' settings in {path}: {source}")]
    Note {
        /// The file.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
}

/// A setting as it was found.
#[derive(Debug)]
struct Kept {
    index: u32,
    setting: &'static Setting,
    found: i32,
}

/// The links that are kept quiet.
#[derive(Debug)]
pub struct Quiet {
    note: PathBuf,
    kept: Vec<Kept>,
}

impl Quiet {
    /// Takes over what an earlier agent noted.
    pub fn open(runtime_dir: &Path) -> Self {
        let note = runtime_dir.join("quiet-links");
        let text = fs::read_to_string(&note).unwrap_or_default();
        Self { note, kept: text.lines().filter_map(Kept::read).collect() }
    }

    /// Keeps the kernel quiet on a link; one on which it can't be is left as it was.
    pub fn hush(&mut self, index: u32, link: &str) -> Result<(), QuietError> {
        let hushed = self.raise(index, link);
        if hushed.is_err() {
            self.release(index)?;
        }
        hushed
    }

    /// Gives the settings of all links back but for these.
    pub fn retain(&mut self, wanted: &BTreeSet<u32>) -> Result<(), QuietError> {
        let links: BTreeSet<u32> = self.kept.iter().map(|kept| kept.index).collect();
        // One that fails leaves the others their turn.
        let released = links.difference(wanted).map(|index| self.release(*index));
        released.fold(Ok(()), Result::and)
    }

    fn raise(&mut self, index: u32, link: &str) -> Result<(), QuietError> {
        for setting in &SETTINGS {
            let (all, found) = (setting.get("all")?, setting.get(link)?);
            if (setting.is_quiet)(all.max(found)) {
                continue;
            }
            if !(setting.is_quiet)(all.max(setting.quiet)) {
                return Err(QuietError::Overruled { setting: setting.name, value: all });
            }
            if !self.kept.iter().any(|kept| kept.index == index && kept.setting.name == setting.name) {
                self.kept.push(Kept { index, setting, found });
                self.write_note()?;
            }
            setting.set(link, setting.quiet)?;
        }
        Ok(())
    }

    /// Gives a link's settings back, but for one that somebody else has changed since.
    fn release(&mut self, index: u32) -> Result<(), QuietError> {
        // A link that is gone has taken its settings along.
        if let Some(link) = name_of(index) {
            for kept in self.kept.iter().filter(|kept| kept.index == index) {
                if kept.setting.get(&link)? == kept.setting.quiet {
                    kept.setting.set(&link, kept.found)?;
                }
            }
        }
        self.kept.retain(|kept| kept.index != index);
        self.write_note()
    }

    fn write_note(&self) -> Result<(), QuietError> {
        let failed = |source| QuietError::Note { path: self.note.clone(), source };
        if self.kept.is_empty() {
            return match fs::remove_file(&self.note) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        let mut text = String::new();
        for Kept { index, setting, found } in &self.kept {
            // A string takes all that is written.
            let _ = writeln!(text, "{index} {} {found}", setting.name);
        }
        // Whole or not at all, whenever the agent is killed.
        let new = self.note.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &self.note)).map_err(failed)
    }
}

/// Gives back what an earlier agent changed on the links and could not give back itself; to be called when the VIPs' addresses
/// are off.
pub fn give_back(runtime_dir: &Path) -> Result<(), QuietError> {
    Quiet::open(runtime_dir).retain(&BTreeSet::new())
}

impl Kept {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (index, name, found) = (words.next()?, words.next()?, words.next()?);
        let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
        Some(Self { index: index.parse().ok()?, setting, found: found.parse().ok()? })
    }
}

impl Setting {
    fn path(&self, link: &str) -> PathBuf {
        [SETTINGS_OF_LINKS, link, self.name].iter().collect()
    }

    fn get(&self, link: &str) -> Result<i32, QuietError> {
        let path = self.path(link);
        let read = fs::read_to_string(&path).and_then(|text| {
            text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        read.map_err(|source| QuietError::Setting { what: "read", path, source })
    }

    fn set(&self, link: &str, value: i32) -> Result<(), QuietError> {
        let path = self.path(link);
        fs::write(&path, value.to_string()).map_err(|source| QuietError::Setting {
            what: "write",
            path,
            source,
        })
    }
}
