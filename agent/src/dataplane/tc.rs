//! The programs at TC: by TCX where the kernel has it (6.6), else as filters of a clsact qdisc.

use std::io;
use std::mem;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use mantle_ebpf::object;
use nix::errno::Errno;
use thiserror::Error;

use super::cause;
use super::pins::{LinkPins, PinError, failed};

/// One of the two hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ingress,
    Egress,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// As errors and pins call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Ingress => object::INGRESS,
            Self::Egress => object::EGRESS,
        }
    }

    fn hook(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }
}

/// Why a program is not at its hook.
#[derive(Debug, Error)]
pub(super) enum TcFailure {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// The note that there are filters on the link: nothing of them can be pinned, and nothing needs to be, since they stay until
/// they are removed.
const CLSACT: &str = "clsact";

/// Where our filters stand: before others, which might end the matter without the fence.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0x6d61, 0x6e74);

/// Attaches a program by TCX and pins its link; a predecessor's is taken over, so that at no moment there is none.
pub(super) fn attach_tcx(
    program: &mut SchedClassifier,
    side: Side,
    link: &str,
    pins: &LinkPins,
) -> Result<(), TcFailure> {
    let pin = pins.path(side.name());
    if pins.has(side.name()) {
        match adopt(program, side, link, pins) {
            Ok(true) => return Ok(()),
            Ok(false) => tracing::info!(
                link,
                "what an earlier agent attached at TC {} is not there any more",
                side.name()
            ),
            Err(error) => tracing::warn!(
                link,
                "what an earlier agent attached at TC {} cannot be taken over: {}",
                side.name(),
                cause::told(&error)
            ),
        }
        pins.unpin(side.name())?;
    }
    // Before others, which might end the matter without the fence.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(link, side.hook(), options)?;
    let attached: FdLink = program.take_link(id)?.try_into()?;
    attached.pin(&pin).map_err(|error| failed("pinning", &pin)(io::Error::other(cause::told(&error))))?;
    Ok(())
}

/// Puts the program into a predecessor's link; whether that is, by what the kernel says, where it should be.
fn adopt(program: &mut SchedClassifier, side: Side, link: &str, pins: &LinkPins) -> Result<bool, TcFailure> {
    let pinned = FdLink::from(PinnedLink::from_pin(pins.path(side.name()))?);
    let id = match program.attach_to_link(pinned.try_into()?) {
        Ok(id) => id,
        // The interface is gone; this one has only the number in common.
        Err(error) if cause::errno(&error) == Some(Errno::ENOLINK) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // The pin holds the link, not this.
    drop(program.take_link(id)?);
    let ours = program.info()?.id();
    let (_, there) = SchedClassifier::query_tcx(link, side.hook())?;
    Ok(there.iter().any(|program| program.id() == ours))
}

/// Attaches a program as a filter, or puts it into a predecessor's.
pub(super) fn attach_filter(
    program: &mut SchedClassifier,
    side: Side,
    link: &str,
    pins: &LinkPins,
) -> Result<(), TcFailure> {
    pins.mark(CLSACT)?;
    match qdisc_add_clsact(link) {
        Err(error) if cause::errno(&error) != Some(Errno::EEXIST) => {
            return Err(ProgramError::from(error).into());
        }
        _ => {}
    }
    // Without a filter there to replace, this fails and changes nothing.
    let id = match program.attach_to_link(filter(side, link)?) {
        Ok(id) => id,
        Err(_) => {
            let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
            program.attach_with_options(link, side.hook(), TcAttachOptions::Netlink(options))?
        }
    };
    // Dropped it would take the filter off; there is nothing in it to leak.
    mem::forget(program.take_link(id)?);
    Ok(())
}

/// Takes a predecessor's filters off, if it left a note of them; with the interface they are gone anyway.
pub(super) fn detach_filters(link: &str, pins: &LinkPins) -> Result<(), PinError> {
    if pins.has(CLSACT) {
        for side in Side::BOTH {
            // Drop takes it off.
            if let Ok(there) = filter(side, link) {
                drop(there);
            }
        }
        pins.unpin(CLSACT)?;
    }
    Ok(())
}

/// Our filter at one hook of a link, there or not.
fn filter(side: Side, link: &str) -> Result<SchedClassifierLink, TcFailure> {
    let found = SchedClassifierLink::attached(link, side.hook(), PRIORITY, HANDLE, None);
    Ok(found.map_err(|error| ProgramError::from(TcError::IoError(error)))?)
}
