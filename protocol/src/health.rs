//! What a node's own checks make of a VIP, and what that means for its owner.

/// How a node's own checks judge what stands behind a VIP on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Nothing speaks against wearing it: its checks succeed, or it has none.
    #[default]
    Good,
    /// No check has decided yet. Such a node takes up nothing; but an owner whose agent was restarted keeps what it has, or
    /// every restart would move the VIP.
    Unknown,
    /// A check fails.
    Failing,
}

/// What an owner does whose check fails while no other node is ready for the VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenNobodyIsReady {
    /// It stays owner until another node is ready.
    #[default]
    Hold,
    /// It gives the VIP up: nobody answers for it until some node is ready.
    Release,
}
