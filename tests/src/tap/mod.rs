//! The wire tap: every frame of a switch that announces a VIP, answers for it or uses it as sender.

mod capture;
mod frame;
mod socket;

pub use capture::Tap;
pub use frame::{Claim, Frame, FrameKind};
