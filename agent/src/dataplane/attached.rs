//! What comes of attaching the programs to a link.

use thiserror::Error;

use super::cause;
use super::pins::PinError;

/// How the programs are attached to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Where what arrives is seen first.
    pub mode: LinkMode,
    /// Whether TC has them by TCX, or else by filters of a clsact qdisc.
    pub tcx: bool,
    /// Whether a program of somebody else's keeps frames from ours: one at generic XDP what arrives; one that came before ours
    /// at TC since what it lets pass, or takes, by itself.
    ///
    /// The kernel itself answers then, which the program lets out while the right lasts: after it the VIP is silent and no
    /// connection comes to pass. But what wants no answer still gets in until the address is off, and nothing is sent on to
    /// a successor: here the VIP is no safer than the address's lifetime makes it, and a handoff is a plain release.
    pub blind: bool,
}

/// Where the kernel program meets what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode {
    /// At XDP, and at TC what gets past that.
    Xdp {
        /// In the driver, or else in the kernel's generic form.
        native: bool,
    },
    /// At TC.
    Tc,
}

/// Why a link has no kernel program.
#[derive(Debug, Error)]
pub enum AttachError {
    /// It is gone.
    #[error("the kernel program was not attached to {link}: the link is gone")]
    NoLink {
        /// The link.
        link: String,
    },
    /// The kernel refused.
    #[error("the kernel program was not attached to {link} at TC {side}: {why}; the other fences remain")]
    Refused {
        /// The link.
        link: String,
        /// "ingress" or "egress".
        side: &'static str,
        /// What came back.
        why: String,
    },
    /// What outlives the agent can't be kept.
    #[error(transparent)]
    Pin(#[from] PinError),
}

impl AttachError {
    pub(super) fn refused(link: &str, side: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Refused { link: link.to_owned(), side, why: cause::told(error) }
    }
}
