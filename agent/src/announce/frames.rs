//! The frames that announce a VIP.

use std::net::IpAddr;

use crate::wire::{Advertisement, Arp, Mac};

/// The frames that announce one VIP at one MAC, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames(Family);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Family {
    /// Both forms: some devices believe only requests, some only replies.
    V4([[u8; Arp::LEN]; 2]),
    V6([u8; Advertisement::LEN]),
}

impl Frames {
    /// Builds the frames. `router` says whether the node forwards IPv6 on the link, which an advertisement must tell.
    pub fn new(vip: IpAddr, mac: Mac, router: bool) -> Self {
        Self(match vip {
            IpAddr::V4(ip) => {
                Family::V4([Arp::gratuitous_request(ip, mac).frame(), Arp::gratuitous_reply(ip, mac).frame()])
            }
            IpAddr::V6(ip) => Family::V6(Advertisement::unsolicited(ip, mac, router).frame()),
        })
    }

    /// The frames, in the order they are sent.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (arp, na) = match &self.0 {
            Family::V4(frames) => (frames.as_slice(), None),
            Family::V6(frame) => ([].as_slice(), Some(frame.as_slice())),
        };
        arp.iter().map(<[u8; Arp::LEN]>::as_slice).chain(na)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);

    #[test]
    fn a_v4_vip_is_announced_in_both_forms() {
        let vip = [192, 0, 2, 2].into();
        let frames = Frames::new(IpAddr::V4(vip), MAC, true);
        let sent: Vec<_> = frames.iter().collect();
        assert_eq!(
            sent,
            [&Arp::gratuitous_request(vip, MAC).frame()[..], &Arp::gratuitous_reply(vip, MAC).frame()]
        );
    }

    #[test]
    fn a_v6_vip_is_announced_with_the_router_flag_the_node_has() {
        let vip = "fd00::2".parse().unwrap();
        for router in [false, true] {
            let frames = Frames::new(IpAddr::V6(vip), MAC, router);
            let sent: Vec<_> = frames.iter().collect();
            assert_eq!(sent, [&Advertisement::unsolicited(vip, MAC, router).frame()[..]]);
        }
    }
}
