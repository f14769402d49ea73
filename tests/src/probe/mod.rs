//! The client that counts every packet, and what answers it.

mod client;
mod packet;
mod report;
mod responder;
mod socket;

pub use client::Client;
pub(crate) use packet::{PORT, question};
pub use report::{Answer, Gap, NodeRun, Probe, Probes, VipProbes};
pub(crate) use responder::Responder;
