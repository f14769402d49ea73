//! Mantle's kernel program, and what the agent shares with it.
//!
//! The library half is everything that does not need the kernel: the wire formats, what the maps hold, and the logic
//! of the programs, generic over how a frame is reached and where the maps are. The kernel runs that logic in
//! `program/`; the tests run the very same on the host and compare the two.
#![no_std]

pub mod layout;
#[cfg(feature = "user")]
pub mod object;
pub mod verdict;
pub mod wire;
