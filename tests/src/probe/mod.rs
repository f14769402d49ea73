//! The client that counts every packet, and what answers it.

mod client;
mod once;
mod packet;
mod report;
mod responder;
mod socket;

pub use client::Client;
pub use once::answerer_seen_from;
pub(crate) use packet::{PORT, question};
pub use report::{Answer, Gap, NodeRun, Probe, Probes, VipProbes};
pub(crate) use responder::{Responder, answer_here};
