//! Many VIPs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// 256 VIPs on the public switch, half of them of each family: its IPv4 network has no room for more.
pub(super) fn many() -> Vec<IpAddr> {
    let v4 = (100..228).map(|number| IpAddr::V4(Ipv4Addr::new(10, 77, 0, number)));
    let v6 = (0..128).map(|number| IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, number)));
    v4.chain(v6).collect()
}
