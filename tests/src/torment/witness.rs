//! A witness of the machine: how long a thread waits that asks the kernel for nearly nothing.
//!
//! It waits for a processor, and for the routing lock, which all network namespaces of a machine share: whoever makes or
//! removes namespaces elsewhere holds up every agent's changes of addresses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{now, sleep_until};
use crate::host::Host;
use crate::netlink;
use crate::probe::Gap;

/// How often it asks.
const EVERY: Duration = Duration::from_millis(50);

/// Asks until it is dropped.
pub(super) struct Witness {
    waits: Arc<Mutex<Vec<Gap>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    pub(super) fn start(host: &Host) -> Self {
        let (waits, stop) = (Arc::<Mutex<Vec<Gap>>>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (waits.clone(), stop.clone());
        let thread = host.on_thread(move || {
            while !stopped.load(Ordering::Relaxed) {
                let due = now();
                // It is up already: nothing changes, and the lock is taken all the same.
                netlink::set_up("lo", true);
                lock(&seen).push(Gap { from: due, to: now() });
                sleep_until(due + EVERY);
            }
        });
        Self { waits, stop, thread: Some(thread) }
    }

    /// The waits of at least so long.
    pub(super) fn waits(&self, least: Duration) -> Vec<Gap> {
        lock(&self.waits).iter().copied().filter(|wait| wait.length() >= least).collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

fn lock(waits: &Mutex<Vec<Gap>>) -> MutexGuard<'_, Vec<Gap>> {
    waits.lock().unwrap_or_else(PoisonError::into_inner)
}
