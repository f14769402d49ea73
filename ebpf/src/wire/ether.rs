//! Ethernet II headers, without a tag: the kernel keeps a VLAN's tag beside the frame.

use super::{Mac, field};

/// ARP, RFC 826.
pub(super) const ARP: [u8; 2] = [0x08, 0x06];
/// IPv4, RFC 894.
pub(super) const IPV4: [u8; 2] = [0x08, 0x00];
/// IPv6, RFC 2464 §3.
pub(super) const IPV6: [u8; 2] = [0x86, 0xdd];

/// What stands before every frame's payload.
#[derive(Clone, Copy)]
pub(super) struct Ether {
    pub(super) destination: Mac,
    pub(super) source: Mac,
    pub(super) ethertype: [u8; 2],
}

impl Ether {
    /// How long the header is.
    pub(super) const LEN: usize = 14;

    #[inline(always)]
    pub(super) fn read<const LEN: usize>(frame: &[u8; LEN]) -> Self {
        Self {
            destination: Mac(field::get::<0, 6, LEN>(frame)),
            source: Mac(field::get::<6, 6, LEN>(frame)),
            ethertype: field::get::<12, 2, LEN>(frame),
        }
    }

    #[inline(always)]
    pub(super) fn write<const LEN: usize>(self, frame: &mut [u8; LEN]) {
        field::put::<0, 6, LEN>(frame, self.destination.0);
        field::put::<6, 6, LEN>(frame, self.source.0);
        field::put::<12, 2, LEN>(frame, self.ethertype);
    }
}
