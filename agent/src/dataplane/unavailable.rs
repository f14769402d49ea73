//! Why there is no kernel program, and what to do about it.

use std::fmt::Write as _;
use std::fs;
use std::io;

use aya::EbpfError;
use aya::programs::ProgramError;
use aya::util::KernelVersion;
use nix::errno::Errno;
use thiserror::Error;

use super::bpffs::ROOT;
use super::cause;
use super::pins::PinError;
use crate::clock;

/// Why the agent has to go on without the kernel program.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// The agent's clock is not the kernel program's.
    #[error(
        "CLOCK_BOOTTIME is shifted by {0} in the agent's time namespace, but not for the kernel program; run mantle in \
         the machine's own time namespace"
    )]
    TimeNamespace(String),
    /// The kernel lacks what the program needs.
    #[error("Linux {0} is too old for the kernel program, which needs 5.8; a newer kernel gives the fence")]
    KernelTooOld(String),
    /// The agent may not.
    #[error("{what} was not permitted: {remedy}")]
    Denied {
        /// What was tried.
        what: &'static str,
        /// What to do about it.
        remedy: String,
    },
    /// There is no BPF file system.
    #[error(
        "the BPF file system cannot be mounted: {0}; mount it with `mount -t bpf bpf {ROOT}` before mantle starts"
    )]
    Bpffs(#[source] io::Error),
    /// Something pinned is in the way.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The kernel refused the programs or the maps.
    #[error("{what} failed: {why}; please report this with the kernel's version ({kernel})")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// What came back; of the verifier's log the end.
        why: String,
        /// The kernel.
        kernel: String,
    },
}

/// What the programs and maps need: ring buffers and `bpf_ktime_get_boot_ns`.
const OLDEST: KernelVersion = KernelVersion::new(5, 8, 0);

impl Unavailable {
    /// What can be told before anything is tried.
    pub(super) fn foreseen() -> Result<(), Self> {
        if let Some(offset) = clock::shift() {
            return Err(Self::TimeNamespace(offset));
        }
        if KernelVersion::current().is_ok_and(|found| found < OLDEST) {
            return Err(Self::KernelTooOld(kernel()));
        }
        // Where it doesn't show, the attempt will.
        if let Ok(status) = fs::read_to_string("/proc/thread-self/status")
            && !missing(&status).is_empty()
        {
            return Err(Self::Denied { what: "the kernel program", remedy: remedy(&status) });
        }
        Ok(())
    }

    /// The maps could not be made.
    pub(super) fn maps(error: &EbpfError) -> Self {
        Self::new("making the maps", cause::errno(error), || cause::told(error))
    }

    /// A program could not be loaded.
    pub(super) fn program(error: &ProgramError) -> Self {
        let what = "loading the kernel program";
        let ProgramError::LoadError { io_error, verifier_log } = error else {
            return Self::new(what, cause::errno(error), || cause::told(error));
        };
        let log = verifier_log.to_string();
        if log.trim().is_empty() {
            return Self::new(what, io_error.raw_os_error().map(Errno::from_raw), || io_error.to_string());
        }
        // The verifier too says "permission denied", of what the program does.
        Self::refused(what, format!("{io_error}; the verifier: {}", end_of(&log)))
    }

    /// Anything else that should not be.
    pub(super) fn refused(what: &'static str, why: String) -> Self {
        Self::Refused { what, why, kernel: kernel() }
    }

    fn new(what: &'static str, errno: Option<Errno>, why: impl FnOnce() -> String) -> Self {
        match errno {
            Some(Errno::EPERM | Errno::EACCES) => {
                let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
                Self::Denied { what, remedy: remedy(&status) }
            }
            _ => Self::refused(what, why()),
        }
    }
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn remedy(status: &str) -> String {
    match missing(status).as_slice() {
        [] => "though the agent has the capabilities; is it in a user namespace, or do seccomp or the kernel's lockdown \
               forbid BPF?"
            .to_owned(),
        missing => format!("give the agent {}, which it lacks", missing.join(" and ")),
    }
}

/// The capabilities that loading and attaching take and that a `/proc/<pid>/status` doesn't show.
fn missing(status: &str) -> Vec<&'static str> {
    const NET_ADMIN: u32 = 12;
    const SYS_ADMIN: u32 = 21;
    const PERFMON: u32 = 38;
    const BPF: u32 = 39;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 == 1;
    let needed = [
        ("CAP_BPF", has(BPF) || has(SYS_ADMIN)),
        // Without it the verifier lets no program compare pointers, as every look into a frame does.
        ("CAP_PERFMON", has(PERFMON) || has(SYS_ADMIN)),
        ("CAP_NET_ADMIN", has(NET_ADMIN)),
    ];
    needed.into_iter().filter_map(|(name, has)| (!has).then_some(name)).collect()
}

/// The last lines of a verifier's log that say what it did not like.
fn end_of(log: &str) -> String {
    const LINES: usize = 4;
    // What follows is statistics.
    let lines: Vec<&str> = log
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take_while(|line| !line.starts_with("processed ") && !line.starts_with("verification time"))
        .collect();
    let mut end = String::new();
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        let separator = if end.is_empty() { "" } else { " | " };
        write!(end, "{separator}{line}").expect("a string takes all that is written");
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_that_lack_are_named() {
        let none: [&str; 0] = [];
        assert_eq!(missing("Name:\tmantle\nCapEff:\t000001ffffffffff\n"), none);
        assert_eq!(missing("CapEff:\t0000000000000000\n"), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(missing("CapEff:\t0000000000001000\n"), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing("CapEff:\t0000000000201000\n"), none);
        assert_eq!(missing("CapEff:\t000000c000001000\n"), none);
        assert_eq!(missing("CapEff:\t000000c000000000\n"), ["CAP_NET_ADMIN"]);
        assert_eq!(missing("CapEff:\t0000008000001000\n"), ["CAP_PERFMON"]);
    }

    #[test]
    fn of_the_verifiers_log_the_end_is_told() {
        let log = "0: (79) r1\n1: (b7)\n2: x\n3: y\n4: z\nR1 invalid mem access 'scalar'\nverification time 10 usec\n\
                   processed 4 insns";
        assert_eq!(end_of(log), "2: x | 3: y | 4: z | R1 invalid mem access 'scalar'");
    }
}
