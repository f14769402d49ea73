//! The programs in the kernel, on real links. They need root; without it they fail, unless `MANTLE_UNPRIVILEGED=1` asks for them
//! to be left out.

mod capabilities;
mod floods;
mod foreign;
mod ground;
mod killed;
mod links;
mod lives;
mod looks;
mod past;
mod serving;
mod tap;
mod two_agents;
mod xdp;
