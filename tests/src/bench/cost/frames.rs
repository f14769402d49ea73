//! The frames that the programs are given.

use mantle_ebpf::wire::{Arp, Mac, Operation};

pub(super) const OWN: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const ASKER: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
pub(super) const VIP4: [u8; 4] = [10, 0, 0, 15];
pub(super) const VIP6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16];

/// Asked for `VIP6` as Linux asks.
const SOLICITATION: [u8; 86] = *b"\x33\x33\xff\x00\x00\x16\x02\x00\x00\x00\x00\x0a\x86\xdd\
    \x60\x00\x00\x00\x00\x20\x3a\xff\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
    \xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\x00\x00\x16\x87\x00\x7d\x66\x00\x00\x00\x00\
    \xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x16\x01\x01\x02\x00\x00\x00\x00\x0a";

/// Neither IP nor ARP.
pub(super) fn other() -> Vec<u8> {
    ethernet([0x88, 0xcc], &[0; 80])
}

/// IPv4 of another address.
pub(super) fn other_v4() -> Vec<u8> {
    ipv4([10, 0, 0, 9], [10, 0, 200, 7])
}

/// IPv6 of another address.
pub(super) fn other_v6() -> Vec<u8> {
    ipv6(9, 7)
}

/// IPv4 to the VIP, and from it.
pub(super) fn vip_v4() -> Vec<u8> {
    ipv4(VIP4, VIP4)
}

/// IPv6 to the VIP, and from it.
pub(super) fn vip_v6() -> Vec<u8> {
    ipv6(0x16, 0x16)
}

/// An ARP request for the VIP, as long as what is put back.
pub(super) fn request() -> Vec<u8> {
    let request = Arp {
        destination: Mac::BROADCAST,
        source: ASKER,
        operation: Operation::Request,
        sender_mac: ASKER,
        sender_ip: [10, 0, 0, 9].into(),
        target_mac: Mac::ZERO,
        target_ip: VIP4.into(),
    };
    let mut padded = request.frame().to_vec();
    padded.resize(SOLICITATION.len(), 0);
    padded
}

/// A neighbour solicitation for the VIP.
pub(super) fn solicitation() -> Vec<u8> {
    SOLICITATION.to_vec()
}

fn ethernet(ethertype: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&OWN.0[..], &ASKER.0, &ethertype, payload].concat()
}

fn ipv4(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let header = [0x45, 0, 0, 100, 0, 0, 0, 0, 64, 17, 0, 0];
    ethernet([8, 0], &[&header[..], &from, &to, &[0; 80]].concat())
}

fn ipv6(from: u8, to: u8) -> Vec<u8> {
    let address = |last: u8| [&VIP6[..15], &[last]].concat();
    let header = [0x60, 0, 0, 0, 0, 80, 17, 64];
    ethernet([0x86, 0xdd], &[&header[..], &address(from), &address(to), &[0; 80]].concat())
}
