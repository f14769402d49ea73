//! What this machine's clocks are like.

use std::fs;

use crate::clock;

/// What this machine's clocks are like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// What the kernel reads the time from, if it says.
    pub clock_source: Option<String>,
    /// By what this process's time namespace shifts `CLOCK_BOOTTIME`, if it does.
    pub shift: Option<String>,
}

impl Machine {
    /// This one.
    pub fn find_out() -> Self {
        let source = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        Self { clock_source: source.ok().map(|name| name.trim().to_owned()), shift: clock::shift() }
    }
}
