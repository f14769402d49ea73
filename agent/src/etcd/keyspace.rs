//! Our keys below our prefix, and what etcd says about them.

use etcd_client::KeyValue;

use super::codec;
use mantle_protocol::{Change, Entry, Key, Revision};

/// The keys below our prefix.
#[derive(Debug)]
pub(super) struct Keyspace {
    prefix: String,
}

/// A key below our prefix that is none of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// The whole key, made printable.
    pub(super) key: String,
    /// Its mod revision, or that of its deletion.
    pub(super) revision: Revision,
}

impl Keyspace {
    /// The keys below `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        // `/mantle/a` would also take in the keys of a cluster called `ab`.
        let slash = if prefix.ends_with('/') { "" } else { "/" };
        Self { prefix: format!("{prefix}{slash}") }
    }

    /// What every key of ours begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The end of the range of our keys: the first key behind all that begin with the prefix.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut end = self.prefix.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            // The last byte is the slash, so this does not overflow.
            *last += 1;
        }
        end
    }

    /// The key as etcd knows it.
    pub(super) fn full(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The key that etcd knows by `full`; nothing if it is none of ours.
    fn parse(&self, full: &[u8]) -> Option<Key> {
        std::str::from_utf8(full).ok()?.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// What `stored`, from a list, an answer or a watch event, says about its key.
    pub(super) fn change(&self, stored: &KeyValue) -> Result<Change, Foreign> {
        let revision = stored.mod_revision();
        let Some(key) = self.parse(stored.key()) else {
            return Err(Foreign { key: stored.key().escape_ascii().to_string(), revision });
        };
        // The event of a deletion carries the key and its revision, nothing else; a key that is there was created.
        let entry = (stored.create_revision() != 0).then(|| Entry {
            created: stored.create_revision(),
            modified: revision,
            value: codec::decode(&key, stored.value()),
        });
        Ok(Change { key, revision, entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_by_its_full_name_and_only_below_the_prefix() {
        let keys = Keyspace::new("/mantle/default/");
        let key: Key = "vip/fd00::15".parse().unwrap();
        assert_eq!(keys.full(&key), "/mantle/default/vip/fd00::15");
        assert_eq!(keys.parse(b"/mantle/default/vip/fd00::15"), Some(key));
        for foreign in
            [&b"/mantle/other/vip/fd00::15"[..], b"/mantle/default/lock", b"/mantle/default/vip/\xff"]
        {
            assert_eq!(keys.parse(foreign), None);
        }
    }

    #[test]
    fn a_prefix_without_its_slash_does_not_reach_into_another_cluster() {
        let keys = Keyspace::new("/mantle/a");
        assert_eq!((keys.prefix(), keys.end().as_slice()), ("/mantle/a/", &b"/mantle/a0"[..]));
    }
}
