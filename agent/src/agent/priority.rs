//! The core thread's priority: above whatever else the machine has to do.
//!
//! A nice value weighs only against what is in the same control group, and a service has one of its own. So the
//! thread asks for the lowest of the real-time priorities: it goes before every ordinary thread of the machine, and
//! after those of the kernel and of whoever asked for more. It works for microseconds at a time; should it ever spin,
//! the kernel leaves others their share (`sched_rt_runtime_us`) and ends the process ([`LONGEST_SPIN`]), whose fences
//! hold without it. Only this thread: what the hands do grows with the number of VIPs.

use std::io;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use tracing::{info, warn};

/// For how many microseconds a real-time thread may run without waiting for anything.
const LONGEST_SPIN: libc::rlim_t = 2_000_000;

/// The lowest real-time priority.
const LOWEST: libc::c_int = 1;

/// The nice value that goes before all others.
const FIRST: libc::c_int = -20;

/// Raises the calling thread as far as permitted, and says how far.
pub(super) fn raise() {
    let Err(refused) = real_time() else {
        return info!("the core thread runs at real-time priority {LOWEST}");
    };
    if nice().is_ok() {
        return info!(
            "the core thread runs at nice {FIRST}: a real-time priority is not permitted ({refused})"
        );
    }
    warn!(
        "the core thread runs at no raised priority ({refused}): on a busy machine renewals may be late. Permit it by \
         CAP_SYS_NICE or a limit on real-time priorities (RLIMIT_RTPRIO) of {LOWEST}"
    );
}

fn real_time() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_RTTIME, LONGEST_SPIN, LONGEST_SPIN)?;
    let parameters = libc::sched_param { sched_priority: LOWEST };
    // Threads that this one starts, to read files for it, are ordinary ones.
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the call reads the parameters, which live on this stack; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn nice() -> io::Result<()> {
    // SAFETY: no memory is involved; on Linux 0 is the calling thread, not its process (setpriority(2), "C library/kernel
    // differences").
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, FIRST) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
