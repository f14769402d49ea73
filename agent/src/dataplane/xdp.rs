//! The program at XDP: the accelerator, never a condition.

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::{ProgramError, Xdp, XdpMode};
use nix::errno::Errno;
use thiserror::Error;

use super::cause;
use super::pins::{LinkPins, PinError};

/// Native, or else generic: as what they are pinned.
pub(super) const FORMS: [(bool, &str); 2] = [(true, "xdp-native"), (false, GENERIC)];
/// The second of them.
pub(super) const GENERIC: &str = "xdp-generic";

/// What there is at XDP on a link.
#[derive(Debug, Error)]
pub(super) enum XdpFailure {
    /// Somebody else's program.
    #[error("another program has XDP on it")]
    Taken,
    #[error("{}", cause::told(.0))]
    Program(#[from] ProgramError),
    #[error("{}", cause::told(.0))]
    Link(#[from] LinkError),
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Attaches the program, in the driver or if need be and allowed generically, and pins its link; a predecessor's is taken
/// over. Says whether it is native.
pub(super) fn attach(
    program: &mut Xdp,
    index: u32,
    generic_too: bool,
    pins: &LinkPins,
) -> Result<bool, XdpFailure> {
    // What is there is kept in the form it has: it would be in the way of the other.
    for (native, name) in FORMS.into_iter().filter(|(_, name)| pins.has(name)) {
        match adopt(program, name, pins) {
            Ok(()) => return Ok(native),
            Err(error) => {
                tracing::info!("what an earlier agent attached as {name} cannot be taken over: {error}");
                pins.unpin(name)?;
            }
        }
    }
    let mut failure = XdpFailure::Taken;
    let forms = FORMS.into_iter().filter(|(native, _)| *native || generic_too);
    for (native, name) in forms {
        match attach_anew(program, index, if native { XdpMode::Driver } else { XdpMode::Skb }, name, pins) {
            Ok(()) => return Ok(native),
            Err(XdpFailure::Taken) => return Err(XdpFailure::Taken),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Takes it off.
pub(super) fn detach(pins: &LinkPins) -> Result<(), PinError> {
    FORMS.iter().try_for_each(|(_, name)| pins.unpin(name))
}

/// Puts the program into a predecessor's link.
fn adopt(program: &mut Xdp, name: &str, pins: &LinkPins) -> Result<(), XdpFailure> {
    let pinned = FdLink::from(PinnedLink::from_pin(pins.path(name))?);
    let id = program.attach_to_link(pinned.try_into()?)?;
    // The pin holds the link, not this.
    drop(program.take_link(id)?);
    Ok(())
}

fn attach_anew(
    program: &mut Xdp,
    index: u32,
    mode: XdpMode,
    name: &str,
    pins: &LinkPins,
) -> Result<(), XdpFailure> {
    let id = program.attach_to_if_index(index, mode).map_err(|error| match cause::errno(&error) {
        // EEXIST: somebody's in the other form.
        Some(Errno::EBUSY | Errno::EEXIST) => XdpFailure::Taken,
        _ => error.into(),
    })?;
    let attached: FdLink = program.take_link(id)?.try_into()?;
    Ok(pins.replace(name, |pin| attached.pin(pin).map(drop))?)
}
