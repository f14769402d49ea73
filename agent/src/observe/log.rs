//! The log: one line per event on stderr, for people or for machines.
//!
//! Events are formatted where they happen and handed to a thread of their own, which alone waits for stderr. A reader that
//! has stalled (a full pipe, a journal on a slow disk) costs log lines, which are counted, and never a renewal.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable that sets the level where the command line doesn't.
pub const LEVEL_VARIABLE: &str = "MANTLE_LOG";

/// Lines that may wait for stderr: some seconds of the wildest story.
const QUEUE: usize = 4096;

/// How long the end of the program waits for stderr.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Why the log cannot be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The level is none.
    #[error(
        "{given:?} is no log level: {source}; write error, warn, info, debug or trace, or filters such as \"info,mantle::etcd=debug\""
    )]
    Level {
        /// What was asked for.
        given: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The thread that writes could not be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[from] io::Error),
    /// The program has a log already.
    #[error("the log is set up twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets up the log of the program at `level`, or what `MANTLE_LOG` says, or `info`. Lines that still wait are written
/// when what this returns is dropped.
pub fn init(format: LogFormat, level: Option<&str>) -> Result<Flush, LogError> {
    let from_environment = std::env::var(LEVEL_VARIABLE).ok();
    let filter = filter(level.or(from_environment.as_deref()).unwrap_or("info"))?;
    let (queue, flush) = Queue::start(io::stderr())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue);
    match format {
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_target(false).with_ansi(ansi).finish().try_init()?;
        }
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).finish().try_init()?,
    }
    Ok(flush)
}

/// A bare level is meant for Mantle: at `debug` the libraries below would drown it.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let directives = match level.parse::<tracing::Level>() {
        Ok(level) => format!("warn,mantle={level}"),
        Err(_) => level.to_owned(),
    };
    EnvFilter::builder()
        .parse(directives)
        .map_err(|source| LogError::Level { given: level.to_owned(), source })
}

enum Message {
    Line(Vec<u8>),
    /// Answered once every line before it is written.
    Flush(SyncSender<()>),
}

/// Where events leave their lines.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// Writes what still waits when it is dropped.
#[must_use = "the log's last lines are written when this is dropped"]
pub struct Flush(SyncSender<Message>);

impl Queue {
    fn start(to: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let (lines, waiting) = mpsc::sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&waiting, to, &counted))?;
        Ok((Self { lines: lines.clone(), lost }, Flush(lines)))
    }
}

fn write_lines(waiting: &Receiver<Message>, mut to: impl Write, lost: &AtomicU64) {
    // Errors of stderr have nowhere to go.
    for message in waiting {
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(to, "{count} log lines were lost here: stderr did not take them in time");
        }
        match message {
            Message::Line(line) => {
                let _ = to.write_all(&line);
            }
            Message::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

/// One line per call: the subscriber hands over each event whole.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Message::Line(line.to_owned())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        // In time or not: the program's end does not hang on its log.
        let deadline = Instant::now() + LAST_WORDS;
        let (done, written) = mpsc::sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(refused)) = self.0.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = refused;
            thread::sleep(Duration::from_millis(1));
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A stderr that can be held up.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn what_was_logged_is_written_by_the_end() {
        let sink = Sink::default();
        let (mut queue, flush) = Queue::start(sink.clone()).unwrap();
        for n in 0..1000 {
            writeln!(queue, "line {n}").unwrap();
        }
        drop(flush);
        assert_eq!(sink.text().lines().last(), Some("line 999"));
    }

    #[test]
    fn a_stalled_reader_costs_lines_that_are_counted_and_no_time() {
        let sink = Sink::default();
        let (mut queue, flush) = Queue::start(sink.clone()).unwrap();
        let stall = sink.0.lock().unwrap();
        let before = Instant::now();
        for _ in 0..3 * QUEUE {
            queue.write_all(b"line\n").unwrap();
        }
        assert!(before.elapsed() < Duration::from_secs(2));
        drop(stall);
        drop(flush);
        let text = sink.text();
        let lost: usize = text
            .lines()
            .filter_map(|line| {
                line.strip_suffix(" log lines were lost here: stderr did not take them in time")
            })
            .map(|count| count.parse::<usize>().unwrap())
            .sum();
        assert!(lost > 0);
        assert_eq!(text.lines().filter(|line| *line == "line").count() + lost, 3 * QUEUE);
    }

    #[test]
    fn json_lines_are_flat_objects_with_a_precise_time() {
        let sink = Sink::default();
        let (queue, flush) = Queue::start(sink.clone()).unwrap();
        let subscriber =
            tracing_subscriber::fmt().with_writer(queue).json().flatten_event(true).with_span_list(false);
        tracing::subscriber::with_default(subscriber.finish(), || {
            tracing::info!(vip = "192.168.0.15", epoch = 7, "worn");
        });
        drop(flush);
        let line: serde_json::Value = serde_json::from_str(&sink.text()).unwrap();
        assert_eq!((line["vip"].as_str(), line["epoch"].as_i64()), (Some("192.168.0.15"), Some(7)));
        assert_eq!((line["message"].as_str(), line["level"].as_str()), (Some("worn"), Some("INFO")));
        let time = line["timestamp"].as_str().unwrap();
        assert_eq!((time.len(), &time[19..20], &time[26..]), (27, ".", "Z"), "{time}");
    }

    #[test]
    fn a_bare_level_is_mantles() {
        let text = |level| filter(level).unwrap().to_string();
        assert!(text("debug").contains("mantle=debug") && text("debug").contains("warn"));
        assert_eq!(text("mantle::etcd=trace"), "mantle::etcd=trace");
        let error = filter("mantle=loud").unwrap_err().to_string();
        assert!(error.contains("\"mantle=loud\" is no log level"), "{error}");
    }
}
