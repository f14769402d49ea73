//! Ctrl-C and SIGTERM of the lab's programs: nothing of a lab is left behind.

use std::io::{self, IsTerminal, Write, stdout};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::lab;

/// What a shell says of a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// The signal ends the process at once.
const AT_ONCE: u8 = 0;
/// The signal is waited for, and whoever waits ends the process in order.
const AWAITED: u8 = 1;
/// It has come while it was waited for; a second one ends the process at once.
const COME: u8 = 2;

/// Listens for the signals that end a program.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Starts listening: from now on a signal removes what the labs have on disk and ends the process, with which the
    /// kernel removes the rest.
    pub(crate) fn listen() -> Self {
        let interrupt = Self(Arc::new(AtomicU8::new(AT_ONCE)));
        let own = interrupt.clone();
        let listener = thread::Builder::new().name("interrupt".to_owned());
        let started = listener.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = runtime.and_then(|runtime| runtime.block_on(own.attend()));
            ended.unwrap_or_else(|error| panic!("cannot listen for signals: {error}"));
        });
        started.unwrap_or_else(|error| panic!("cannot start a thread that listens for signals: {error}"));
        interrupt
    }

    /// From now on the first signal only makes [`Self::has_come`] true.
    pub(crate) fn await_it(&self) {
        self.0.store(AWAITED, Ordering::SeqCst);
    }

    /// Whether the signal has come that is waited for.
    pub(crate) fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst) == COME
    }

    async fn attend(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let was_awaited = self.0.compare_exchange(AWAITED, COME, Ordering::SeqCst, Ordering::SeqCst);
            if was_awaited.is_err() {
                lab::abandon_all();
                end_line();
                exit(INTERRUPTED);
            }
        }
    }
}

/// The shell's next prompt gets a line of its own: on a terminal the last one may be a living line, which has no end.
fn end_line() {
    let mut out = stdout();
    if out.is_terminal() {
        // The terminal may have gone; then nobody misses it.
        let _ = out.write_all(b"\n");
    }
}
