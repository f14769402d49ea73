//! Talking to a machine: lines of JSON over the sockets that qemu opens.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use mantle_protocol::Instant;
use serde_json::Value;

use crate::clock::now;

/// One socket.
#[derive(Debug)]
pub(super) struct Talk {
    writer: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Talk {
    /// Connects once qemu listens.
    pub(super) fn open(path: &Path, until: Instant) -> Result<Self, String> {
        loop {
            match UnixStream::connect(path) {
                Ok(writer) => {
                    let reader = writer.try_clone().map_err(|error| error.to_string())?;
                    return Ok(Self { writer, reader: BufReader::new(reader) });
                }
                Err(error) if now() >= until => {
                    return Err(format!("cannot reach {}: {error}", path.display()));
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    pub(super) fn say(&mut self, line: &Value) -> Result<(), String> {
        writeln!(self.writer, "{line}").map_err(|error| error.to_string())
    }

    /// The next line for which this holds.
    pub(super) fn hear(&mut self, until: Instant, is_it: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let mut line = String::new();
        loop {
            let left = until.since(now()).max(Duration::from_millis(1));
            self.writer.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
            match self.reader.read_line(&mut line) {
                Ok(0) => return Err("the machine is gone".to_owned()),
                Ok(_) => {}
                // What has come of the line stays in it.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if now() >= until {
                        return Err("it did not answer in time".to_owned());
                    }
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            }
            if let Ok(value) = serde_json::from_str::<Value>(line.trim())
                && is_it(&value)
            {
                return Ok(value);
            }
            line.clear();
        }
    }
}
