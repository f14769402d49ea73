//! What outlives the agent: a directory of pinned maps and of the programs' links.
//!
//! ```text
//! <bpffs>/<name>/layout-2-net-4026531840/VIPS …          the maps
//!                                       /link-7/ingress  a program's link to the interface 7
//! ```
//! The layout's version and the network namespace are part of the path: what another version of Mantle left, or an agent
//! in another namespace, where the interface 7 is another, is never taken for ours. Nor is what is damaged: it is moved
//! aside. Both stay, and fence, until the links have their new programs; and for good what belongs to an agent that lives,
//! in another network namespace: each keeps a shared lock on its directory.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::pin::PinError as PinLinkError;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use super::cause;

/// The version of what the maps hold: to be raised with any change to `mantle_ebpf::layout`.
use mantle_ebpf::layout::VERSION as LAYOUT;

/// The directory.
#[derive(Debug)]
pub(super) struct Pins {
    /// Everything that agents of that name pin.
    outer: PathBuf,
    /// What this version pins in this network namespace.
    inner: PathBuf,
    /// Says that whoever pins there lives.
    alive: Flock<File>,
}

/// Why something pinned could not be dealt with.
#[derive(Debug, Error)]
#[error("{what} {path} failed: {source}; the agent needs to write to the BPF file system")]
pub struct PinError {
    /// What was tried.
    pub what: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What came back.
    pub source: io::Error,
}

impl Pins {
    /// Opens the directory for agents of that name, making it if need be.
    pub(super) fn open(bpffs: &Path, name: &str) -> Result<Self, PinError> {
        let inner = Self::path(bpffs, name)?;
        let outer = bpffs.join(file_name(name));
        fs::create_dir_all(&inner).map_err(failed("making", &inner))?;
        let alive = lock(&inner, FlockArg::LockSharedNonblock)?;
        Ok(Self { outer, inner, alive })
    }

    /// Whether anything is there for agents of that name.
    pub(super) fn is_there(bpffs: &Path, name: &str) -> bool {
        bpffs.join(file_name(name)).symlink_metadata().is_ok()
    }

    /// Where this version pins in this network namespace.
    pub(super) fn path(bpffs: &Path, name: &str) -> Result<PathBuf, PinError> {
        let namespace = Path::new("/proc/thread-self/ns/net");
        let namespace = fs::metadata(namespace).map_err(failed("looking at", namespace))?.ino();
        Ok(bpffs.join(file_name(name)).join(format!("layout-{LAYOUT}-net-{namespace}")))
    }

    /// What this version pins in this network namespace.
    pub(super) fn dir(&self) -> &Path {
        &self.inner
    }

    /// What is there beside ours, and nobody's who lives.
    pub(super) fn stale(&self) -> Result<Vec<StalePins>, PinError> {
        let mut others = entries(&self.outer)?;
        others.retain(|path| *path != self.inner && !is_alive(path));
        Ok(others.into_iter().map(StalePins).collect())
    }

    /// Makes what is ours stale, and begins anew.
    pub(super) fn set_aside(&mut self) -> Result<(), PinError> {
        let free = |number: &u32| self.outer.join(format!("damaged-{number}")).symlink_metadata().is_err();
        let number = (0..u32::MAX).find(free).unwrap_or(u32::MAX);
        let aside = self.outer.join(format!("damaged-{number}"));
        fs::rename(&self.inner, &aside).map_err(failed("moving aside", &self.inner))?;
        fs::create_dir(&self.inner).map_err(failed("making", &self.inner))?;
        self.alive = lock(&self.inner, FlockArg::LockSharedNonblock)?;
        Ok(())
    }

    /// Where the map of that name is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.inner.join(name)
    }

    /// Where the links to an interface are pinned, made if need be.
    pub(super) fn link(&self, index: u32) -> Result<LinkPins, PinError> {
        let pins = self.find_link(index);
        fs::create_dir_all(&pins.0).map_err(failed("making", &pins.0))?;
        Ok(pins)
    }

    /// The same, made or not.
    pub(super) fn find_link(&self, index: u32) -> LinkPins {
        LinkPins::within(&self.inner, index)
    }

    /// The interfaces that something is pinned for.
    pub(super) fn links(&self) -> Result<Vec<u32>, PinError> {
        links(&self.inner)
    }

    /// Whether nothing is pinned yet.
    pub(super) fn is_empty(&self) -> Result<bool, PinError> {
        Ok(entries(&self.inner)?.is_empty())
    }

    /// Removes everything, the directory too unless there is another's.
    pub(super) fn remove(&self) -> Result<(), PinError> {
        remove(&self.inner)?;
        match fs::remove_dir(&self.outer) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(failed("removing", &self.outer)(error))
            }
            _ => Ok(()),
        }
    }
}

/// What is pinned and of no use.
#[derive(Debug)]
pub(super) struct StalePins(PathBuf);

impl StalePins {
    /// What of it is pinned for interfaces.
    pub(super) fn links(&self) -> Result<Vec<(u32, LinkPins)>, PinError> {
        if !self.0.is_dir() {
            return Ok(Vec::new());
        }
        Ok(links(&self.0)?.into_iter().map(|index| (index, LinkPins::within(&self.0, index))).collect())
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> Result<(), PinError> {
        remove(&self.0)
    }
}

impl fmt::Display for StalePins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// What is pinned for one interface.
#[derive(Debug)]
pub(super) struct LinkPins(PathBuf);

impl LinkPins {
    /// Below what an agent pins.
    pub(super) fn within(dir: &Path, index: u32) -> Self {
        Self(dir.join(format!("link-{index}")))
    }

