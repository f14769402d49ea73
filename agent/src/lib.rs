//! Mantle keeps a shared IP address alive on a layer-2 network without a load balancer, BGP or DNS.
//!
//! Arrows between the rooms run one way: `command` → `agent` → {`etcd`, `link`, `dataplane`, `announce`,
//! `health`, `observe`} → the crate `mantle-protocol`, `wire`.

pub mod addresses;
pub mod agent;
pub mod announce;
pub mod clock;
pub mod command;
pub mod config;
pub mod dataplane;
pub mod etcd;
pub mod health;
pub mod link;
pub mod observe;

pub use mantle_ebpf::wire;
