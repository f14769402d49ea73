//! A switch: a bridge in a namespace of its own, and the cables that end in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::Ebpf;
use ipnet::IpNet;
use mantle::wire::Mac;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::clock::{SOON, wait_for};
use crate::counts::dropped;
use crate::foreign::pass_by_xdp;
use crate::host::Host;
use crate::namespace::Namespace;
use crate::netlink;
use crate::poll::{Offload, poll_by_thread, set_offload};

const BRIDGE: &str = "switch";

/// A switch of the lab.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tells the switches of a lab apart in the MACs of the hosts.
    number: u8,
    ports: AtomicU8,
    namespace: Namespace,
    wiring: Mutex<Wiring>,
    /// What is attached to ports, for as long as the switch is there.
    programs: Mutex<Vec<Ebpf>>,
}

/// Who is connected where.
#[derive(Debug, Default)]
pub(crate) struct Wiring {
    /// The host at a port, by the port's interface index.
    pub(crate) hosts: BTreeMap<u32, Arc<str>>,
    /// The hosts' own addresses: never a VIP.
    pub(crate) own: BTreeSet<IpAddr>,
}

impl Switch {
    /// How many frames its ports have dropped by themselves.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.namespace.run(dropped)
    }

    /// Makes a switch without ports.
    pub(crate) fn new(name: &str, number: u8) -> Self {
        let namespace = Namespace::new(name, CloneFlags::CLONE_NEWNET);
        namespace.run(|| {
            // The switch itself has nothing to say on the wire.
            netlink::disable_ipv6();
            netlink::add_bridge(BRIDGE);
        });
        Self(Arc::new(Inner {
            number,
            ports: AtomicU8::default(),
            namespace,
            wiring: Mutex::default(),
            programs: Mutex::default(),
        }))
    }

    /// Connects a host: it gets the link, up, with these addresses.
    pub fn connect(&self, host: &Host, link: &str, addresses: &[IpNet]) -> Port {
        let port_number = self.0.ports.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("port{port_number}");
        let network = host.network();
        let network = File::open(&network).unwrap_or_else(|error| {
            panic!("cannot open the network namespace {}: {error}", network.display())
        });

        let (port, new_name) = (name.clone(), link.to_owned());
        let index = self.0.namespace.run(move || {
            netlink::add_veth(&port, "far");
            netlink::move_link("far", network.as_fd(), &new_name);
            netlink::join_bridge(&port, BRIDGE);
            netlink::index(&port)
        });
        let mac = [0x02, b'l', b'a', b'b', self.0.number, port_number];
        // The tap must know the port and the addresses before the host says its first word.
        {
            let mut wiring = self.wiring();
            wiring.hosts.insert(index, host.name().into());
            wiring.own.extend(addresses.iter().map(IpNet::addr));
        }
        let (own_link, own_addresses) = (link.to_owned(), addresses.to_vec());
        host.run(move || {
            netlink::set_mac_and_up(&own_link, mac);
            for address in own_addresses {
                netlink::add_address(&own_link, address);
            }
        });
        let port = Port { switch: self.clone(), name, link: link.to_owned(), mac: Mac(mac) };
        port.wait_ready(host, addresses);
        host.connected(port.clone(), addresses);
        port
    }

    /// Takes note of addresses that hosts use here beside those they were connected with: they are no VIPs either.
    pub fn admit(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.wiring().own.extend(addresses);
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    pub(crate) fn wiring(&self) -> MutexGuard<'_, Wiring> {
        self.0.wiring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The switch's end of a cable.
#[derive(Clone, Debug)]
pub struct Port {
    switch: Switch,
    name: String,
    link: String,
    mac: Mac,
}

impl Port {
    /// Pulls the cable or puts it back: the host sees its link lose or find the carrier.
    pub fn set_up(&self, up: bool) {
        let name = self.name.clone();
        self.switch.namespace().run(move || netlink::set_up(&name, up));
    }

    /// Waits until the cable carries frames both ways, and the host takes them in: an answer that is lost is asked for again
    /// only a second later.
    fn wait_ready(&self, host: &Host, addresses: &[IpNet]) {
        wait_for(format_args!("the cable of {}", host.name()), SOON, || {
            let (link, addresses) = (self.link.clone(), addresses.to_vec());
            let is_ready = move || netlink::is_ready(&link, &addresses);
            (self.run(netlink::carries) && host.run(is_ready)).then_some(())
        });
    }

    /// Has this end carry an XDP program that lets everything pass, as a network card's driver would be able to: without
    /// one a veth loses what its other end sends back from XDP.
    pub fn carry_xdp(&self) {
        let name = self.name.clone();
        let program = self.switch.namespace().run(move || pass_by_xdp(&name));
        self.switch.0.programs.lock().unwrap_or_else(PoisonError::into_inner).push(program);
    }

    /// Runs a closure where this end is, with its name.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce(&str) -> T + Send + 'static) -> T {
        let name = self.name.clone();
        self.switch.namespace().run(move || job(&name))
    }

    /// Has this end polled by a kernel thread of its own, as a station with a processor of its own would do it, and lets the
    /// host's end be polled too. Wants a program at XDP there.
    pub(crate) fn poll_by_thread(&self) {
        let name = self.name.clone();
        // A switch has no sysfs of its own, which shows the links of the namespace it was mounted in.
        let thread = self.switch.namespace().thread("sysfs", move || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
            set_offload(&name, Offload::Tso, false);
            poll_by_thread(&name);
            nix::Result::Ok(())
        });
        let done = thread.join().unwrap_or_else(|_| panic!("{} is not polled by a thread", self.name));
        done.unwrap_or_else(|errno| panic!("cannot mount a sysfs for {}: {errno}", self.name));
    }

    /// What the host calls its end.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// The MAC of the host's end.
    pub fn mac(&self) -> Mac {
        self.mac
    }
}
