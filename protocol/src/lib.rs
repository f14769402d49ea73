//! The protocol: sessions, leases and records, as a state machine that takes `now` and events and gives effects.
//!
//! Nothing in here waits, sends or reads a clock. The same code runs in the agent, in the simulator and under the model
//! checker. docs/protocol.md describes it; [`Node`] is where to start reading.
//!
//! A driver feeds [`Event`]s to [`Node::handle_all`], carries out the [`Effect`]s, and calls again at
//! [`Node::deadline`]. The rest is what events, effects and etcd's keys are made of.

mod health;
mod key;
mod node;
mod orphaned_session;
mod role;
mod session;
mod time;
mod timing;
mod txn;
mod view;

pub use health::{Health, WhenNobodyIsReady};
pub use key::{BadNodeName, Epoch, ForeignKey, Key, NodeName, Revision};
pub use node::{
    Effect, Event, How, NoHandoff, Node, Notice, PeerStatus, Purpose, Request, Settings, Standing, VipStatus,
};
pub use orphaned_session::OrphanedSession;
pub use role::Role;
pub use session::{Handoffs, Holder, Offer, Preparation, Record, Session, Value};
pub use time::Instant;
pub use timing::{Timing, TimingError, least_silence, retry_for};
pub use txn::{Answer, Compare, Txn, Write};
pub use view::{Change, Entry, View};
