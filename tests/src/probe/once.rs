//! One probe from wherever one likes, by the neighbours that are known there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use super::packet::{LONGEST, PORT, question, read_answer};
use crate::host::Host;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(200);

/// Who answers for an address when a host asks there by its own kernel's neighbour table; nobody if none comes, or the host
/// does not find the way.
pub fn answerer_seen_from(host: &Host, ip: IpAddr) -> Option<String> {
    host.run(move || {
        let any: IpAddr =
            if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))
            .and_then(|socket| socket.set_read_timeout(Some(PATIENCE)).map(|()| socket))
            .unwrap_or_else(|error| panic!("cannot make a socket to ask {ip} by: {error}"));
        // Connected: only the address itself may answer.
        socket.connect((ip, PORT)).ok()?;
        socket.send(&question()).ok()?;
        let mut buffer = [0; LONGEST];
        let length = socket.recv(&mut buffer).ok()?;
        read_answer(&buffer[..length]).map(|(_, node)| node.to_owned())
    })
}
