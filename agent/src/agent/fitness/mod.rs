//! Whether this machine and this etcd fit the timing: `mantle check --online`, and the same beside a running agent.
//!
//! [`judge`] is pure: what was found in, findings out. [`etcd::Survey`](crate::etcd::Survey) finds out about etcd,
//! [`Machine`] about this machine, [`watch`] goes on asking while the agent runs.

mod judgement;
mod machine;
mod versions;
mod watch;

pub use self::judgement::{Finding, Fitness, judge};
pub use self::machine::Machine;
pub(super) use self::watch::watch;
