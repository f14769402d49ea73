//! What links and addresses there are: netlink's messages in, the differences out. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::Mac;

use super::error::FindError;

/// A link of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it; never used again for another link while the machine is up.
    pub index: u32,
    /// Its name; may change at any time.
    pub name: String,
    /// Its other names. The kernel tells of a change to them only while the link is up.
    pub altnames: Vec<String>,
    /// What the administrator calls it; need not be unique.
    pub alias: Option<String>,
    /// Its Ethernet address; none where it is no Ethernet-like link.
    pub mac: Option<Mac>,
    /// Switched on, and with a carrier.
    pub up: bool,
    /// The largest packet it takes.
    pub mtu: u32,
    /// The kind of a virtual link: `bridge`, `vlan`, `bond`, ...
    pub kind: Option<String>,
    /// The index of the link it lies on: a VLAN's parent.
    pub parent: Option<u32>,
}

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The address itself.
    pub ip: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
    /// The other end of a point-to-point address.
    pub peer: Option<IpAddr>,
    /// Whether Mantle put it there.
    pub ours: bool,
    /// What the kernel thinks of it. Of ours nothing is said here: every VIP is deprecated, so that it is no source address.
    pub fitness: Fitness,
}

/// Whether an address can be relied on; of several things that speak against it the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// Nothing speaks against it.
    #[default]
    Good,
    /// Not to be used for anything new.
    Deprecated,
    /// An IPv6 address for privacy, soon to be replaced by another.
    Temporary,
    /// Still being checked for duplicates.
    Tentative,
    /// Another machine was found to have it.
    DadFailed,
}

impl Address {
    /// Whether it is the same address to the kernel: it keeps one of each address, prefix and peer.
    fn is(&self, other: &Self) -> bool {
        (self.ip, self.prefix, self.peer) == (other.ip, other.prefix, other.peer)
    }
}

/// A change to the node's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A link is new, or something about it changed.
    Changed(Link),
    /// A link is gone, after its addresses.
    Gone(u32),
    /// An address came, went, or changed hands.
    Address {
        /// The link's index.
        index: u32,
        /// The address; whether it is, or was, ours.
        address: Address,
        /// Whether it is there now.
        present: bool,
    },
}

/// What one message of the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Link(Link),
    LinkGone(u32),
    Address(u32, Address),
    AddressGone(u32, Address),
}

/// The links of the node and their addresses.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    links: BTreeMap<u32, Link>,
    /// By link and address; nearly always one entry each.
    addresses: BTreeMap<(u32, IpAddr), Vec<Address>>,
    /// While a dump is under way: what it has not yet shown.
    unseen: Option<Unseen>,
}

#[derive(Clone, Debug, Default)]
struct Unseen {
    links: BTreeSet<u32>,
    addresses: BTreeSet<(u32, Address)>,
}

impl Inventory {
    /// The links, by index.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The link of that index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The link of that name, else of that altname, else of that alias.
    pub fn find(&self, name: &str) -> Result<&Link, FindError> {
        let named = self.links().find(|link| link.name == name);
        let known = || self.links().find(|link| link.altnames.iter().any(|altname| altname == name));
        if let Some(link) = named.or_else(known) {
            return Ok(link);
        }
        let mut aliased = self.links().filter(|link| link.alias.as_deref() == Some(name));
        match (aliased.next(), aliased.next()) {
            (Some(link), None) => Ok(link),
            (None, _) => Err(FindError::Missing { name: name.to_owned() }),
            (Some(one), Some(other)) => Err(FindError::Ambiguous {
                name: name.to_owned(),
                one: one.name.clone(),
                other: other.name.clone(),
            }),
        }
    }

    /// The addresses of a link.
    pub fn addresses(&self, index: u32) -> impl Iterator<Item = &Address> {
        let first = (index, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let last = (index, IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));
        self.addresses.range(first..=last).flat_map(|(_, addresses)| addresses)
    }

    /// The addresses that Mantle put there, with the index of the link.
    pub fn ours(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        let all =
            self.addresses.iter().flat_map(|((index, _), of)| of.iter().map(|address| (*index, address)));
        all.filter(|(_, address)| address.ours).map(|(index, address)| (index, address.ip))
    }

    /// Who has put that one address on that link, if it is there.
    pub(super) fn holding(&self, index: u32, ip: IpAddr) -> Holding {
        let there = self.addresses.get(&(index, ip)).map_or(&[][..], Vec::as_slice);
        match there {
            [] => Holding::Nobody,
            there if there.iter().any(|address| address.ours) => Holding::Us,
            [foreign, ..] => Holding::Somebody { prefix: foreign.prefix },
        }
    }

    /// Takes in what a message says; the differences it makes go into `events`.
    pub(super) fn apply(&mut self, fact: Fact, events: &mut VecDeque<LinkEvent>) {
        match fact {
            Fact::Link(link) => {
                if let Some(unseen) = &mut self.unseen {
                    unseen.links.remove(&link.index);
                }
                if self.links.get(&link.index) != Some(&link) {
                    self.links.insert(link.index, link.clone());
                    events.push_back(LinkEvent::Changed(link));
                }
            }
            Fact::LinkGone(index) => {
                let left: Vec<Address> = self.addresses(index).copied().collect();
                for address in left {
                    self.forget(index, &address, events);
                }
                if self.links.remove(&index).is_some() {
                    events.push_back(LinkEvent::Gone(index));
                }
            }
            Fact::Address(index, address) => {
                let there = self.addresses.entry((index, address.ip)).or_default();
                let known = there.iter_mut().find(|known| known.is(&address));
                let before = known.as_deref().copied();
                match known {
                    Some(known) => *known = address,
                    None => there.push(address),
                }
                if let (Some(unseen), Some(before)) = (&mut self.unseen, before) {
                    unseen.addresses.remove(&(index, before));
                }
                if before != Some(address) {
                    events.push_back(LinkEvent::Address { index, address, present: true });
                }
            }
            Fact::AddressGone(index, address) => self.forget(index, &address, events),
        }
    }

    fn forget(&mut self, index: u32, gone: &Address, events: &mut VecDeque<LinkEvent>) {
        let Some(there) = self.addresses.get_mut(&(index, gone.ip)) else { return };
        let Some(at) = there.iter().position(|known| known.is(gone)) else { return };
        // What is gone says less of whose it was than what was known: the kernel counts its lifetime down to nothing.
        let address = there.swap_remove(at);
        if there.is_empty() {
            self.addresses.remove(&(index, gone.ip));
        }
        events.push_back(LinkEvent::Address { index, address, present: false });
    }

    /// A dump begins (again): what it doesn't show by its end is gone.
    pub(super) fn begin_resync(&mut self) {
        let addresses =
            self.addresses.iter().flat_map(|((index, _), of)| of.iter().map(|address| (*index, *address)));
        self.unseen =
            Some(Unseen { links: self.links.keys().copied().collect(), addresses: addresses.collect() });
    }

    /// The dump has ended, whole.
    pub(super) fn finish_resync(&mut self, events: &mut VecDeque<LinkEvent>) {
        let unseen = mem::take(&mut self.unseen).unwrap_or_default();
        for (index, address) in unseen.addresses {
            self.forget(index, &address, events);
        }
        for index in unseen.links {
            self.apply(Fact::LinkGone(index), events);
        }
    }
}

/// Who has put an address on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// It isn't there.
    Nobody,
    /// Mantle; perhaps somebody else too, with another prefix.
    Us,
    /// Somebody else, with that prefix.
    Somebody { prefix: u8 },
}

#[cfg(test)]
mod tests;
