//! The fork, and the agent's end of what connects it with its guardian.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::{ARMED, DISMISSED, Vigil};

/// Why there is no guardian.
#[derive(Debug, Error)]
pub enum SplitError {
    /// Something of the kernel's cannot be had.
    #[error(
        "no guardian: {what}: {source}; should this agent be killed, another node takes over after the silence"
    )]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// What came back.
        source: io::Error,
    },
    /// Only the thread that forks goes on in the child: locks that others hold would stay locked there for ever.
    #[error("no guardian: the process has {0} threads already")]
    Threads(usize),
}

/// How often a guardian that is ending is looked after.
const REAPED_EVERY: Duration = Duration::from_millis(10);

/// Which of the two processes this one is.
#[derive(Debug)]
pub enum Split {
    /// The agent.
    Agent(Guard),
    /// The guardian.
    Guardian(Vigil),
}

/// The guardian, as its agent has it.
#[derive(Debug)]
pub struct Guard {
    pid: Pid,
    line: UnixStream,
}

/// Forks the guardian off: to be called while the process has one thread.
pub fn split() -> Result<Split, SplitError> {
    let failed = |what| move |source: io::Error| SplitError::Kernel { what, source };
    let threads = fs::read_dir("/proc/self/task").map_err(failed("counting the process's threads"))?.count();
    if threads != 1 {
        return Err(SplitError::Threads(threads));
    }
    let agent = getpid();
    // Before the fork: a process id may have gone to another process by the time a child asks for it.
    let exit = pidfd(agent).map_err(failed("watching over a process (pidfd_open, Linux 5.3)"))?;
    let (line, other_end) = UnixStream::pair().map_err(failed("making a pair of sockets"))?;
    // SAFETY: there is one thread, so the child may go on as any process.
    match unsafe { fork() }.map_err(|errno| failed("forking")(errno.into()))? {
        ForkResult::Parent { child } => Ok(Split::Agent(Guard { pid: child, line })),
        ForkResult::Child => {
            drop(line);
            step_back();
            Ok(Split::Guardian(Vigil::new(agent, exit, other_end)))
        }
    }
}

/// What is sent to the whole process group or control group is meant for the agent, whose end it brings in order.
fn step_back() {
    // A name of its own in lists of processes, should the kernel take it.
    let _ = prctl::set_name(c"mantle-guardian");
    for meant_for_the_agent in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: no handler is installed, and none was.
        let ignored = unsafe { signal(meant_for_the_agent, SigHandler::SigIgn) };
        debug_assert!(ignored.is_ok(), "all but SIGKILL and SIGSTOP can be ignored");
    }
}

fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: a system call that takes two numbers, and nothing of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = Errno::result(fd)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Guard {
    /// From here on what the agent leaves is the guardian's to give up.
    pub(in crate::agent) fn arm(&mut self) {
        self.say(ARMED);
    }

    /// The agent ends with everything released.
    pub(in crate::agent) fn dismiss(mut self) {
        self.say(DISMISSED);
    }

    fn say(&mut self, word: u8) {
        // A guardian that is gone is told of by `lost`.
        let _ = self.line.write_all(&[word]);
    }

    /// What says when the guardian is gone. Wants a tokio runtime.
    pub(in crate::agent) fn loss(&self) -> io::Result<Loss> {
        let line = self.line.try_clone()?;
        line.set_nonblocking(true)?;
        Ok(Loss { pid: self.pid, line: tokio::net::UnixStream::from_std(line)? })
    }
}

/// Waits for the guardian's end.
#[derive(Debug)]
pub(in crate::agent) struct Loss {
    pid: Pid,
    line: tokio::net::UnixStream,
}

impl Loss {
    /// Returns when the guardian is gone, and gives its process id.
    pub(in crate::agent) async fn lost(mut self) -> Pid {
        // It never says anything: whatever comes back is its end.
        let _ = self.line.read_u8().await;
        // Or it would stay a zombie for as long as the agent lives. Its files are closed a moment before it has ended.
        while waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
            sleep(REAPED_EVERY).await;
        }
        self.pid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_more_than_one_thread_is_not_split() {
        // The test harness itself waits in another.
        let refused = split().unwrap_err();
        assert!(matches!(refused, SplitError::Threads(threads) if threads > 1), "{refused}");
    }
}
