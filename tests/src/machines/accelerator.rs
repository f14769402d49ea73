//! What runs a machine's processor: KVM where it truly works, else emulation.

use std::fmt;
use std::fs::OpenOptions;
use std::time::Duration;

use super::kernel::Kernel;
use super::machine::{self, Tools};

/// A machine on a real processor has booted by then.
const LIMIT: Duration = Duration::from_secs(15);

/// How a processor is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    Kvm,
    Emulation,
}

impl Accelerator {
    /// KVM if a machine boots with it: the device may be there and not serve.
    pub(super) fn probe(kernel: &Kernel, tools: &Tools) -> Self {
        let is_there = OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        if is_there && machine::boots(kernel, Self::Kvm, tools, LIMIT) { Self::Kvm } else { Self::Emulation }
    }

    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Emulation => &["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Emulation => "emulation",
        })
    }
}
