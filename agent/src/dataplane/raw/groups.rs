//! The solicited-node groups of a link's IPv6 VIPs.

use std::io;
use std::net::{IpAddr, UdpSocket};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::RawError;
use crate::link::Link;
use crate::wire::solicited_node;

/// The groups, joined for as long as this lives.
///
/// By an IPv6 socket and not by a packet socket's membership: only so the kernel also reports the group (MLD), without
/// which a switch that snoops would not send solicitations this way. The address itself, which is on another device,
/// joins nothing here.
pub(super) struct Groups {
    _socket: Option<UdpSocket>,
}

impl Groups {
    pub(super) fn join(link: &Link, vips: &[IpAddr]) -> Result<Self, RawError> {
        let mut joined: Option<UdpSocket> = None;
        for vip in vips {
            let IpAddr::V6(ip) = vip else { continue };
            let failed = |source| RawError::Group { vip: *vip, link: link.name.clone(), source };
            let socket = match joined.take() {
                Some(socket) => socket,
                None => unbound().map_err(failed)?,
            };
            match socket.join_multicast_v6(&solicited_node(*ip), link.index) {
                // Addresses that end alike share their group.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                other => other.map_err(failed)?,
            }
            joined = Some(socket);
        }
        Ok(Self { _socket: joined })
    }
}

/// A socket that nobody can reach, as it has no port: it is there for its memberships.
fn unbound() -> io::Result<UdpSocket> {
    let socket = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    Ok(socket.into())
}
