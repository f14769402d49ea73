//! What is wanted of an address, and by whom.

use std::fmt;

use super::subnets::Subnets;

/// What a choice is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// What an etcd member tells others of itself.
    EtcdAdvertised,
    /// Where an etcd member listens.
    EtcdListen,
    /// What kubelet takes for the node's addresses.
    Kubelet,
    /// A consumer that the config names.
    Named(String),
}

impl Purpose {
    /// Whose it is: a name in the config, on the command line and of the environment file.
    pub fn consumer(&self) -> &str {
        match self {
            Self::EtcdAdvertised | Self::EtcdListen => "etcd",
            Self::Kubelet => "kubelet",
            Self::Named(name) => name,
        }
    }

    /// The purpose of that name, as [`Display`](fmt::Display) writes it.
    pub fn named(text: &str) -> Self {
        match text {
            "etcd-advertised" => Self::EtcdAdvertised,
            "etcd-listen" => Self::EtcdListen,
            "kubelet" => Self::Kubelet,
            other => Self::Named(other.to_owned()),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EtcdAdvertised => "etcd-advertised",
            Self::EtcdListen => "etcd-listen",
            Self::Kubelet => "kubelet",
            Self::Named(name) => name,
        })
    }
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Every address that the list lets in, in the list's order.
    All(Subnets),
    /// The one that is least likely to change: IPv4 before IPv6, the more specific prefix first, then the lower address.
    First,
    /// The first of each family, of those that the list lets in; without a list in the order of [`Rule::First`].
    OneOfEachFamily(Option<Subnets>),
}

impl Rule {
    /// The list it goes by.
    pub fn subnets(&self) -> Option<&Subnets> {
        match self {
            Self::All(subnets) => Some(subnets),
            Self::First => None,
            Self::OneOfEachFamily(subnets) => subnets.as_ref(),
        }
    }
}
