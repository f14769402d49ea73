//! What following our keys tells.

use std::time::Duration;

use thiserror::Error;

use super::failure::Failure;
use mantle_protocol::{Change, Revision};

/// How long the watch may take to show a write of ours that etcd has acknowledged.
pub(super) const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// News of our keys.
#[derive(Debug)]
pub enum StoreEvent {
    /// All keys there are, at this revision. What is not listed is not there.
    Listed {
        /// The revision.
        revision: Revision,
        /// The keys that are there.
        changes: Vec<Change>,
    },
    /// Keys that changed.
    Changes {
        /// The newest revision among the changes.
        revision: Revision,
        /// The changes, in order.
        changes: Vec<Change>,
    },
    /// A key below our prefix that is none of ours; told once per revision.
    Foreign {
        /// The whole key, made printable.
        key: String,
        /// Its mod revision.
        revision: Revision,
    },
    /// No news come in until the next `Listed`. Told with the first reason, and once more with the first that lasts until
    /// somebody mends it.
    Lost(Loss),
}

/// Why no news come in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Loss {
    /// No endpoint could be listed or watched.
    #[error("{0}")]
    Failed(Failure),
    /// There are no endpoints.
    #[error("no etcd endpoint is configured")]
    NoEndpoint,
    /// etcd ended the watch.
    #[error("etcd at {endpoint} ended the watch: {reason}. Listing anew")]
    Cancelled {
        /// The endpoint.
        endpoint: String,
        /// What etcd said.
        reason: String,
    },
    /// What the watch should have shown was compacted away.
    #[error("the watch at {endpoint} fell behind a compaction at revision {compacted}. Listing anew")]
    Compacted {
        /// The endpoint.
        endpoint: String,
        /// The oldest revision that is left.
        compacted: Revision,
    },
    /// The watch did not show a write that etcd had acknowledged.
    #[error(
        "the watch at {endpoint} did not show revision {revision} within {SHOWN_WITHIN:?}. Trying another endpoint"
    )]
    Silent {
        /// The endpoint.
        endpoint: String,
        /// The revision of our own write.
        revision: Revision,
    },
    /// Somebody asked for a new list.
    #[error("a new list was asked for")]
    Asked,
}

impl Loss {
    /// Whether it lasts until somebody mends it.
    pub(super) fn lasts(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.cause.lasts(),
            Self::NoEndpoint => true,
            Self::Cancelled { .. } | Self::Compacted { .. } | Self::Silent { .. } | Self::Asked => false,
        }
    }
}
