//! ARP and NDP frames: built for announcements and answers, read by the kernel program and the tests.
//!
//! All fields are big-endian byte arrays, as on the wire.

mod mac;

pub use mac::Mac;
