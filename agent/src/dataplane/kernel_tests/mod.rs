//! The programs in the kernel, on real links. They need root; without it they fail, unless `MANTLE_UNPRIVILEGED=1` asks for them
//! to be left out.

mod ground;
mod links;
mod lives;
mod raw;
mod serving;
mod xdp;
