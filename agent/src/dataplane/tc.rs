//! The programs at TC: by TCX where the kernel has it (6.6), else as filters of a clsact qdisc.

use std::error::Error;
use std::io;
use std::mem;
use std::path::Path;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use mantle_ebpf::object;
use nix::errno::Errno;
use thiserror::Error;

use super::pins::{LinkPins, PinError};
use super::{cause, hook};

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

    /// The same as the kernel numbers it.
    fn hook_number(self) -> u32 {
        match self {
            Self::Ingress => hook::TCX_INGRESS,
            Self::Egress => hook::TCX_EGRESS,
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
    #[error("looking at what is there: {0}")]
    Look(#[source] io::Error),
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// The note that there are filters on the link: nothing of them can be pinned, and nothing needs to be, since they stay until
/// they are removed.
pub(super) const CLSACT: &str = "clsact";

/// Where our filters stand: before others, which might end the matter without the fence.
const PRIORITY: u16 = 1;

/// Attaches a program by TCX before all others, and pins its link; a predecessor's is taken over, so that at no moment
/// there is none.
pub(super) fn attach_tcx(
    program: &mut SchedClassifier,
    side: Side,
    index: u32,
    link: &str,
    pins: &LinkPins,
) -> Result<(), TcFailure> {
    let (name, pin) = (side.name(), pins.path(side.name()));
    if pins.has(name) {
        match adopt(program, side, index, &pin) {
            Ok(Adopted::InPlace) => return Ok(()),
            Ok(Adopted::NotThere) => {
                tracing::info!(link, "what an earlier agent attached at TC {name} is not there any more");
                pins.unpin(name)?;
            }
            Ok(Adopted::Behind(others)) => {
                tracing::warn!(
                    link,
                    others,
                    "programs of others had come before the kernel program at TC {name}, where they could pass \
                     what it fences: it goes first again"
                );
            }
            Err(error) => {
                tracing::warn!(
                    link,
                    "what an earlier agent attached at TC {name} cannot be taken over: {}",
                    cause::told(&error)
                );
                pins.unpin(name)?;
            }
        }
    }
    // Before others, which might end the matter without the fence.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(link, side.hook(), options)?;
    let attached: FdLink = program.take_link(id)?.try_into()?;
    // The link that was pinned there goes when the new one is attached.
    Ok(pins.replace(name, |pin| attached.pin(pin).map(drop))?)
}

/// How many programs of others run before ours at a TCX hook; nothing if ours is not there.
pub(super) fn others_before(side: Side, index: u32, pins: &LinkPins) -> Result<Option<usize>, TcFailure> {
    if !pins.has(side.name()) {
        return Ok(None);
    }
    let ours = FdLink::from(PinnedLink::from_pin(pins.path(side.name()))?).info()?.id();
    let there = hook::links(index, side.hook_number()).map_err(TcFailure::Look)?;
    Ok(there.iter().position(|link| *link == ours))
}

/// What became of a predecessor's link.
enum Adopted {
    /// It has the new program.
    InPlace,
    /// It is not at the hook: the interface is gone, and this one has only the number in common.
    NotThere,
    /// So many programs of others run before it.
    Behind(usize),
}

/// Puts the program into a predecessor's link, if that is where it should be.
fn adopt(program: &mut SchedClassifier, side: Side, index: u32, pin: &Path) -> Result<Adopted, TcFailure> {
    let pinned = FdLink::from(PinnedLink::from_pin(pin)?);
    let ours = pinned.info()?;
    let there = hook::links(index, side.hook_number()).map_err(TcFailure::Look)?;
    match there.iter().position(|link| *link == ours.id()) {
        Some(0) => {
            let id = program.attach_to_link(pinned.try_into()?)?;
            // The pin holds the link, not this.
            drop(program.take_link(id)?);
            Ok(Adopted::InPlace)
        }
        // The kernel takes no program twice, and without it there would be a gap: the next agent's goes first.
        Some(_) if ours.program_id() == program.info()?.id() => Ok(Adopted::InPlace),
        Some(others) => Ok(Adopted::Behind(others)),
        None => Ok(Adopted::NotThere),
    }
}

/// Attaches a program as a filter before all others, and then takes a predecessor's off: at no moment there is none.
///
/// A new filter goes before all that have its priority, a replaced one stays where it is (`cls_bpf_change`): so ours is
/// never replaced, but goes by two names in turn.
pub(super) fn attach_filter(
    program: &mut SchedClassifier,
    side: Side,
    link: &str,
    pins: &LinkPins,
) -> Result<(), TcFailure> {
    pins.mark(CLSACT)?;
    match qdisc_add_clsact(link) {
        Err(error) if !is_there(&error) => return Err(ProgramError::from(error).into()),
        _ => {}
    }
    let [one, other] = handles(pins);
    match add_filter(program, side, link, one) {
        Ok(()) => remove_filter(side, link, other),
        Err(error) if is_there(&error) => {
            // There only if an agent died between its adding and its taking off.
            remove_filter(side, link, other);
            add_filter(program, side, link, other)?;
            remove_filter(side, link, one);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Takes a predecessor's filters off, if it left a note of them; with the interface they are gone anyway.
pub(super) fn detach_filters(link: &str, pins: &LinkPins) -> Result<(), PinError> {
    if pins.has(CLSACT) {
        for side in Side::BOTH {
            for handle in handles(pins) {
                remove_filter(side, link, handle);
            }
        }
        pins.unpin(CLSACT)?;
    }
    Ok(())
}

fn add_filter(
    program: &mut SchedClassifier,
    side: Side,
    link: &str,
    handle: TcHandle,
) -> Result<(), TcFailure> {
    let options = NlOptions { priority: PRIORITY, handle, classid: None };
    let id = program.attach_with_options(link, side.hook(), TcAttachOptions::Netlink(options))?;
    // Dropped it would take the filter off; there is nothing in it to leak.
    mem::forget(program.take_link(id)?);
    Ok(())
}

/// Takes a filter off, if it is there.
fn remove_filter(side: Side, link: &str, handle: TcHandle) {
    if let Ok(filter) = SchedClassifierLink::attached(link, side.hook(), PRIORITY, handle, None) {
        // Which takes it off.
        drop(filter);
    }
}

fn is_there(error: &(dyn Error + 'static)) -> bool {
    cause::errno(error) == Some(Errno::EEXIST)
}

/// What tells our filters from those of an agent of another name, which the link may have beside ours.
fn handles(pins: &LinkPins) -> [TcHandle; 2] {
    let even = pins.agent() & !1;
    [even, even | 1].map(TcHandle::from)
}
