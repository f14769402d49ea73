//! Which driver a link has.

use std::mem;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::link::Link;

/// Drivers that carry XDP natively and send what a program sends back, with no say in it of whoever is at the other
/// end. A link that isn't in doubt loses nothing by TC.
const NATIVE: [&str; 7] = ["bnxt_en", "i40e", "ice", "igb", "igc", "ixgbe", "mlx5_core"];

/// Whether answers from XDP are known to arrive on this link.
pub(super) fn carries_xdp(link: &Link) -> bool {
    link.kind.is_none() && driver(&link.name).is_some_and(|driver| NATIVE.contains(&driver.as_str()))
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

// `ETHTOOL_GDRVINFO` writes no more than that.
const _: () = assert!(size_of::<DriverInfo>() == 196);

const ETHTOOL_GDRVINFO: u32 = 3;

mod request {
    nix::ioctl_readwrite_bad!(ethtool, nix::libc::SIOCETHTOOL, nix::libc::ifreq);
}

/// The driver of the link of that name, as ethtool shows it; the link's own namespace answers, whatever is mounted at `/sys`.
fn driver(link: &str) -> Option<String> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    // SAFETY: integers and pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(link.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    let socket = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the request names the link and points to room for the answer, and both outlive the call.
    unsafe { request::ethtool(socket, &raw mut request) }.ok()?;
    let end = info.driver.iter().position(|byte| *byte == 0)?;
    String::from_utf8(info.driver[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::namespace::in_namespace;

    #[test]
    fn a_veth_is_no_link_for_xdp() {
        in_namespace(async |ground| {
            let index = ground.pair("one", "other").await;
            assert_eq!(driver("one").unwrap(), "veth");
            assert_eq!(driver("no-such-link"), None);
            let link = Link {
                index,
                name: "one".to_owned(),
                altnames: Vec::new(),
                alias: None,
                mac: None,
                up: true,
                mtu: 1500,
                kind: Some("veth".to_owned()),
                parent: None,
            };
            assert!(!carries_xdp(&link));
        });
    }
}
