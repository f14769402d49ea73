//! Which addresses can be a VIP.

use std::net::{IpAddr, Ipv4Addr};

use thiserror::Error;

use super::error::quoted;

/// Why a text cannot be a VIP.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum AddressError {
    #[error("{0} is no IP address; write one such as 192.168.0.15 or fd00::15")]
    NotAnAddress(String),
    #[error("{found} has a prefix length, a VIP has none; write {address}")]
    WithPrefix { found: String, address: IpAddr },
    #[error("{found} has a zone, the link is named by itself; write {address}")]
    WithZone { found: String, address: IpAddr },
    #[error("{0} is the unspecified address; write an address of the link's network")]
    Unspecified(IpAddr),
    #[error("{0} is a multicast address; write an address of the link's network")]
    Multicast(IpAddr),
    #[error("{0} is the broadcast address; write an address of the link's network")]
    Broadcast(IpAddr),
    #[error(
        "{0} is a loopback address, which no other machine can reach; write an address of the link's network"
    )]
    Loopback(IpAddr),
    #[error(
        "{0} is link-local: it means another machine on each link; write an address of the link's network"
    )]
    LinkLocal(IpAddr),
    #[error("{found} is IPv4 in an IPv6 dress; write {address}")]
    V4Mapped { found: IpAddr, address: Ipv4Addr },
}

/// Reads the address of a VIP.
///
/// Link-local IPv6 is refused like link-local IPv4: a record in etcd names a VIP by its address alone, so the same
/// `fe80::1` on two links would be one VIP; and a client would have to name the link too.
pub(super) fn vip_address(text: &str) -> Result<IpAddr, AddressError> {
    let ip: IpAddr = text.parse().map_err(|_| nearly(text))?;
    match ip {
        _ if ip.is_unspecified() => Err(AddressError::Unspecified(ip)),
        _ if ip.is_multicast() => Err(AddressError::Multicast(ip)),
        _ if ip.is_loopback() => Err(AddressError::Loopback(ip)),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Err(AddressError::Broadcast(ip)),
        IpAddr::V4(v4) if v4.is_link_local() => Err(AddressError::LinkLocal(ip)),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(AddressError::LinkLocal(ip)),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(address) => Err(AddressError::V4Mapped { found: ip, address }),
            None => Ok(ip),
        },
        IpAddr::V4(_) => Ok(ip),
    }
}

/// What is no address may be one with something after it.
fn nearly(text: &str) -> AddressError {
    let before = |mark| text.split_once(mark).and_then(|(address, _)| address.parse().ok());
    if let Some(address) = before('/') {
        AddressError::WithPrefix { found: quoted(text), address }
    } else if let Some(address) = before('%') {
        AddressError::WithZone { found: quoted(text), address }
    } else {
        AddressError::NotAnAddress(quoted(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_network_can_be_a_vip() {
        for (text, written) in [
            ("192.168.0.15", "192.168.0.15"),
            ("8.8.8.8", "8.8.8.8"),
            ("fd00::15", "fd00::15"),
            ("FD00:0::15", "fd00::15"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(vip_address(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_cannot_be_a_vip_says_what_to_write() {
        let network = "write an address of the link's network";
        for (text, error) in [
            ("", r#""" is no IP address; write one such as 192.168.0.15 or fd00::15"#.to_owned()),
            (
                "192.168.0.300",
                r#""192.168.0.300" is no IP address; write one such as 192.168.0.15 or fd00::15"#.to_owned(),
            ),
            (
                "192.168.0.015",
                r#""192.168.0.015" is no IP address; write one such as 192.168.0.15 or fd00::15"#.to_owned(),
            ),
            (
                "192.168.0.15/24",
                r#""192.168.0.15/24" has a prefix length, a VIP has none; write 192.168.0.15"#.to_owned(),
            ),
            ("fd00::1/128", r#""fd00::1/128" has a prefix length, a VIP has none; write fd00::1"#.to_owned()),
            (
                "fd00::1%eth0",
                r#""fd00::1%eth0" has a zone, the link is named by itself; write fd00::1"#.to_owned(),
            ),
            ("0.0.0.0", format!("0.0.0.0 is the unspecified address; {network}")),
            ("::", format!(":: is the unspecified address; {network}")),
            ("224.0.0.1", format!("224.0.0.1 is a multicast address; {network}")),
            ("ff02::1", format!("ff02::1 is a multicast address; {network}")),
            ("255.255.255.255", format!("255.255.255.255 is the broadcast address; {network}")),
            (
                "127.0.0.1",
                format!("127.0.0.1 is a loopback address, which no other machine can reach; {network}"),
            ),
            ("::1", format!("::1 is a loopback address, which no other machine can reach; {network}")),
            (
                "169.254.1.1",
                format!("169.254.1.1 is link-local: it means another machine on each link; {network}"),
            ),
            ("fe80::1", format!("fe80::1 is link-local: it means another machine on each link; {network}")),
            (
                "::ffff:192.168.0.15",
                "::ffff:192.168.0.15 is IPv4 in an IPv6 dress; write 192.168.0.15".to_owned(),
            ),
        ] {
            assert_eq!(vip_address(text).unwrap_err().to_string(), error, "{text}");
        }
    }
}
