//! The clock that rights, silences and the kernel program are measured by.

use std::fs;

use nix::time::ClockId;

use mantle_protocol::Instant;

/// Now, by `CLOCK_BOOTTIME`.
pub fn now() -> Instant {
    let since_boot = ClockId::CLOCK_BOOTTIME.now().expect("CLOCK_BOOTTIME is there since Linux 2.6.39");
    Instant::from_boot(since_boot.into())
}

/// By what this process's time namespace shifts `CLOCK_BOOTTIME`, if it does: the kernel program's clock is not shifted.
pub fn shift() -> Option<String> {
    // The file is there since time namespaces are.
    shift_in(&fs::read_to_string("/proc/self/timens_offsets").ok()?)
}

/// What shifts `CLOCK_BOOTTIME`, from the contents of `timens_offsets`.
fn shift_in(offsets: &str) -> Option<String> {
    let mut words = offsets.lines().find_map(|line| line.strip_prefix("boottime"))?.split_whitespace();
    let (seconds, nanoseconds) = (words.next()?, words.next()?);
    ((seconds, nanoseconds) != ("0", "0")).then(|| format!("{seconds} s and {nanoseconds} ns"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_shifted_boottime_is_seen() {
        assert_eq!(shift_in("monotonic           0         0\nboottime            0         0\n"), None);
        assert_eq!(shift_in("monotonic 5 0\nboottime 0 0\n"), None);
        assert_eq!(shift_in("monotonic 0 0\nboottime -86400 0\n").unwrap(), "-86400 s and 0 ns");
        assert_eq!(shift_in("monotonic 0 0\nboottime 0 1\n").unwrap(), "0 s and 1 ns");
    }

    #[test]
    fn it_runs_forward() {
        let before = now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(now().since(before) >= Duration::from_millis(2));
    }
}
