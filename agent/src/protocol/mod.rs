//! The protocol: sessions, rights and records, as a state machine that takes `now` and events and gives effects.
//!
//! Nothing in here waits, sends or reads a clock. The same code runs in the agent, in the simulator and under
//! the model checker.

pub mod estate;
pub mod health;
pub mod key;
pub mod node;
pub mod session;
pub mod stance;
pub mod time;
pub mod timing;
pub mod txn;
pub mod view;

pub use estate::Estate;
pub use health::{Health, WhenNobodyIsReady};
pub use key::{Epoch, Key, NodeName, Revision};
pub use node::{Effect, Event, Node};
pub use session::{Handoffs, Holder, Offer, Preparation, Record, Session, Value};
pub use stance::Stance;
pub use time::Instant;
pub use timing::Timing;
pub use txn::{Answer, Compare, Txn, Write};
pub use view::{Change, Entry, View};
