//! The runtime directory: one agent per node, and what its next incarnation on this boot is known by.
//!
//! Its lock is an agent's while that lives, and then for a moment its guardian's, who gives up what it left. Whoever has
//! it writes its process id into the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
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
    /// The guardian of an agent that is gone is not done.
    #[error(
        "the guardian (pid {pid}) of an agent that is gone still gives up what that held, by the runtime directory {path}; \
         start this one again"
    )]
    Guarded {
        /// The directory.
        path: PathBuf,
        /// The guardian.
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

/// What a guardian writes before its process id.
const GUARDIAN: &str = "guardian ";

/// How long the lock is waited for: whoever has it may not have written who it is.
const TAKEN_AFTER: Duration = Duration::from_millis(200);

/// How long it is waited for where a guardian has it: longer than that takes.
const GUARDED_FOR: Duration = Duration::from_secs(6);

/// What lies between two looks at it.
const PAUSE: Duration = Duration::from_millis(5);

impl RuntimeDir {
    /// Makes the directory if need be and locks it; `locked` is called before others can read whose it is.
    pub fn lock(path: &Path, locked: impl FnOnce()) -> Result<Self, RuntimeDirError> {
        fs::create_dir_all(path).map_err(failed("creating", path))?;
        let file = path.join("lock");
        let mut waited = Duration::ZERO;
        let mut lock = loop {
            match try_lock(&file)? {
                Ok(lock) => break lock,
                Err(holder) => match holder.strip_prefix(GUARDIAN) {
                    Some(pid) if waited >= GUARDED_FOR => {
                        return Err(RuntimeDirError::Guarded { path: path.to_owned(), pid: pid.to_owned() });
                    }
                    None if waited >= TAKEN_AFTER => {
                        return Err(RuntimeDirError::Taken { path: path.to_owned(), pid: holder });
                    }
                    _ => {}
                },
            }
            thread::sleep(PAUSE);
            waited += PAUSE;
        };
        locked();
        write_holder(&mut lock, &std::process::id().to_string()).map_err(failed("writing", &file))?;
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

/// The lock of an agent that is gone, for its guardian; nothing if another agent has it or had it since: that one has a
/// guardian of its own.
pub(super) fn inherit(path: &Path, agent: Pid) -> Result<Option<Flock<File>>, RuntimeDirError> {
    let file = path.join("lock");
    let Ok(mut lock) = try_lock(&file)? else { return Ok(None) };
    if read_holder(&mut lock).map_err(failed("reading", &file))? != agent.to_string() {
        return Ok(None);
    }
    let own = format!("{GUARDIAN}{}", std::process::id());
    write_holder(&mut lock, &own).map_err(failed("writing", &file))?;
    Ok(Some(lock))
}

/// The lock, or who else has it.
fn try_lock(file: &Path) -> Result<Result<Flock<File>, String>, RuntimeDirError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file);
    match Flock::lock(opened.map_err(failed("opening", file))?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Ok(lock)),
        Err((mut held, Errno::EWOULDBLOCK)) => {
            read_holder(&mut held).map(Err).map_err(failed("reading", file))
        }
        Err((_, errno)) => Err(failed("locking", file)(errno.into())),
    }
}

fn read_holder(file: &mut File) -> io::Result<String> {
    let mut holder = String::new();
    file.read_to_string(&mut holder)?;
    Ok(holder.trim().to_owned())
}

fn write_holder(file: &mut File, holder: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{holder}")
}

/// The control socket below a runtime directory.
pub fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("mantle.sock")
}

/// The machine's id and a name drawn once for this directory and this boot.
///
/// The lock makes sure that at most one agent goes by it, so whoever carries it is a predecessor that has ended. The
/// machine's id alone would not do: clones share it, and so do two agents with directories of their own.
pub(super) fn machine(dir: &Path) -> Result<String, RuntimeDirError> {
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
        let first = RuntimeDir::lock(&path, || ()).unwrap();
        let error = RuntimeDir::lock(&path, || ()).unwrap_err();
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        RuntimeDir::lock(&path, || ()).unwrap();
    }

    #[test]
    fn the_next_agent_of_this_boot_is_known_and_that_of_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = RuntimeDir::lock(dir.path(), || ()).unwrap().machine().to_owned();
        assert_eq!(RuntimeDir::lock(dir.path(), || ()).unwrap().machine(), first);
        fs::write(dir.path().join("incarnation"), "another-boot 0000").unwrap();
        assert_ne!(RuntimeDir::lock(dir.path(), || ()).unwrap().machine(), first);
    }

    fn own_pid() -> Pid {
        Pid::this()
    }

    #[test]
    fn a_guardian_has_the_lock_of_its_own_agent_only_and_the_next_agent_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let agent = RuntimeDir::lock(dir.path(), || ()).unwrap();
        assert!(inherit(dir.path(), own_pid()).unwrap().is_none(), "the agent lives");
        drop(agent);
        // The agent after it had the lock too, and is gone as well.
        assert!(inherit(dir.path(), Pid::from_raw(1)).unwrap().is_none());
        let lock = inherit(dir.path(), own_pid()).unwrap().unwrap();
        let held_for = 2 * TAKEN_AFTER;
        let guardian = thread::spawn(move || {
            thread::sleep(held_for);
            drop(lock);
        });
        let begun = std::time::Instant::now();
        RuntimeDir::lock(dir.path(), || ()).unwrap();
        assert!(begun.elapsed() >= TAKEN_AFTER, "it is no other agent, and so no reason to refuse");
        guardian.join().unwrap();
    }

    #[test]
    fn whoever_reads_that_an_agent_has_the_lock_finds_its_guardian_armed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock");
        fs::write(&file, "4711").unwrap();
        let mut read = String::new();
        RuntimeDir::lock(dir.path(), || read = fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(read, "4711", "not written yet");
    }
}
