//! Two nodes that serve a VIP of each family, of which a scenario tells the kernel program itself how to stand to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use mantle::announce::Frames;
use mantle::config::Mode;
use mantle::dataplane::{Counter, Dataplane, Entry, LinkMode, State};
use mantle::link::machine_links;
use mantle::wire::Mac;
use mantle_protocol::Instant;
use mantle_tests::clock::now;
use mantle_tests::lab::PUBLIC_LINK;
use mantle_tests::tap::FrameKind;
use mantle_tests::{Host, Lab};

pub(crate) const VIPS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100)), IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100))];

/// Where the kernel program meets what arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hook {
    Tc,
    NativeXdp,
    /// On a bridge over the link, which has no XDP of its own.
    GenericXdp,
}

impl Hook {
    /// The link the VIPs are worn on.
    fn link(self) -> &'static str {
        match self {
            Self::Tc | Self::NativeXdp => PUBLIC_LINK,
            Self::GenericXdp => "bridge",
        }
    }
}

/// A node: a host, and the kernel program on its link.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) mac: Mac,
    pub(crate) link: &'static str,
    index: u32,
    dataplane: Option<Dataplane>,
}

impl Node {
    fn new(lab: &Lab, name: &str, hook: Hook) -> Self {
        let host = lab.host(name);
        let (link, mode, wanted) = match hook {
            Hook::Tc => (hook.link(), Mode::Tc, LinkMode::Tc),
            Hook::NativeXdp => {
                host.port(PUBLIC_LINK).carry_xdp();
                (hook.link(), Mode::Xdp, LinkMode::Xdp { native: true })
            }
            Hook::GenericXdp => {
                host.bridge_over(PUBLIC_LINK, hook.link());
                (hook.link(), Mode::Xdp, LinkMode::Xdp { native: false })
            }
        };
        let (dataplane, index, mac) = host.run(move || {
            let inventory = machine_links().unwrap();
            let link = inventory.find(link).unwrap();
            let mut dataplane = Dataplane::open("relay", mode).unwrap();
            assert_eq!(dataplane.attach(link).unwrap().mode, wanted);
            dataplane.right().grant(1, Instant::from_boot(Duration::from_secs(u64::from(u32::MAX))));
            (dataplane, link.index, link.mac.unwrap())
        });
        Self { host, mac, link, index, dataplane: Some(dataplane) }
    }

    /// Stands to both VIPs like that.
    pub(crate) fn stand(&mut self, state: State, peer: Option<Mac>) {
        let own = self.host.addresses(self.link).into_iter().map(|net| net.addr());
        let own: Vec<IpAddr> = own.filter(|ip| !VIPS.contains(ip)).collect();
        let dataplane = self.dataplane.as_mut().unwrap();
        for vip in VIPS {
            let asks_as = own.iter().copied().find(|ip| ip.is_ipv4() == vip.is_ipv4());
            assert!(asks_as.is_some(), "the host has an address of its own");
            let (link, mac) = (self.index, self.mac);
            let entry = Entry { link, mac, state, peer, router: false, session: 1, asks_as };
            dataplane.set(vip, &entry).unwrap();
        }
    }

    /// How it stands to the VIPs now.
    pub(crate) fn states(&self) -> [Option<State>; 2] {
        let entries = self.dataplane.as_ref().unwrap().entries();
        VIPS.map(|vip| entries[&vip].state)
    }

    /// What was counted for each of the VIPs.
    pub(crate) fn counted(&self, counter: Counter) -> [u64; 2] {
        VIPS.map(|vip| self.dataplane.as_ref().unwrap().counters(vip).unwrap().of(counter))
    }

    /// Tells everybody that it has the VIPs.
    pub(crate) fn announce(&self) {
        for vip in VIPS {
            Frames::new(vip, self.mac, false).iter().for_each(|frame| self.host.send_frame(self.link, frame));
        }
    }

    fn wear(&self) {
        for vip in VIPS {
            self.host.add_address(self.link, IpNet::from(vip));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let dataplane = self.dataplane.take();
        self.host.run(move || dataplane.map(|dataplane| dataplane.close().unwrap()));
    }
}

/// Both nodes: at first the one is owner, and the other prepared.
pub(crate) struct Pair {
    pub(crate) one: Node,
    pub(crate) other: Node,
    /// When the one began to yield, once it has.
    yielded: Option<Instant>,
    // Dropped last: the hosts are its own.
    pub(crate) lab: Lab,
}

impl Pair {
    pub(crate) fn new(name: &str, hook: Hook) -> Self {
        let lab = Lab::new(name);
        let [mut one, mut other] = ["one", "other"].map(|name| Node::new(&lab, name, hook));
        one.stand(State::Owner, None);
        other.stand(State::Prepared, Some(one.mac));
        one.wear();
        other.wear();
        one.announce();
        Self { one, other, yielded: None, lab }
    }

    /// The one yields to the other, which is prepared.
    pub(crate) fn give_way(&mut self) {
        self.yielded = Some(now());
        self.one.stand(State::Yielding, Some(self.other.mac));
    }

    /// The one yields to the other, which takes the VIPs up while the one serves what is open.
    pub(crate) fn hand_over(&mut self) {
        self.give_way();
        self.take_up();
    }

    /// The other, to which the one yields, takes the VIPs up.
    pub(crate) fn take_up(&mut self) {
        // From then on the other may say by itself that it has a VIP: when it asks for a client's MAC in the VIP's name.
        assert_eq!(self.one.states(), [Some(State::Yielding); 2]);
        self.other.stand(State::Owner, Some(self.one.mac));
        self.other.announce();
        // The frames are at the other end of their cables when the announcer has sent them, but for a link that is polled.
        mantle_tests::clock::wait_for("a node that forwards", Duration::from_secs(5), || {
            (self.one.states() == [Some(State::Forwarding); 2]).then_some(())
        });
    }

    /// From the moment it yields the one says of no VIP that it is at its own MAC, nor asks in a VIP's name.
    pub(crate) fn assert_one_owner_on_the_wire(&self) {
        let yielded = self.yielded.expect("the one has yielded");
        let frames = self.lab.tap().frames();
        let claims = frames.iter().filter(|frame| frame.claim.kind != FrameKind::Ip);
        let claims: Vec<_> = claims.filter(|frame| VIPS.contains(&frame.claim.vip)).collect();
        assert!(claims.iter().any(|frame| frame.at < yielded && frame.claim.mac == self.one.mac));
        assert!(claims.iter().any(|frame| frame.at > yielded && frame.claim.mac == self.other.mac));
        for frame in claims.into_iter().filter(|frame| frame.at > yielded) {
            assert_eq!(frame.claim.mac, self.other.mac, "{frame:?}");
        }
        assert_eq!(self.lab.tap().drops(), 0);
    }
}
