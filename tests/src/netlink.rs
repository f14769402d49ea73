//! What the lab asks of rtnetlink, on the calling thread and so in that thread's network namespace.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{BridgeStpState, LinkAttribute, State};
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::RouteType;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
};

/// Has the namespace say nothing of its own in IPv6.
pub(crate) fn disable_ipv6() {
    for scope in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
        std::fs::write(&path, "1").unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    }
}

/// Makes a bridge that forwards from the first moment: no spanning tree, no delay, no snooping.
pub(crate) fn add_bridge(name: &str) {
    let bridge = LinkBridge::new(name)
        .stp_state(BridgeStpState::Disabled)
        .forward_delay(0)
        .mcast_snooping(false)
        .up()
        .build();
    ask(format_args!("add the bridge {name}"), async |netlink| netlink.link().add(bridge).execute().await);
}

/// Makes a pair of Ethernet devices; both ends are here and down.
pub(crate) fn add_veth(name: &str, peer: &str) {
    ask(format_args!("add the veth pair {name}, {peer}"), async |netlink| {
        netlink.link().add(LinkVeth::new(name, peer).build()).execute().await
    });
}

/// Moves a device into another network namespace under a new name.
pub(crate) fn move_link(name: &str, namespace: BorrowedFd<'_>, new_name: &str) {
    let message = LinkUnspec::new_with_name(name);
    let message = message.setns_by_fd(namespace.as_raw_fd()).index(index(name)).name(new_name).build();
    ask(format_args!("move {name} to another namespace"), async |netlink| {
        netlink.link().set(message).execute().await
    });
}

/// Gives a device a MAC and sets it up.
pub(crate) fn set_mac_and_up(name: &str, mac: [u8; 6]) {
    let message = LinkUnspec::new_with_index(index(name)).address(mac.to_vec()).up().build();
    ask(format_args!("set the MAC of {name}"), async |netlink| netlink.link().set(message).execute().await);
}

/// Makes a device a port of a bridge and sets it up.
pub(crate) fn join_bridge(name: &str, bridge: &str) {
    let message = LinkUnspec::new_with_index(index(name)).controller(index(bridge)).up().build();
    ask(format_args!("make {name} a port of {bridge}"), async |netlink| {
        netlink.link().set(message).execute().await
    });
}

/// Sets a device up or down.
pub(crate) fn set_up(name: &str, up: bool) {
    let message = LinkUnspec::new_with_index(index(name));
    let message = if up { message.up() } else { message.down() }.build();
    ask(format_args!("set {name} {}", if up { "up" } else { "down" }), async |netlink| {
        netlink.link().set(message).execute().await
    });
}

/// Whether a device carries what is sent by it, and takes in what is sent to these addresses of its own.
pub(crate) fn is_ready(name: &str, addresses: &[IpNet]) -> bool {
    carries(name) && addresses.iter().all(|net| takes_in(net.addr()))
}

/// Whether a device carries what is sent by it. The kernel comes round to a carrier only some time after a device and the other
/// end of its cable were set up, the later the more labs are made at once, and drops everything until then.
pub(crate) fn carries(name: &str) -> bool {
    let index = index(name);
    let link = ask(format_args!("look at {name}"), async |netlink| {
        netlink.link().get().match_index(index).execute().try_next().await
    });
    let attributes = link.map(|link| link.attributes).unwrap_or_default();
    attributes.contains(&LinkAttribute::OperState(State::Up))
        && !attributes.contains(&LinkAttribute::Qdisc("noop".to_owned()))
}

/// Whether the kernel takes in what is sent to an address: an IPv6 one not before it comes round to it, likewise.
fn takes_in(ip: IpAddr) -> bool {
    let host = RouteMessageBuilder::<IpAddr>::new().destination_prefix(ip, IpNet::from(ip).prefix_len());
    let host = host.unwrap_or_else(|error| panic!("{ip} is no destination: {error}")).build();
    let route = ask(format_args!("ask for the route to {ip}"), async |netlink| {
        // It refuses to tell where there is none.
        Ok(netlink.route().get(host).execute().try_next().await.ok().flatten())
    });
    route.is_some_and(|route| route.header.kind == RouteType::Local)
}

/// Gives a device another name. Down for the moment: older kernels rename no other.
pub(crate) fn rename(name: &str, new_name: &str) {
    let index = index(name);
    let steps = [
        LinkUnspec::new_with_index(index).down().build(),
        LinkUnspec::new_with_index(index).name(new_name.to_owned()).up().build(),
    ];
    ask(format_args!("rename {name} to {new_name}"), async |netlink| {
        for step in steps {
            netlink.link().set(step).execute().await?;
        }
        Ok(())
    });
}

