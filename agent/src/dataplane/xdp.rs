//! The program at XDP: the accelerator, never a condition.

use aya::Ebpf;
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::{ProgramError, Xdp, XdpMode};
use mantle_ebpf::object;
use nix::errno::Errno;
use thiserror::Error;

use super::cause;
use super::pins::{LinkPins, PinError};

/// Where the program runs: in the driver, or else in front of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Native,
    Generic,
}

/// Both, the better first.
pub(super) const FORMS: [Form; 2] = [Form::Native, Form::Generic];
/// As what the second is pinned.
pub(super) const GENERIC: &str = Form::Generic.name();

impl Form {
    pub(super) const fn is_native(self) -> bool {
        matches!(self, Self::Native)
    }

    /// As what it is pinned.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Native => "xdp-native",
            Self::Generic => "xdp-generic",
        }
    }

    /// The program that is made for it.
    pub(super) fn program(self, programs: &mut Ebpf) -> &mut Xdp {
        let name = match self {
            Self::Native => object::XDP,
            Self::Generic => object::XDP_GENERIC,
        };
        let program = programs.program_mut(name).and_then(|program| program.try_into().ok());
        program.expect("the committed object has both XDP programs")
    }

    const fn mode(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

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
    programs: &mut Ebpf,
    index: u32,
    generic_too: bool,
    pins: &LinkPins,
) -> Result<bool, XdpFailure> {
    // What is there is kept in the form it has: it would be in the way of the other.
    for form in FORMS.into_iter().filter(|form| pins.has(form.name())) {
        match adopt(form.program(programs), form.name(), pins) {
            Ok(()) => return Ok(form.is_native()),
            Err(error) => {
                let name = form.name();
                tracing::info!("what an earlier agent attached as {name} cannot be taken over: {error}");
                pins.unpin(name)?;
            }
        }
    }
    let mut failure = XdpFailure::Taken;
    for form in FORMS.into_iter().filter(|form| form.is_native() || generic_too) {
        match attach_anew(form.program(programs), index, form.mode(), form.name(), pins) {
            Ok(()) => return Ok(form.is_native()),
            Err(XdpFailure::Taken) => return Err(XdpFailure::Taken),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Takes it off.
pub(super) fn detach(pins: &LinkPins) -> Result<(), PinError> {
    FORMS.iter().try_for_each(|form| pins.unpin(form.name()))
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
