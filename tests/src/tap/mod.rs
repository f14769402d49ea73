//! The wire tap: every frame of a switch that announces a VIP, answers for it or uses it as sender.

mod capture;
mod frame;
mod socket;
mod traffic;

pub use capture::Tap;
pub(crate) use frame::claims;
pub use frame::{Claim, Frame, FrameKind};
pub(crate) use socket::PacketSocket;
pub use traffic::Traffic;
