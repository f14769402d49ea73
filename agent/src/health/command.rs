//! A command: run in a process group of its own, which is killed as a whole when it has ended or its time is over.

use std::io::{self, ErrorKind, PipeReader, Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::config::CommandCheck;

/// How often it is looked whether the agent ends.
const GLANCE: Duration = Duration::from_millis(20);

/// Runs a command to its end, at most for `limit` or until `stopping`; says why if it failed. Blocks.
pub(super) fn run(command: &CommandCheck, limit: Duration, stopping: &AtomicBool) -> Result<(), String> {
    let (mut child, pipe) = spawn(command).map_err(|error| format!("the command cannot be run: {error}"))?;
    let group = Pid::from_raw(i32::try_from(child.id()).expect("Linux keeps process ids below 2^22"));
    let mut output = Output { pipe, kept: Vec::new(), is_open: true };
    let ended = wait(group, Instant::now() + limit, &mut output, stopping);
    // Before it is waited for: until then no other group can have its number. An error means that nobody is left.
    let _ = killpg(group, Signal::SIGKILL);
    let status = child.wait().map_err(|error| format!("the command cannot be waited for: {error}"))?;
    output.read();
    if !ended {
        return Err(format!("the command still ran after {limit:?} and was killed{}", output.quoted()));
    }
    if status.success() {
        return Ok(());
    }
    Err(format!("the command ended with {status}{}", output.quoted()))
}

fn spawn(command: &CommandCheck) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = pipe()?;
    let mut prepared = match command {
        CommandCheck::Run(words) => {
            let (program, arguments) = words.split_first().ok_or(ErrorKind::InvalidInput)?;
            let mut prepared = Command::new(program);
            prepared.args(arguments);
            prepared
        }
        CommandCheck::Shell(line) => {
            let mut prepared = Command::new("/bin/sh");
            prepared.arg("-c").arg(line);
            prepared
        }
    };
    prepared
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .current_dir("/");
    // Whoever speaks to systemd in the agent's name, it must not be a check.
    prepared.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    // SAFETY: between fork and exec only system calls run, which allocate nothing and take no lock.
    unsafe {
        prepared.pre_exec(|| {
            step_back();
            // It must not outlive an agent that is killed. This goes by thread: ours waits for the command below.
            Ok(set_pdeathsig(Signal::SIGKILL)?)
        });
    }
    let flags = OFlag::from_bits_retain(fcntl(&reader, FcntlArg::F_GETFL)?);
    fcntl(&reader, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok((prepared.spawn()?, reader))
}

/// Gives up the precedence that systemd gives the agent on the processor and when memory runs out: a command that goes wild
/// must not have it. Runs between fork and exec: system calls only. Where one is refused it stays as it is.
fn step_back() {
    // SAFETY: the call takes numbers only; 0 names the calling process.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
    // SAFETY: the path is a C string that lives for ever.
    let file = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if file >= 0 {
        // SAFETY: the file is open, and the buffer one byte long, as is said.
        unsafe { libc::write(file, c"0".as_ptr().cast(), 1) };
        // SAFETY: it was opened above and nobody else knows it.
        unsafe { libc::close(file) };
    }
}

/// Whether it has ended by `deadline`. It is left to be waited for, so that its number stays its own.
fn wait(child: Pid, deadline: Instant, output: &mut Output, stopping: &AtomicBool) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        output.read();
        if !matches!(waitid(Id::Pid(child), flags), Ok(WaitStatus::StillAlive)) {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now()).min(GLANCE);
        if left.is_zero() || stopping.load(Ordering::Relaxed) {
            return false;
        }
        output.wait(left);
    }
}

/// What a command writes: the beginning is kept, the rest is read and dropped, or a command that writes much would hang.
struct Output {
    pipe: PipeReader,
    kept: Vec<u8>,
    /// Whether anybody can still write.
    is_open: bool,
}

impl Output {
    const MOST_KEPT: usize = 256;
    /// At one go, so that one who writes without end has his time end.
    const MOST_READS: usize = 16;

