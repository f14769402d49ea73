//! The guardian's wait for its agent's exit. It costs no thread, no runtime and no connection.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::{ARMED, DISMISSED};
use crate::clock;
use mantle_protocol::Instant;

/// The guardian while its agent lives.
#[derive(Debug)]
pub struct Vigil {
    agent: Pid,
    /// Readable when the agent has ended, all threads of it: the kernel's word, whatever ended it. A frozen one has not.
    exit: OwnedFd,
    line: UnixStream,
    said: Option<u8>,
}

/// An agent that ended and left something to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    /// Its process id.
    pub(super) agent: Pid,
    /// When it was gone.
    pub(super) at: Instant,
}

impl Vigil {
    pub(super) fn new(agent: Pid, exit: OwnedFd, line: UnixStream) -> Self {
        Self { agent, exit, line, said: None }
    }

    /// Waits for the agent's exit; nothing if it left nothing: it never had the lock, or ended in order.
    pub(super) fn keep(mut self) -> io::Result<Option<Gone>> {
        self.line.set_nonblocking(true)?;
        let mut hears = true;
        loop {
            let mut awaited = vec![PollFd::new(self.exit.as_fd(), PollFlags::POLLIN)];
            if hears {
                awaited.push(PollFd::new(self.line.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut awaited, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let gone = awaited[0].any().unwrap_or(true);
            drop(awaited);
            // Also when it is gone: its last word may have come just before.
            hears = hears && self.hear()?;
            if self.said == Some(DISMISSED) {
                return Ok(None);
            }
            if gone {
                let left = self.said == Some(ARMED);
                return Ok(left.then(|| Gone { agent: self.agent, at: clock::now() }));
            }
        }
    }

    /// Takes in what the agent has said; says whether there may be more.
    fn hear(&mut self) -> io::Result<bool> {
        let mut word = [0];
        loop {
            match self.line.read(&mut word) {
                Ok(0) => return Ok(false),
                Ok(_) => self.said = Some(word[0]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It ended with something unread: its end comes by the other way.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A pipe in the pidfd's place: readable when its other end is closed, as the agent's exit makes it.
    fn vigil() -> (Vigil, UnixStream, File) {
        let (exit, alive) = nix::unistd::pipe().unwrap();
        let (line, agents) = UnixStream::pair().unwrap();
        (Vigil::new(Pid::from_raw(4711), exit, line), agents, File::from(alive))
    }

    #[test]
    fn an_agent_that_had_the_lock_and_ended_without_a_word_is_gone() {
        let (vigil, mut line, alive) = vigil();
        let waiting = thread::spawn(move || vigil.keep());
        line.write_all(&[ARMED]).unwrap();
        thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished(), "it lives");
        let ended = clock::now();
        drop((line, alive));
        let gone = waiting.join().unwrap().unwrap().unwrap();
        assert_eq!(gone.agent, Pid::from_raw(4711));
        assert!(gone.at >= ended);
    }

    #[test]
    fn a_closed_line_alone_is_no_exit() {
        let (vigil, mut line, alive) = vigil();
        line.write_all(&[ARMED]).unwrap();
        drop(line);
        let waiting = thread::spawn(move || vigil.keep());
        thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(alive);
        assert!(waiting.join().unwrap().unwrap().is_some());
    }

    #[test]
    fn one_that_never_had_the_lock_or_ended_in_order_leaves_nothing() {
        for words in [&[][..], &[ARMED, DISMISSED]] {
            let (vigil, mut line, alive) = vigil();
            line.write_all(words).unwrap();
            drop((line, alive));
            assert_eq!(vigil.keep().unwrap(), None, "{words:?}");
        }
    }
}
