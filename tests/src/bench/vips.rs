//! Many VIPs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::stage::VIP;

/// 256 VIPs on the public switch, half of them of each family: its IPv4 network has no room for more.
pub(super) fn many() -> Vec<IpAddr> {
    let v4 = (100..228).map(|number| IpAddr::V4(Ipv4Addr::new(10, 77, 0, number)));
    let v6 = (0..128).map(|number| IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, number)));
    v4.chain(v6).collect()
}

/// 1,024 VIPs, nearly all of them in a network of their own, of which nobody on the switch but the agents knows.
pub(super) fn very_many() -> Vec<IpAddr> {
    let elsewhere = (1..1024_u16).map(|number| {
        let [high, low] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 79, high, low))
    });
    std::iter::once(VIP).chain(elsewhere).collect()
}
