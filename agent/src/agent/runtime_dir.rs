//! The runtime directory: one agent per node, and what its next incarnation on this boot is known by.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

/// The runtime directory, locked for as long as this lives.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    machine: String,
    _lock: Flock<File>,
}

/// Why the runtime directory cannot be had.
#[derive(Debug, Error)]
pub enum RuntimeDirError {
    /// Another agent runs.
    #[error(
        "another mantle agent (pid {pid}) runs with the runtime directory {path}: one agent serves all VIPs of a node; \
         stop it first, or give this one another `node` and another `runtimeDir`"
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The other agent.
        pid: String,
    },
    /// The directory or a file in it cannot be made or read.
    #[error("cannot use the runtime directory: {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
}

impl RuntimeDir {
    /// Makes the directory if need be and locks it.
    pub fn lock(path: &Path) -> Result<Self, RuntimeDirError> {
        fs::create_dir_all(path).map_err(failed("creating", path))?;
        let file = path.join("lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file);
        let opened = opened.map_err(failed("opening", &file))?;
        let mut lock = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut held, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                held.read_to_string(&mut pid).map_err(failed("reading", &file))?;
                return Err(RuntimeDirError::Taken { path: path.to_owned(), pid: pid.trim().to_owned() });
            }
            Err((_, errno)) => return Err(failed("locking", &file)(errno.into())),
        };
        lock.set_len(0).map_err(failed("writing", &file))?;
        writeln!(lock, "{}", std::process::id()).map_err(failed("writing", &file))?;
        let machine = machine(path)?;
        Ok(Self { path: path.to_owned(), machine, _lock: lock })
    }

    /// What sessions of this directory's agents carry: only such a session may be resumed.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        socket(&self.path)
    }
}

/// The control socket below a runtime directory.
pub fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("mantle.sock")
}

/// The machine's id and a name drawn once for this directory and this boot.
///
/// The lock makes sure that at most one agent goes by it, so whoever carries it is a predecessor that has ended. The
/// machine's id alone would not do: clones share it, and so do two agents with directories of their own.
fn machine(dir: &Path) -> Result<String, RuntimeDirError> {
    let boot = read_trimmed("/proc/sys/kernel/random/boot_id")?;
    let file = dir.join("incarnation");
    let drawn = match fs::read_to_string(&file) {
        Ok(text) => text.trim().strip_prefix(&format!("{boot} ")).map(str::to_owned),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("reading", &file)(error)),
    };
    let drawn = if let Some(drawn) = drawn {
        drawn
    } else {
        let drawn = read_trimmed("/proc/sys/kernel/random/uuid")?;
        fs::write(&file, format!("{boot} {drawn}\n")).map_err(failed("writing", &file))?;
        drawn
    };
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let id = if id.trim().is_empty() { "unknown" } else { id.trim() };
    Ok(format!("{id}/{drawn}"))
}

fn read_trimmed(path: &'static str) -> Result<String, RuntimeDirError> {
    let text = fs::read_to_string(path).map_err(failed("reading", Path::new(path)))?;
    Ok(text.trim().to_owned())
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RuntimeDirError {
    move |source| RuntimeDirError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mantle");
        let first = RuntimeDir::lock(&path).unwrap();
        let error = RuntimeDir::lock(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        RuntimeDir::lock(&path).unwrap();
    }

    #[test]
    fn the_next_agent_of_this_boot_is_known_and_that_of_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = RuntimeDir::lock(dir.path()).unwrap().machine().to_owned();
        assert_eq!(RuntimeDir::lock(dir.path()).unwrap().machine(), first);
        fs::write(dir.path().join("incarnation"), "another-boot 0000").unwrap();
        assert_ne!(RuntimeDir::lock(dir.path()).unwrap().machine(), first);
    }
}
