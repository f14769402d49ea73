//! The two kinds of keys Mantle keeps in etcd, and the numbers etcd gives them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// A revision of etcd's store.
pub type Revision = i64;

/// The mod revision of a VIP's record: grows with each change of owner; a fencing token.
pub type Epoch = i64;

/// A node's name: what sessions are kept under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

/// Why a name cannot be a node's.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no node name: 1 to 253 letters, digits, '-', '_' or '.'")]
pub struct BadNodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(name: &str) -> Result<Self, BadNodeName> {
        let fits = (1..=253).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fits { Ok(Self(name.to_owned())) } else { Err(BadNodeName(name.to_owned())) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key of ours in etcd, without its prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `node/<name>`: a node's session.
    Node(NodeName),
    /// `vip/<ip>`: a VIP's record.
    Vip(IpAddr),
}

/// A key below our prefix that is not one of ours.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is neither node/<name> nor vip/<address>")]
pub struct ForeignKey(String);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Vip(ip) => write!(f, "vip/{ip}"),
        }
    }
}

impl FromStr for Key {
    type Err = ForeignKey;

    fn from_str(key: &str) -> Result<Self, ForeignKey> {
        let parsed = match key.split_once('/') {
            Some(("node", name)) => name.parse().ok().map(Self::Node),
            Some(("vip", ip)) => ip.parse().ok().map(Self::Vip),
            _ => None,
        };
        // One address has one spelling: `vip/::ffff` and `vip/0::ffff` must not be two records.
        parsed.filter(|parsed| parsed.to_string() == key).ok_or_else(|| ForeignKey(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_was_written() {
        for text in ["node/cp-1.example", "vip/192.168.0.15", "vip/fd00::15"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_ours_is_foreign() {
        for text in [
            "",
            "node/",
            "node/a/b",
            "node/a b",
            "vip/",
            "vip/1.2.3",
            "vip/0::1",
            "vip/FD00::1",
            "lock/a",
            "node",
        ] {
            assert_eq!(text.parse::<Key>(), Err(ForeignKey(text.to_owned())), "{text}");
        }
    }
}
