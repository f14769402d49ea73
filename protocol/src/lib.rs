//! The protocol: sessions, leases and records, as a state machine that takes `now` and events and gives effects.
//!
//! Nothing in here waits, sends or reads a clock. The same code runs in the agent, in the simulator and under
//! the model checker.

pub mod health;
pub mod key;
pub mod node;
pub mod orphaned_session;
pub mod role;
pub mod session;
pub mod time;
pub mod timing;
pub mod txn;
pub mod view;

pub use health::{Health, WhenNobodyIsReady};
pub use key::{Epoch, Key, NodeName, Revision};
pub use node::{Effect, Event, Node};
pub use orphaned_session::OrphanedSession;
pub use role::Role;
pub use session::{Handoffs, Holder, Offer, Preparation, Record, Session, Value};
pub use time::Instant;
pub use timing::Timing;
pub use txn::{Answer, Compare, Txn, Write};
pub use view::{Change, Entry, View};
