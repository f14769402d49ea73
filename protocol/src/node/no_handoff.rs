//! Why a VIP is not handed over.

use thiserror::Error;

use crate::NodeName;

/// Why a VIP is not handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum NoHandoff {
    /// The config knows no such VIP.
    #[error("this node's config has no such VIP")]
    UnknownVip,
    /// Somebody else is owner.
    #[error("{0} is owner: ask there")]
    OwnedBy(NodeName),
    /// Nobody is owner.
    #[error("nobody is owner")]
    Unowned,
    /// The one that was asked for is this node.
    #[error("this node is owner already")]
    OwnerAlready,
    /// It is being given up.
    #[error("it is being released")]
    Leaving,
    /// Nothing fences it here that could carry a handoff.
    #[error("the kernel program does not fence the VIP on this node, and only it can hand over")]
    NotFenced,
    /// No other node could follow.
    #[error("no other node is alive, ready for it and fenced by the kernel program")]
    NobodyReady,
    /// The one that was asked for has no session, or a silent one.
    #[error("{0} is not alive")]
    NotAlive(NodeName),
    /// The one that was asked for is not ready.
    #[error("{0} is not ready for it")]
    NotReady(NodeName),
    /// The one that was asked for cannot take part.
    #[error(
        "the kernel program does not fence the VIPs on {0}, and only it can take over what is handed over"
    )]
    NotAble(NodeName),
    /// Whoever was offered it did not follow in time.
    #[error("{0} did not prepare for it in time")]
    Unprepared(NodeName),
    /// It is wanted back: its health is good again, or it was told to move elsewhere.
    #[error("it is to stay after all")]
    Stays,
}
