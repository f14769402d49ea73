//! The addresses of a node, as they are held against a rule.

use std::net::IpAddr;

use crate::link::{Fitness, Inventory};

/// An address of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
    /// The name of its link.
    pub link: String,
    /// Whether the link is up.
    pub up: bool,
    /// What the kernel thinks of it.
    pub fitness: Fitness,
    /// Whether Mantle put it there: a VIP, whatever the config says now.
    pub ours: bool,
}

/// The addresses of a node.
pub fn candidates(inventory: &Inventory) -> Vec<Candidate> {
    let of_link = |link: &crate::link::Link| {
        let (name, up) = (link.name.clone(), link.up);
        let candidate = move |address: &crate::link::Address| Candidate {
            ip: address.ip,
            prefix: address.prefix,
            link: name.clone(),
            up,
            fitness: address.fitness,
            ours: address.ours,
        };
        inventory.addresses(link.index).map(candidate).collect::<Vec<_>>()
    };
    inventory.links().flat_map(of_link).collect()
}
