//! What the config says of addresses.

use std::collections::BTreeMap;

use super::rule::{Purpose, Rule};
use super::subnets::Subnets;

/// What the config wants of the node's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// What an etcd member is to tell others of itself.
    pub advertised: Option<Subnets>,
    /// Where an etcd member is to listen.
    pub listen: Option<Subnets>,
    /// What kubelet is to take for the node's addresses.
    pub kubelet: Option<Subnets>,
    /// The consumers that the config names.
    pub named: BTreeMap<String, Option<Subnets>>,
    /// What to run after a consumer's choice has changed, with its arguments.
    pub on_change: BTreeMap<String, Vec<String>>,
    /// Whether the etcd member speaks TLS.
    pub etcd_encrypted: bool,
}

impl Wishes {
    /// What is to be chosen, and how. Where etcd listens is not among it if nothing is said of it: everywhere, then.
    pub fn rules(&self) -> Vec<(Purpose, Rule)> {
        let all_or_first = |subnets: &Option<Subnets>| subnets.clone().map_or(Rule::First, Rule::All);
        let mut rules = vec![(Purpose::EtcdAdvertised, all_or_first(&self.advertised))];
        if let Some(listen) = self.listen.as_ref().or(self.advertised.as_ref()) {
            rules.push((Purpose::EtcdListen, Rule::All(listen.clone())));
        }
        rules.push((Purpose::Kubelet, Rule::OneOfEachFamily(self.kubelet.clone())));
        let named = self.named.iter();
        rules.extend(named.map(|(name, subnets)| (Purpose::Named(name.clone()), all_or_first(subnets))));
        rules
    }

    /// Whether the config says nothing of addresses.
    pub fn is_silent(&self) -> bool {
        *self == Self { etcd_encrypted: self.etcd_encrypted, ..Self::default() }
    }

    /// Whose addresses are chosen.
    pub fn consumers(&self) -> impl Iterator<Item = &str> {
        ["etcd", "kubelet"].into_iter().chain(self.named.keys().map(String::as_str))
    }
}
