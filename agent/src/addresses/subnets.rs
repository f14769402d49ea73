//! Lists of subnets: which addresses they let in, and in which order.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The addresses it speaks of.
    pub net: IpNet,
    /// Whether it takes them away (`!`) from what the entries before it let in.
    pub taken_away: bool,
}

/// Why a text is no entry.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("neither a subnet nor an address")]
pub struct BadSubnet;

impl FromStr for Subnet {
    type Err = BadSubnet;

    /// `10.0.0.0/8`, `10.3.4.1` (that one address), or either after a `!`. Bits beyond the prefix say nothing.
    fn from_str(text: &str) -> Result<Self, BadSubnet> {
        let (taken_away, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let net = match rest.parse::<IpNet>() {
            Ok(net) => net.trunc(),
            Err(_) => rest.parse::<IpAddr>().map_err(|_| BadSubnet)?.into(),
        };
        Ok(Self { net, taken_away })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.taken_away { "!" } else { "" };
        write!(f, "{mark}{}", self.net)
    }
}

/// What a list says of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Let in by the entry of that number.
    In(usize),
    /// Let in, and taken away again by that entry.
    TakenAway(Subnet),
    /// No entry lets it in.
    Outside,
}

/// A list of subnets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnets(Vec<Subnet>);

impl Subnets {
    /// A list; none if there is nothing in it, which is to be no list at all.
    pub fn new(entries: Vec<Subnet>) -> Option<Self> {
        (!entries.is_empty()).then_some(Self(entries))
    }

    /// Reads the list from left to right for one address. What is let in twice belongs to the first of the entries; what is
    /// taken away can be let in again.
    pub fn place(&self, ip: IpAddr) -> Place {
        let mut place = Place::Outside;
        for (number, entry) in self.0.iter().enumerate().filter(|(_, entry)| entry.net.contains(&ip)) {
            place = match (place, entry.taken_away) {
                (Place::In(first), false) => Place::In(first),
                (Place::Outside | Place::TakenAway(_), false) => Place::In(number),
                (Place::In(_), true) => Place::TakenAway(*entry),
                (unchanged, true) => unchanged,
            };
        }
        place
    }

    /// Whether the list lets that address in.
    pub fn lets_in(&self, ip: IpAddr) -> bool {
        matches!(self.place(ip), Place::In(_))
    }

    /// Whether the list only takes away, and so lets nothing in, ever.
    pub fn only_takes_away(&self) -> bool {
        self.0.iter().all(|entry| entry.taken_away)
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Subnets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (n, entry) in self.0.iter().enumerate() {
            write!(f, "{}{entry}", if n > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}