    /// A number that agents of one name have in common, and no others but by chance.
    pub(super) fn agent(&self) -> u32 {
        let outer = self.0.ancestors().nth(2).unwrap_or(&self.0);
        // FNV-1a, as 31 bits and another that is never zero.
        let hash = outer.as_os_str().as_bytes().iter();
        let hash =
            hash.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        hash | 1 << 31
    }

    /// Where the link of that name is pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whether there is something of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Leaves a note for the next agent.
    pub(super) fn mark(&self, name: &str) -> Result<(), PinError> {
        let path = self.path(name);
        fs::create_dir_all(&path).map_err(failed("making", &path))
    }

    /// Pins something under that name; what had the name before goes in the moment in which it is there.
    pub(super) fn replace(
        &self,
        name: &str,
        pin: impl FnOnce(&Path) -> Result<(), PinLinkError>,
    ) -> Result<(), PinError> {
        let (path, new) = (self.path(name), self.path(&format!("{name}-new")));
        remove(&new)?;
        pin(&new).map_err(|error| failed("pinning", &new)(io::Error::other(cause::told(&error))))?;
        fs::rename(&new, &path).map_err(failed("pinning", &path))
    }

    /// Removes what has that name: a link is then off its interface a moment later.
    pub(super) fn unpin(&self, name: &str) -> Result<(), PinError> {
        remove(&self.path(name))
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> Result<(), PinError> {
        remove(&self.0)
    }
}

pub(super) fn links(dir: &Path) -> Result<Vec<u32>, PinError> {
    let index = |path: PathBuf| path.file_name()?.to_str()?.strip_prefix("link-")?.parse().ok();
    Ok(entries(dir)?.into_iter().filter_map(index).collect())
}

/// Removes a file, or a directory with what is in it; what isn't there is removed already.
fn remove(path: &Path) -> Result<(), PinError> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

fn lock(dir: &Path, how: FlockArg) -> Result<Flock<File>, PinError> {
    let opened = File::open(dir).map_err(failed("opening", dir))?;
    Flock::lock(opened, how).map_err(|(_, errno)| failed("locking", dir)(errno.into()))
}

/// Whether an agent pins there.
fn is_alive(dir: &Path) -> bool {
    let locked = lock(dir, FlockArg::LockExclusiveNonblock);
    locked.is_err_and(|error| error.source.kind() == ErrorKind::WouldBlock)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, PinError> {
    let listed = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    listed.map_err(failed("listing", dir))
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PinError {
    move |source| PinError { what, path: path.to_owned(), source }
}

/// The name as the BPF file system takes it: it reserves names with dots (`bpf_lookup`).
fn file_name(name: &str) -> impl AsRef<OsStr> + AsRef<Path> {
    name.replace('%', "%25").replace('.', "%2e").replace('/', "%2f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_share_a_directory_and_none_leads_elsewhere() {
        let names = ["mantle", "mantle.d", "mantle%2ed", "a/b", ".."].map(|name| {
            let name = file_name(name);
            let path: &Path = name.as_ref();
            assert_eq!(path.components().count(), 1);
            path.to_str().unwrap().to_owned()
        });
        assert_eq!(names, ["mantle", "mantle%2ed", "mantle%252ed", "a%2fb", "%2e%2e"]);
    }

    #[test]
    fn what_another_layout_left_or_is_damaged_is_stale_and_our_own_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let pins = Pins::open(dir.path(), "mantle").unwrap();
        assert!(pins.is_empty().unwrap());
        pins.link(7).unwrap().mark("ingress").unwrap();
        fs::create_dir_all(dir.path().join("mantle/layout-0-net-1/link-3")).unwrap();
        fs::write(dir.path().join("mantle/stray"), "").unwrap();

        drop(pins);
        let mut pins = Pins::open(dir.path(), "mantle").unwrap();
        assert_eq!(pins.links().unwrap(), [7]);
        assert!(pins.find_link(7).has("ingress"));
        let stale = |pins: &Pins| {
            let mut links = Vec::new();
            for stale in pins.stale().unwrap() {
                links.extend(stale.links().unwrap().into_iter().map(|(index, _)| index));
            }
            links.sort_unstable();
            links
        };
        assert_eq!(stale(&pins), [3]);
        let alive = lock(&dir.path().join("mantle/layout-0-net-1"), FlockArg::LockSharedNonblock).unwrap();
        assert_eq!(stale(&pins), [0; 0]);
        drop(alive);

        pins.set_aside().unwrap();
        assert!(pins.is_empty().unwrap());
        pins.link(8).unwrap();
        pins.set_aside().unwrap();
        assert_eq!(stale(&pins), [3, 7, 8]);
        pins.stale().unwrap().iter().for_each(|stale| stale.remove().unwrap());
        assert_eq!(entries(&pins.outer).unwrap(), [&*pins.inner]);

        pins.remove().unwrap();
        assert!(entries(dir.path()).unwrap().is_empty());
    }
}
