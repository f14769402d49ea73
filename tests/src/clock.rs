//! The lab's clock: `CLOCK_BOOTTIME`, the one the protocol counts in and the one every measurement is given in.

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use mantle_protocol::Instant;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Now.
pub fn now() -> Instant {
    Instant::from_boot(read(ClockId::CLOCK_BOOTTIME))
}

/// Sleeps until an instant; returns at once if it has passed.
pub fn sleep_until(instant: Instant) {
    let request = TimeSpec::from_duration(instant.since_boot());
    // A signal ends the sleep early; the absolute time makes going on trivial.
    while clock_nanosleep(ClockId::CLOCK_BOOTTIME, ClockNanosleepFlags::TIMER_ABSTIME, &request).is_err() {}
}

/// For what surely happens soon, however busy the machine.
pub const SOON: Duration = Duration::from_secs(15);

/// Asks every 10 ms until there is an answer.
///
/// # Panics
/// If there is none within `limit`.
#[track_caller]
pub fn wait_for<T>(what: impl Display, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(now() < end, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Turns the kernel's packet stamps, which are `CLOCK_REALTIME`, into instants.
///
/// To be measured anew whenever stamps are read, so that a step of the wall clock spoils at most the stamps read at
/// that moment. The error is the time between two clock readings: well below a microsecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StampConverter {
    boot: Duration,
    real: Duration,
}

impl StampConverter {
    pub(crate) fn measure() -> Self {
        Self { boot: read(ClockId::CLOCK_BOOTTIME), real: read(ClockId::CLOCK_REALTIME) }
    }

    pub(crate) fn instant(self, stamp: TimeSpec) -> Instant {
        let (measured, stamp) = (Instant::from_boot(self.boot), Duration::from(stamp));
        // A reader that is kept waiting finds what came long after it had measured.
        measured + stamp.saturating_sub(self.real) - self.real.saturating_sub(stamp)
    }
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("Linux has this clock since 2.6.39").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_now_is_now() {
        let before = now();
        let stamp = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
        let stamped = StampConverter::measure().instant(stamp);
        let slack = Duration::from_millis(1);
        assert!(before - slack <= stamped && stamped <= now() + slack, "{before:?} {stamped:?}");
    }

    #[test]
    fn a_stamp_of_after_the_measurement_is_later() {
        let converter = StampConverter::measure();
        thread::sleep(Duration::from_millis(20));
        let before = now();
        let stamp = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
        assert!(before - Duration::from_millis(1) <= converter.instant(stamp), "{before:?}");
    }

    #[test]
    #[should_panic(expected = "in vain for rain")]
    fn waiting_ends() {
        wait_for("rain", Duration::from_millis(20), || None::<()>);
    }
}
