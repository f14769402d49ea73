//! The TCP connections of this node's own addresses, as the kernel lists them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many connections each of these addresses has: those that still carry data or are being opened or closed. What
/// listens, and what only waits for stray segments, is none.
///
/// From the calling thread's network namespace. (No crate that is kept up speaks `sock_diag`; to read the list costs about
/// half a microsecond per connection of the node.)
pub fn connections(of: &[IpAddr]) -> io::Result<BTreeMap<IpAddr, usize>> {
    let mut counts: BTreeMap<IpAddr, usize> = of.iter().map(|ip| (*ip, 0)).collect();
    for list in ["tcp", "tcp6"] {
        let lines = match fs::read_to_string(format!("/proc/thread-self/net/{list}")) {
            Ok(lines) => lines,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && list == "tcp6" => continue,
            Err(error) => return Err(error),
        };
        for ip in lines.lines().skip(1).filter_map(connection) {
            counts.entry(ip).and_modify(|count| *count += 1);
        }
    }
    Ok(counts)
}

/// The local address of a line's connection; nothing of a socket that is none (`get_tcp4_sock`, `tcp_states.h`).
fn connection(line: &str) -> Option<IpAddr> {
    const TIME_WAIT: u8 = 6;
    const CLOSE: u8 = 7;
    const LISTEN: u8 = 10;
    let mut fields = line.split_ascii_whitespace();
    let (address, _port) = fields.nth(1)?.split_once(':')?;
    let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
    if matches!(state, TIME_WAIT | CLOSE | LISTEN) {
        return None;
    }
    // Each word as the machine reads the bytes of the wire.
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match address.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let octets = [word(0)?, word(8)?, word(16)?, word(24)?];
            let (octets, _) = octets.as_flattened().as_chunks::<16>();
            Some(Ipv6Addr::from(*octets.first()?).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_is_open_is_counted_and_what_listens_is_not() {
        for ip in ["127.0.0.37", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let count = || connections(&[ip]).unwrap()[&ip];
            let before = count();
            let listener = TcpListener::bind((ip, 0)).unwrap();
            assert_eq!(count(), before, "it only listens");
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            assert!(count() > before, "{ip}");
            drop((client, server));
        }
    }

    #[test]
    fn an_ipv4_address_of_an_ipv6_socket_is_the_same_address() {
        let line = "   1: 0000000000000000FFFF00002500007F:1F90 0000000000000000FFFF00000100007F:C350 01 00000000:00000000";
        let ip = "127.0.0.37".parse().unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(connection(line), Some(ip));
            assert_eq!(connection(&line.replace(" 01 ", " 06 ")), None, "it waits for stray segments");
            assert_eq!(connection(&line.replace(" 01 ", " 0A ")), None, "it listens");
        }
    }

    #[test]
    fn what_is_no_such_line_counts_for_nothing() {
        for line in ["", "  sl  local_address rem_address   st", "0: 1:2 3 01", "0: ZZZZZZZZ:1 00000000:0 01"]
        {
            assert_eq!(connection(line), None, "{line:?}");
        }
    }
}
