//! True time, and what each node's clock makes of it.

use std::time::Duration;

use mantle_protocol::Instant;

/// True time in microseconds, which no node knows.
pub type Micros = u64;

/// A node's `CLOCK_BOOTTIME`, read by its agent and its kernel program alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clock {
    /// How many of the clock's microseconds pass in a true second.
    rate: u64,
    /// When the machine booted; the clock stood still before.
    booted: Micros,
    /// Since when the clock stands still, if it does: no clock does, but for one mutant.
    stopped: Option<Micros>,
}

impl Clock {
    /// What the kernel allows at the slow end: a tick of -10 % and -500 ppm.
    pub const SLOWEST: u64 = 899_550;
    /// What the kernel allows at the fast end: a tick of +10 % and +500 ppm.
    pub const FASTEST: u64 = 1_100_550;

    /// A clock that runs at this rate since then.
    pub fn new(rate: u64, booted: Micros) -> Self {
        Self { rate, booted, stopped: None }
    }

    /// What it shows.
    pub fn at(&self, now: Micros) -> Instant {
        let now = self.stopped.map_or(now, |stopped| now.min(stopped));
        Instant::from_boot(Duration::from_nanos(now.saturating_sub(self.booted) * self.rate / 1000))
    }

    /// From when on it shows at least `instant`.
    pub fn reaches(&self, instant: Instant) -> Micros {
        match u64::try_from(instant.since_boot().as_nanos()) {
            Ok(nanos) => self.booted + (nanos.saturating_mul(1000)).div_ceil(self.rate) + 1,
            Err(_) => Micros::MAX,
        }
    }

    /// How long by true time what takes `span` by this clock takes.
    pub fn truly(&self, span: Duration) -> Micros {
        u64::try_from(span.as_micros()).map_or(Micros::MAX, |span| span.saturating_mul(1_000_000) / self.rate)
    }

    /// Lets it stand still.
    pub fn stop(&mut self, now: Micros) {
        self.stopped.get_or_insert(now);
    }

    /// Lets it run on from where it stopped.
    pub fn go_on(&mut self, now: Micros) {
        if let Some(stopped) = self.stopped.take() {
            self.booted += now - stopped;
        }
    }
}
