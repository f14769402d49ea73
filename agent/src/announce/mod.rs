//! What tells the neighbours of a link where a VIP is: gratuitous ARP and unsolicited neighbour advertisements.
//!
//! - [`Frames`] are built when the configuration is read, so that a failover has nothing left to do but send.
//! - [`Schedule`] says when: a burst, since a single announcement gets lost, then refreshes for as long as the VIP is
//!   held, since switches and neighbours forget. It is pure.
//! - [`Announcer`] sends on one link, by a socket that receives nothing and that the fence sees.
//! - [`Announcements`] drives all of them, and sends nothing past the right (I2).

mod announcements;
mod announcer;
mod frames;
mod schedule;

pub use announcements::{Announcements, Outlet, Round, StartError};
pub use announcer::{AnnounceError, Announcer, OpenError};
pub use frames::Frames;
pub use schedule::{Pace, PaceError, Schedule};
