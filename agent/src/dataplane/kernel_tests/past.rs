//! What gets past the programs of a link: where nobody is there to answer, a question that was not answered is seen here.

use std::net::IpAddr;
use std::time::Duration;

use pnet::datalink::{self, Channel, ChannelType, DataLinkReceiver, NetworkInterface};

use super::ground::{VIP4, VIP6};
use crate::link::Link;

const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// Sockets behind the programs.
pub(super) struct Past(Vec<Tap>);

struct Tap {
    receiver: Box<dyn DataLinkReceiver>,
    /// Of the payloads; none where there are whole frames.
    protocol: Option<u16>,
}

impl Past {
    /// Behind TC: where the kernel's own ARP and IPv6 would be.
    pub(super) fn tc(link: &Link) -> Self {
        Self([ARP, IPV6].map(|protocol| Tap::open(link, Some(protocol))).into())
    }

    /// Behind XDP: where a sniffer is, and TC after it.
    pub(super) fn xdp(link: &Link) -> Self {
        Self(vec![Tap::open(link, None)])
    }

    /// How many questions for the VIPs came so far.
    pub(super) fn questions(mut self) -> usize {
        self.0.iter_mut().map(Tap::questions).sum()
    }
}

impl Tap {
    fn open(link: &Link, protocol: Option<u16>) -> Self {
        let interface = NetworkInterface {
            name: link.name.clone(),
            description: String::new(),
            index: link.index,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        };
        let config = datalink::Config {
            channel_type: protocol.map_or(ChannelType::Layer2, ChannelType::Layer3),
            promiscuous: false,
            read_timeout: Some(Duration::from_millis(10)),
            ..datalink::Config::default()
        };
        let Ok(Channel::Ethernet(_, receiver)) = datalink::channel(&interface, config) else {
            panic!("no packet socket on {}", link.name);
        };
        Self { receiver, protocol }
    }

    fn questions(&mut self) -> usize {
        let mut questions = 0;
        while let Ok(frame) = self.receiver.next() {
            let is_one = match self.protocol {
                Some(protocol) => is_question(protocol, frame),
                None => is_question(u16::from_be_bytes([frame[12], frame[13]]), &frame[14..]),
            };
            questions += usize::from(is_one);
        }
        questions
    }
}

fn is_question(protocol: u16, payload: &[u8]) -> bool {
    let (IpAddr::V4(vip4), IpAddr::V6(vip6)) = (VIP4, VIP6) else { unreachable!("so they are") };
    match protocol {
        ARP => payload.get(6..8) == Some(&[0, 1]) && payload.get(24..28) == Some(&vip4.octets()),
        IPV6 => payload.get(40) == Some(&135) && payload.get(48..64) == Some(&vip6.octets()),
        _ => false,
    }
}