    fn read(&mut self) {
        let mut part = [0; 4096];
        for _ in 0..Self::MOST_READS {
            match self.pipe.read(&mut part) {
                Ok(0) => return self.is_open = false,
                Ok(length) => {
                    let room = Self::MOST_KEPT - self.kept.len();
                    self.kept.extend_from_slice(&part[..length.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing there just now; or nothing to be had.
                Err(_) => return,
            }
        }
    }

    /// Waits until there is something to read or nobody can write any more, which is how a command's end is heard of.
    fn wait(&self, left: Duration) {
        if !self.is_open {
            return thread::sleep(left.min(Duration::from_millis(2)));
        }
        let mut descriptors = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
        // A signal or an error ends the wait early, which is as good.
        let _ = poll(&mut descriptors, PollTimeout::from(millis));
    }

    /// Its first line, for a person.
    fn quoted(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        match text.lines().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => format!(": {}", line.replace(char::is_control, "\u{fffd}")),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(line: &str, limit: Duration) -> Result<(), String> {
        run(&CommandCheck::Shell(line.to_owned()), limit, &AtomicBool::new(false))
    }

    /// Whether a process runs: a zombie doesn't, but is one.
    fn is_there(pid: &str) -> bool {
        Path::new("/proc").join(pid.trim()).exists()
    }

    #[test]
    fn its_end_decides_and_its_first_words_are_told() {
        assert_eq!(shell("exit 0", LONG), Ok(()));
        let said = shell("echo; echo 'no  disk' >&2; echo more; exit 3", LONG);
        assert_eq!(said, Err("the command ended with exit status: 3: no  disk".to_owned()));
        let run = |words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect();
            run(&CommandCheck::Run(words), LONG, &AtomicBool::new(false))
        };
        assert_eq!(run(&["/bin/test", "a b", "=", "a b"]), Ok(()));
        assert!(run(&["/no/such/program"]).unwrap_err().contains("cannot be run: No such file"));
    }

    #[test]
    fn what_hangs_is_killed_with_all_that_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let pids = directory.path().join("pids");
        let line = format!("sleep 60 & echo $! > {0}; echo $$ >> {0}; wait", pids.display());
        let began = Instant::now();
        let said = shell(&line, Duration::from_millis(500));
        assert!(said.unwrap_err().starts_with("the command still ran after 500ms and was killed"));
        assert!(began.elapsed() < LONG);
        let pids = fs::read_to_string(pids).unwrap();
        assert_eq!(pids.lines().count(), 2);
        // The command itself has been waited for. What it started is its foster parent's to wait for.
        let gone = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
        };
        let own = pids.lines().nth(1).unwrap();
        assert!(!is_there(own), "a zombie is left");
        let other = pids.lines().next().unwrap();
        while !gone(other) {
            assert!(began.elapsed() < LONG, "process {other} goes on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_it_leaves_behind_is_killed_too_and_not_waited_for() {
        let began = Instant::now();
        // The one in the background holds the output open.
        assert_eq!(shell("sleep 60 & exit 0", LONG), Ok(()));
        assert!(began.elapsed() < LONG / 2);
    }

    #[test]
    fn one_that_writes_without_end_has_its_time_end() {
        let said = shell("yes", Duration::from_millis(300)).unwrap_err();
        assert!(said.ends_with("was killed: y"), "{said}");
        let much = shell("head -c 10000000 /dev/zero | tr '\\0' x; exit 1", LONG).unwrap_err();
        assert!(much.contains("exit status: 1") && much.len() < 400, "{much}");
    }

    #[test]
    fn it_has_not_the_agents_precedence() {
        let told = thread::spawn(|| {
            // SAFETY: the call takes numbers only; 0 names the calling thread.
            assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -7) }, 0, "root may");
            shell("echo $(nice) $(cat /proc/self/oom_score_adj); exit 1", LONG).unwrap_err()
        });
        assert!(told.join().unwrap().ends_with(": 0 0"));
    }

    #[test]
    fn an_agent_that_ends_waits_for_none() {
        let began = Instant::now();
        let stopping = AtomicBool::new(true);
        let said = run(&CommandCheck::Shell("sleep 60".to_owned()), LONG, &stopping);
        assert!(said.is_err());
        assert!(began.elapsed() < LONG / 2);
    }
}
