//! Ethernet addresses.

use core::fmt;
use core::net::Ipv6Addr;

/// An Ethernet address; part of what the maps hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The address every host on the link takes in.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// No address: what stands where one is asked for.
    pub const ZERO: Self = Self([0; 6]);

    /// The address that frames to an IPv6 multicast group go to (RFC 2464 §7).
    #[inline(always)]
    pub const fn of_group(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    /// Whether the address names many stations, broadcast included: the group bit of IEEE 802.
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn is_written_as_everybody_writes_it() {
        assert_eq!(Mac([0x02, 0, 0x5e, 0x10, 0xab, 0xff]).to_string(), "02:00:5e:10:ab:ff");
    }

    #[test]
    fn a_group_is_told_from_a_station() {
        let all_nodes = Mac::of_group("ff02::1".parse().unwrap());
        assert_eq!(all_nodes.to_string(), "33:33:00:00:00:01");
        assert!(all_nodes.is_group() && Mac::BROADCAST.is_group());
        assert!(!Mac([0x02, 1, 1, 1, 1, 1]).is_group());
    }
}
