//! The clock that rights, silences and the kernel program are measured by.

use nix::time::ClockId;

use crate::protocol::Instant;

/// Now, by `CLOCK_BOOTTIME`.
pub fn now() -> Instant {
    let since_boot = ClockId::CLOCK_BOOTTIME.now().expect("CLOCK_BOOTTIME is there since Linux 2.6.39");
    Instant::from_boot(since_boot.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::now;

    #[test]
    fn it_runs_forward() {
        let before = now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(now().since(before) >= Duration::from_millis(2));
    }
}
