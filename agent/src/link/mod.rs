//! The only room that speaks netlink: the node's links, their addresses, and the VIPs among them.
//!
//! [`Links`] puts VIPs in place and takes them off, and tells of every change to a link or an address, whoever
//! made it. [`Inventory`] is what is there now. [`lead_replies`] keeps the rules and routes by which replies leave.
//!
//! Requests are plain function calls, not futures: the kernel carries a netlink request out within the system call
//! that sends it, so there is nothing to wait for, and no operation can be cancelled half-way. The events are read
//! from a second socket, and so are the dumps: on one socket the two stand in the order in which they happened, so
//! a change during a dump can't be lost or undone by it. (`rtnetlink`'s own connections hand out dumps and events
//! through separate channels; here its packets and sockets are used below them.)

mod connections;
mod decode;
mod error;
mod inventory;
mod lifetime;
mod links;
mod replies;
mod request;
mod router;
mod socket;
mod watch;
mod xdp;

#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
pub(crate) mod namespace;

pub use connections::connections;
pub use error::{FindError, OpenError, PutError, RemoveError};
pub use inventory::{Address, Fitness, Inventory, Link, LinkEvent};
pub use lifetime::Lifetime;
pub use links::Links;
pub use replies::{ReplyError, ReplyLink, RouteChanges, lead_replies};
pub use router::forwards_ipv6;
pub use watch::machine_links;
pub use xdp::generic_xdp;
