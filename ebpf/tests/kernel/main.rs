//! The programs in the kernel, by `BPF_PROG_TEST_RUN`: nothing is attached to anything.

mod arriving;
mod frames;
mod lab;
mod leaving;
mod random;
mod twin;
mod twins;