/// Removes a device; the other end of its pair goes with it.
pub(crate) fn delete(name: &str) {
    let index = index(name);
    ask(format_args!("delete {name}"), async |netlink| netlink.link().del(index).execute().await);
}

/// Adds an address; an IPv6 one without duplicate address detection, so that it can be used at once.
pub(crate) fn add_address(link: &str, address: IpNet) {
    let index = index(link);
    ask(format_args!("add {address} to {link}"), async |netlink| {
        let mut request = netlink.address().add(index, address.addr(), address.prefix_len());
        if address.addr().is_ipv6() {
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request.execute().await
    });
}

/// Removes an address.
pub(crate) fn remove_address(link: &str, address: IpNet) {
    let index = index(link);
    let message = match address {
        IpNet::V4(net) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
    };
    ask(format_args!("remove {address} from {link}"), async |netlink| {
        netlink.address().del(message).execute().await
    });
}

/// Sends what is for a network out of a device, to a gateway there if one is named.
pub(crate) fn add_route(link: &str, destination: IpNet, gateway: Option<IpAddr>) {
    let index = index(link);
    let route = RouteMessageBuilder::<IpAddr>::new().output_interface(index);
    let route = route.destination_prefix(destination.network(), destination.prefix_len());
    let mut route = route.unwrap_or_else(|error| panic!("{destination} is no destination: {error}"));
    if let Some(gateway) = gateway {
        route = route.gateway(gateway).unwrap_or_else(|error| panic!("{gateway} is no gateway: {error}"));
    }
    ask(format_args!("add a route to {destination} by {link}"), async |netlink| {
        netlink.route().add(route.build()).execute().await
    });
}

/// Tells the kernel for good at which MAC a neighbour is, so that it never asks.
pub(crate) fn add_neighbour(link: &str, neighbour: IpAddr, mac: [u8; 6]) {
    let index = index(link);
    ask(format_args!("add {neighbour} to the neighbours on {link}"), async |netlink| {
        let request = netlink.neighbours().add(index, neighbour).link_layer_address(&mac);
        request.state(NeighbourState::Permanent).replace().execute().await
    });
}

/// Has the kernel forget every neighbour of a device that it learned of.
pub(crate) fn forget_neighbours(link: &str) {
    let index = index(link);
    ask(format_args!("forget the neighbours on {link}"), async |netlink| {
        let mut neighbours = netlink.neighbours().get().execute();
        while let Some(neighbour) = neighbours.try_next().await? {
            let header = &neighbour.header;
            if header.ifindex == index && header.state != NeighbourState::Permanent {
                // One that went by itself meanwhile is forgotten too.
                let _ = netlink.neighbours().del(neighbour).execute().await;
            }
        }
        Ok(())
    });
}

/// The addresses of a device.
pub(crate) fn addresses(link: &str) -> Vec<IpNet> {
    let net = |attribute: &AddressAttribute, prefix| match attribute {
        AddressAttribute::Address(ip) => IpNet::new(*ip, prefix).ok(),
        _ => None,
    };
    list(link)
        .iter()
        .filter_map(|message| {
            let prefix = message.header.prefix_len;
            message.attributes.iter().find_map(|attribute| net(attribute, prefix))
        })
        .collect()
}

/// For how many seconds a device keeps an address, while it has it.
pub(crate) fn lifetime_left(link: &str, ip: IpAddr) -> Option<u32> {
    list(link).iter().find_map(|message| {
        let left = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::CacheInfo(life) => Some(life.ifa_valid),
            _ => None,
        });
        left.filter(|_| message.attributes.contains(&AddressAttribute::Address(ip)))
    })
}

fn list(link: &str) -> Vec<AddressMessage> {
    let index = index(link);
    ask(format_args!("list the addresses of {link}"), async |netlink| {
        netlink.address().get().set_link_index_filter(index).execute().try_collect().await
    })
}

/// The number of a device.
pub(crate) fn index(name: &str) -> u32 {
    if_nametoindex(name).unwrap_or_else(|errno| panic!("there is no link {name} in this host: {errno}"))
}

fn ask<T>(what: impl Display, request: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("cannot start a runtime to {what}: {error}"));
    runtime.block_on(async {
        let (connection, handle, _) =
            new_connection().unwrap_or_else(|error| panic!("cannot open netlink to {what}: {error}"));
        let connection = tokio::spawn(connection);
        let result = request(handle).await;
        connection.abort();
        result.unwrap_or_else(|error| panic!("cannot {what}: the kernel answered {error}"))
    })
}
