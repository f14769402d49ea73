//! The other end of the control socket: how a command asks the agent.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

/// An answer beyond this is not the agent's: 256 VIPs make about 100 kB.
const LARGEST: usize = 16 << 20;

/// Why the agent could not be asked.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no agent is running behind {}: start it by `mantle run`, or name its socket by -c or --socket", socket.display())]
    NotRunning {
        /// The control socket.
        socket: PathBuf,
    },
    /// The socket may not be opened.
    #[error("the control socket {} may not be opened: it is its agent's user's alone; try again as root", socket.display())]
    Forbidden {
        /// The control socket.
        socket: PathBuf,
    },
    /// No whole answer in time.
    #[error("the agent behind {} did not answer within {limit:?}: it may be stuck; see its log", socket.display())]
    Late {
        /// The control socket.
        socket: PathBuf,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection failed in another way.
    #[error("asking the agent behind {} failed: {source}", socket.display())]
    Broken {
        /// The control socket.
        socket: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// What came back is no answer of an agent.
    #[error("what listens on {} does not speak as an agent does: {found}; name the agent's socket by -c or --socket", socket.display())]
    Garbled {
        /// The control socket.
        socket: PathBuf,
        /// What is wrong with the answer.
        found: &'static str,
    },
    /// The agent answered, but not with what was asked for.
    #[error("the agent behind {} answered {code} to {path}: {text}", socket.display())]
    Refused {
        /// The control socket.
        socket: PathBuf,
        /// What was asked for.
        path: String,
        /// The HTTP status code.
        code: u16,
        /// What it said.
        text: String,
    },
}

/// Asks the agent behind `socket` for `path` and gives the body of its answer, within `limit`.
pub fn get(socket: &Path, path: &str, limit: Duration) -> Result<String, AskError> {
    answer(socket, "GET", path, limit)
}

/// Asks the agent behind `socket` to do what `path` says and gives the body of its answer, within `limit`.
pub fn post(socket: &Path, path: &str, limit: Duration) -> Result<String, AskError> {
    answer(socket, "POST", path, limit)
}

fn answer(socket: &Path, method: &str, path: &str, limit: Duration) -> Result<String, AskError> {
    let answer = ask(socket, method, path, limit).map_err(|source| {
        let socket = socket.to_owned();
        match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NotRunning { socket },
            ErrorKind::PermissionDenied => AskError::Forbidden { socket },
            ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Late { socket, limit },
            _ => AskError::Broken { socket, source },
        }
    })?;
    let garbled = |found| AskError::Garbled { socket: socket.to_owned(), found };
    let answer = String::from_utf8(answer).map_err(|_| garbled("an answer that is no text"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| garbled("an answer without a head"))?;
    match status_code(head).ok_or_else(|| garbled("an answer that is not HTTP"))? {
        200 => Ok(body.to_owned()),
        code => Err(AskError::Refused {
            socket: socket.to_owned(),
            path: path.to_owned(),
            code,
            text: body.trim_end().to_owned(),
        }),
    }
}

fn status_code(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Sends the request and reads to the end: the agent closes after each answer.
fn ask(socket: &Path, method: &str, path: &str, limit: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(Some(left)) }
    };
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(left()?)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: mantle\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        // Each read gets what is left of the whole limit: an agent that drips must not hold us for ever.
        stream.set_read_timeout(left()?)?;
        let read = match stream.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        answer.extend_from_slice(&piece[..read]);
        if answer.len() > LARGEST {
            return Err(io::Error::new(ErrorKind::InvalidData, "the answer has no end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::super::{feed, http, listen, sample, serve};
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn the_agent_is_asked_over_its_control_socket() {
        let dir = tempfile::tempdir().unwrap();
        let (_publisher, feed) = feed(sample::snapshot(), sample::clock);
        let listener = listen::control(dir.path()).unwrap();
        tokio::spawn(serve::serve(listener, http::control(feed), serve::Limits::default()));
        let socket = dir.path().join(listen::SOCKET);
        let (status, missing) = tokio::task::spawn_blocking(move || {
            (get(&socket, "/status.json", LIMIT), get(&socket, "/nothing", LIMIT))
        })
        .await
        .unwrap();
        let mut expected = sample::status();
        expected.node.heartbeat_age_ms = 0;
        assert_eq!(serde_json::from_str::<super::super::Status>(&status.unwrap()).unwrap(), expected);
        assert!(matches!(missing, Err(AskError::Refused { code: 404, .. })), "{missing:?}");
    }

    #[test]
    fn a_socket_nobody_listens_on_is_no_agent() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(listen::SOCKET);
        assert!(matches!(get(&socket, "/", LIMIT), Err(AskError::NotRunning { .. })));
        drop(UnixListener::bind(&socket).unwrap());
        assert!(matches!(get(&socket, "/", LIMIT), Err(AskError::NotRunning { .. })));
    }

    #[test]
    fn an_agent_that_drips_or_babbles_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(listen::SOCKET);
        let listener = UnixListener::bind(&socket).unwrap();
        let other_end = thread::spawn(move || {
            let (mut dripping, _) = listener.accept().unwrap();
            for _ in 0..100 {
                let _the_client_may_be_gone = dripping.write_all(b"H");
                thread::sleep(Duration::from_millis(10));
            }
            drop(dripping);
            let (mut babbling, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _some = babbling.read(&mut request).unwrap();
            babbling.write_all(b"SSH-2.0\r\n\r\n").unwrap();
        });
        let late = get(&socket, "/", Duration::from_millis(200));
        assert!(matches!(late, Err(AskError::Late { .. })), "{late:?}");
        let garbled = get(&socket, "/", LIMIT);
        assert!(matches!(garbled, Err(AskError::Garbled { .. })), "{garbled:?}");
        other_end.join().unwrap();
    }
}
