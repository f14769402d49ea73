//! Endpoints of two different etcd clusters in one list would be two judges of who owns: kept apart here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The cluster ids of the endpoints that are connected.
///
/// Only *connected* endpoints count: when etcd is restored from a backup it gets a new id, and once the old members are gone
/// the new ones are taken without a restart of the agent.
#[derive(Debug, Default)]
pub(super) struct ClusterIds(Mutex<BTreeMap<usize, u64>>);

impl ClusterIds {
    /// Takes in a connection of endpoint `number` to the cluster `id`, unless another endpoint is connected to another
    /// cluster: then that one's id is the error.
    pub(super) fn join(&self, number: usize, id: u64) -> Result<(), u64> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stranger = ids.iter().find(|(other, known)| **other != number && **known != id);
        if let Some((_, known)) = stranger {
            return Err(*known);
        }
        ids.insert(number, id);
        Ok(())
    }

    /// Endpoint `number` is connected no more.
    pub(super) fn leave(&self, number: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_connected_at_one_time_are_of_one_cluster() {
        let ids = ClusterIds::default();
        assert_eq!(ids.join(0, 7), Ok(()));
        assert_eq!(ids.join(1, 7), Ok(()));
        assert_eq!(ids.join(2, 8), Err(7));
        // Restored from a backup, member by member.
        ids.leave(0);
        assert_eq!(ids.join(0, 8), Err(7));
        ids.leave(1);
        assert_eq!(ids.join(0, 8), Ok(()));
        assert_eq!(ids.join(0, 9), Ok(()), "an endpoint does not stand in its own way");
    }
}
