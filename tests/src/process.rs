//! A process in a host.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use crate::clock::{now, wait_for};

/// A process in a host, killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process from the calling thread, which gives it its namespaces. `log` and `errors` take its standard
    /// output and error, and may be the same file.
    ///
    /// The kernel kills the process when that *thread* ends (`PR_SET_PDEATHSIG` goes by thread): it must be a host's
    /// own, which lives as long as the host.
    pub(crate) fn spawn(name: &str, mut command: Command, log: PathBuf, errors: &Path) -> Self {
        command.stdin(Stdio::null()).stdout(open(&log)).stderr(open(errors));
        // A Ctrl-C is for the lab, which ends its processes in their order; the terminal sends it to the whole group.
        command.process_group(0);
        let parent = getpid();
        // SAFETY: between fork and exec only prctl and getppid run: system calls that allocate nothing and take no lock.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGKILL)?;
                // A parent that died before the line above would have been missed.
                if getppid() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
            });
        }
        let program = command.get_program().to_owned();
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({}): {error}", program.display()));
        Self { name: name.to_owned(), child, log }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("Linux keeps process ids below 2^22"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // Not waited for yet, so the number cannot have gone to another process.
        kill(self.pid(), signal).unwrap_or_else(|errno| {
            panic!("cannot send {signal} to {} ({}): {errno}", self.name, self.pid())
        });
    }

    /// SIGSTOP: the process stands still and does not know it.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT: a frozen process goes on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// `kill -9` of it and of the processes it started, as when their machine dies; waits until it is gone.
    pub fn kill9(&mut self) {
        // Once it has been waited for, its number may be another's.
        let children = if self.is_running() { self.children() } else { Vec::new() };
        // An error means it is gone already, which is what is asked for.
        let _ = self.child.kill();
        for child in children {
            // It has had no time to end by itself, so the number is still its own.
            let _ = kill(child, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }

    /// `kill -9` of it alone, and waits until it is gone: what it started lives on.
    pub fn kill9_alone(&mut self) {
        // An error means it is gone already, which is what is asked for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The processes that its first thread started and that live, or that it has not waited for.
    pub fn children(&self) -> Vec<Pid> {
        let pid = self.pid();
        let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        listed.split_whitespace().filter_map(|child| child.parse().ok()).map(Pid::from_raw).collect()
    }

    /// Whether it runs (a frozen one does).
    pub fn is_running(&mut self) -> bool {
        self.exit().is_none()
    }

    /// Waits until it has ended of itself, for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = now() + limit;
        loop {
            let exit = self.exit();
            if exit.is_some() || now() >= end {
                return exit;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGTERM, and waits until it has ended.
    ///
    /// # Panics
    /// If it has not ended within `limit`.
    #[track_caller]
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(limit).unwrap_or_else(|| {
            panic!("{} still runs {limit:?} after SIGTERM:\n{}", self.name, self.log_tail(20))
        })
    }

    /// What it has written.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where its log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Waits until its log contains a text.
    ///
    /// # Panics
    /// If it does not within `limit`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str, limit: Duration) {
        wait_for(format_args!("{text:?} in {}", self.log.display()), limit, || {
            self.log().contains(text).then_some(())
        });
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        tail(&self.log(), lines)
    }

    fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn open(log: &Path) -> File {
    let file = File::options().create(true).append(true).open(log);
    file.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()))
}

/// The last lines of a text, indented.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().flat_map(|line| ["    ", line, "\n"]).collect()
}
