//! The only room that speaks etcd: transactions, the list and the watch of our keys, and who of the members to ask.
//!
//! Several endpoints in one `etcd_client::Client` do not fail over (with one of two refusing, a third of the calls
//! failed; with one silent, calls hang). So there is one client per endpoint, and the order in which they are asked
//! is our own:
//!
//! - [`settings`]: where etcd is and how to log in, as plain data;
//! - [`codec`], [`keyspace`]: bytes ↔ the protocol's values and keys;
//! - [`transaction`]: the protocol's transactions and answers ↔ etcd's;
//! - [`failure`], [`classify`]: what went wrong, whether it leaves a transaction's outcome open, what to do;
//! - [`backoff`], [`ranking`], [`hedge`]: pure; when to try a failed endpoint again, which one to ask first, when to ask
//!   a second one as well;
//! - [`source`]: which of the node's addresses connections are made from;
//! - [`cluster`]: keeps endpoints of two different etcd clusters apart;
//! - [`connect`], [`endpoint`]: one endpoint's connection: made, made anew, probed;
//! - [`handle`], [`commit`], [`renew`], [`list`], [`once`], [`begin`], [`watch`], [`news`]: what the agent asks for and is told;
//! - [`survey`]: what this etcd is like, over connections of its own.
//!
//! Connections live on the runtime that first needed them. Renewals must wait for nothing else, so an [`Etcd`] is to
//! be used from the renewals' runtime only.

mod backoff;
mod begin;
mod classify;
mod cluster;
mod codec;
mod commit;
mod connect;
mod endpoint;
mod failure;
mod handle;
mod hedge;
mod keyspace;
mod list;
mod news;
mod once;
mod ranking;
mod renew;
mod settings;
mod source;
mod survey;
#[cfg(test)]
mod testing;
mod transaction;
mod watch;

pub use codec::{decode, encode};
pub use commit::Committed;
pub use endpoint::EndpointStatus;
pub use failure::{Cause, Errand, Failure};
pub use handle::Etcd;
pub use news::{Loss, StoreEvent};
pub use renew::Renewal;
pub use settings::{Settings, Tls, User};
pub use source::{SourceBook, Sources};
pub use survey::{Commits, Member, Survey, Surveyor};
