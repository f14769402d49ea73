//! ARP and NDP frames: built for announcements and answers, read by the kernel program and the tests.
//!
//! All fields are big-endian byte arrays, as on the wire.
//!
//! Shaped for the kernel's verifier, which wants one bounds check and then nothing it has to doubt: every parser and
//! builder takes a whole frame as a fixed-size array, so the program compares the packet's end once and hands over a
//! reference; every offset is a constant that the compiler checks against the array's length; every loop has a constant
//! number of rounds. A frame whose length varies (a neighbour solicitation with options) is one function, generic
//! over that length: the program reads the payload length first and calls the instance that fits. What is longer
//! than any instance it has, it leaves to the kernel's own stack.

#![expect(
    clippy::inline_always,
    reason = "between eBPF functions pass five registers and one back: structs must not become arguments"
)]

mod arp;
mod checksum;
mod ether;
pub(crate) mod field;
mod mac;
mod ndp;

pub use arp::{Arp, NotArp, Operation};
pub use mac::Mac;
pub use ndp::{Advertisement, BadSolicitation, Solicitation, solicited_node};
