//! What the kernel does for a node whatever its agent does: answer for what stands, while it may.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mantle_protocol::{Instant, Revision, Role};

/// What fences a node's VIPs beside its agent's own timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    /// The kernel program: an entry is answered for while its mark is the lease's and the lease lasts.
    Program,
    /// The address's own lifetime, in whole seconds and up to one more.
    Lifetime,
}

/// How the kernel program stands to a VIP whose address is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It answers with the node's own MAC.
    Owner,
    /// It drops all that is about the VIP.
    Prepared,
    /// It answers with the successor's MAC, and what arrives is served.
    Yielding,
    /// It is silent, and serves the connections that it still has.
    Forwarding,
}

impl State {
    /// The state that a role asks for; none where nothing is to stand.
    pub fn of(role: Role) -> Option<Self> {
        match role {
            Role::Off => None,
            Role::Prepared { .. } => Some(Self::Prepared),
            Role::Owner { .. } => Some(Self::Owner),
            Role::Yielding { .. } => Some(Self::Yielding),
            Role::Forwarding { .. } => Some(Self::Forwarding),
        }
    }
}

/// One VIP that stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// How the program stands to it.
    pub state: State,
    /// The session it was armed under.
    pub mark: Revision,
    /// When its address is gone by itself, where that is what fences it.
    pub expires: Option<Instant>,
}

/// One node's kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// What stands.
    pub entries: BTreeMap<IpAddr, Entry>,
    /// The session whose entries are alive.
    pub mark: Revision,
    /// Until when.
    pub until: Instant,
    /// Whether the program looks at the clock; it always does, but for one mutant.
    pub timeless: bool,
}

impl Kernel {
    /// How long after the kernel's check a frame may still reach the wire: what the rule for S leaves room for, less a
    /// little for what the clocks are rounded by.
    const TO_THE_WIRE: Duration = Duration::from_millis(20);

    /// Whether the node answers for a VIP with its own MAC, by its own clock.
    pub fn answers(&self, ip: IpAddr, now: Instant) -> bool {
        self.entries.get(&ip).is_some_and(|entry| entry.state == State::Owner && self.is_alive(entry, now))
    }

    /// Whether what comes for a VIP is served, here or where it is sent on to.
    pub fn serves(&self, ip: IpAddr, now: Instant) -> bool {
        self.entries.get(&ip).is_some_and(|entry| entry.state != State::Prepared && self.is_alive(entry, now))
    }

    fn is_alive(&self, entry: &Entry, now: Instant) -> bool {
        match entry.expires {
            Some(expires) => now < expires,
            None => entry.mark == self.mark && (self.timeless || now < self.until),
        }
    }

    /// Whether a neighbour may still hear it: like [`Self::answers`], with the frames under way.
    pub fn is_heard(&self, ip: IpAddr, now: Instant) -> bool {
        self.answers(ip, now - Self::TO_THE_WIRE.min(now.since_boot()))
    }

    /// Whether anything of the VIP stands, answered for or not.
    pub fn stands(&self, ip: IpAddr, now: Instant) -> bool {
        self.entries.get(&ip).is_some_and(|entry| entry.expires.is_none_or(|expires| now < expires))
    }

    /// Whether the program was left halfway in a handoff.
    pub fn is_halfway(&self, ip: IpAddr) -> bool {
        self.entries.get(&ip).is_some_and(|entry| entry.state != State::Owner)
    }

    /// Whose entries are alive, and until when.
    pub fn grant(&mut self, session: Revision, until: Instant) {
        self.mark = session;
        self.until = until;
    }
}
