//! The programs in the kernel, by `BPF_PROG_TEST_RUN`: nothing is attached to anything.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests share says what went wrong by failing where it stands"
)]

mod arriving;
mod frames;
mod lab;
mod leaving;
mod random;
mod twin;
mod twins;
