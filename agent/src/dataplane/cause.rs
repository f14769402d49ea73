//! What lies behind aya's errors, which say what was tried and hide what the kernel answered.

use std::error::Error;
use std::io;

use nix::errno::Errno;

/// What the kernel answered, if it was the kernel that refused.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error()).map(Errno::from_raw)
}

/// The whole story in one line.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    let mut told = String::new();
    for cause in causes(error).map(ToString::to_string) {
        // Some of aya's errors repeat what is behind them.
        if !told.contains(&cause) {
            if !told.is_empty() {
                told.push_str(": ");
            }
            told.push_str(&cause);
        }
    }
    told
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use aya::maps::MapError;
    use aya::sys::SyscallError;

    use super::*;

    #[test]
    fn what_the_kernel_answered_comes_out() {
        let io_error = io::Error::from_raw_os_error(libc_ebusy());
        let error = MapError::SyscallError(SyscallError { call: "bpf_link_create", io_error });
        assert_eq!(errno(&error), Some(Errno::EBUSY));
        let told = told(&error);
        assert!(told.contains("bpf_link_create") && told.contains("busy"), "{told}");
    }

    fn libc_ebusy() -> i32 {
        Errno::EBUSY as i32
    }
}
