//! The lab: hosts made of namespaces, switches between them, real etcd, a client that counts every packet, and a tap
//! from which the judge tells whether two nodes ever acted as owner at once.
//!
//! A scenario makes a [`Lab`], adds hosts and etcd to it, starts agents, breaks things, and asks for the verdict. Labs
//! share nothing, so scenarios run in parallel. The lab panics when it cannot do what it is asked: a scenario has
//! nobody else to hand an error to, and must never pass because something could not be tried.

pub mod asker;
pub mod bench;
pub mod clock;
pub mod demo;
pub mod echo;
pub mod etcd;
pub mod history;
pub mod host;
pub mod judge;
pub mod lab;
pub mod load;
pub mod machines;
pub mod probe;
pub mod process;
pub mod service;
pub mod stage;
pub mod switch;
pub mod systemd;
pub mod tap;
pub mod torment;

mod binaries;
mod counts;
mod foreign;
mod interrupt;
mod namespace;
mod netlink;
mod poll;

pub use asker::{Asked, Asker};
pub use etcd::{EtcdCluster, EtcdOptions, EtcdVersion};
pub use history::History;
pub use host::Host;
pub use lab::Lab;
pub use probe::Client;
pub use process::Process;
pub use service::{Manner, Service};
pub use systemd::Systemd;
