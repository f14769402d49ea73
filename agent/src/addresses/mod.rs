//! Which of a node's addresses etcd, kubelet and others are to use, and that it stays the same.
//!
//! A room of its own rather than a part of `link`: the choice is a pure function of what `link` tells, and the command
//! makes it without an agent. `choose` makes one choice, `keeper` keeps choices over time, `environment` writes them for
//! others; only `files` touches a disk. The agent's thread around it is `agent/addresses.rs`.

mod candidate;
mod choose;
mod environment;
mod explain;
mod files;
mod keeper;
mod rule;
mod subnets;
mod wishes;

pub use candidate::{Candidate, candidates};
pub use choose::{Choice, LeftOut, Reason, choose, unfit};
pub use environment::environment;
pub use explain::trouble;
pub use files::{FileError, Memory, environment_file, write_environments};
pub use keeper::{Choices, Keeper, Kept, Patience};
pub use rule::{Purpose, Rule};
pub use subnets::{BadSubnet, Place, Subnet, Subnets};
pub use wishes::Wishes;
