//! Against the kernel itself, each test in a network namespace of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressProtocol};
use tokio::time::timeout;

use super::namespace::{Ground, in_namespace};
use super::*;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 9));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 9));

fn seconds(seconds: u64) -> Lifetime {
    Lifetime::covering(Duration::from_secs(seconds))
}

/// Reads events up to the first that is looked for.
async fn until<T>(links: &mut Links, mut looked_for: impl FnMut(&LinkEvent) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = looked_for(&links.next().await) {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(5), search).await.expect("the event comes")
}

/// Reads events until the VIP is gone, and says how long that took.
async fn until_gone(links: &mut Links, vip: IpAddr) -> Duration {
    let start = Instant::now();
    until(links, |event| match event {
        LinkEvent::Address { address, present: false, .. } if address.ip == vip => Some(address.ours),
        _ => None,
    })
    .await
    .then(|| start.elapsed())
    .expect("it was ours")
}

/// Reads all the events there are.
async fn drain(links: &mut Links) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    while let Ok(event) = timeout(Duration::from_millis(20), links.next()).await {
        events.push(event);
    }
    events
}

fn attribute<T>(
    message: &rtnetlink::packet_route::address::AddressMessage,
    wanted: impl Fn(&AddressAttribute) -> Option<T>,
) -> Option<T> {
    message.attributes.iter().find_map(wanted)
}

#[test]
fn a_vip_is_put_refreshed_and_taken_off() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        for (vip, prefix) in [(V4, 32), (V6, 128)] {
            links.put(index, vip, seconds(3)).unwrap();
            let message = ground.address(index, vip).await.expect("it is there");
            assert_eq!(message.header.prefix_len, prefix);
            let protocol = attribute(&message, |a| match a {
                AddressAttribute::Protocol(protocol) => Some(*protocol),
                _ => None,
            });
            assert_eq!(protocol, Some(AddressProtocol::Other(77)));
            let life = attribute(&message, |a| match a {
                AddressAttribute::CacheInfo(life) => Some((life.ifa_valid, life.ifa_preferred)),
                _ => None,
            });
            assert_eq!(life, Some((3, 0)));
            let broadcast =
                attribute(&message, |a| matches!(a, AddressAttribute::Broadcast(_)).then_some(()));
            assert_eq!(broadcast, None);
            assert_eq!(links.leftovers().unwrap(), [(index, vip)]);
            drain(&mut links).await;

            links.put(index, vip, seconds(8)).unwrap();
            let message = ground.address(index, vip).await.expect("it is there");
            let valid = attribute(&message, |a| match a {
                AddressAttribute::CacheInfo(life) => Some(life.ifa_valid),
                _ => None,
            });
            assert_eq!(valid, Some(8));
            assert_eq!(drain(&mut links).await, [], "a refresh is no news");

            links.remove(index, vip).unwrap();
            assert_eq!(ground.address(index, vip).await, None);
            links.remove(index, vip).expect("taken off already");
            until_gone(&mut links, vip).await;
            assert_eq!(links.leftovers().unwrap(), []);
        }
    });
}

#[test]
fn a_v4_vip_is_not_the_source_of_the_nodes_own_traffic() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        // The VIP is there first, and nothing else about the node's own address fits better.
        links.put(index, V4, seconds(9)).unwrap();
        ground.add_address(index, "10.8.0.1", 24).await;
        ground.add_default_route(index).await;
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("192.0.2.1:9").expect("a route is chosen, nothing is sent");
        assert_eq!(socket.local_addr().unwrap().ip(), Ipv4Addr::new(10, 8, 0, 1));
        // But whoever serves it may bind to it.
        UdpSocket::bind((V4, 0)).unwrap();
    });
}

#[test]
fn an_ipv6_vip_is_not_checked_for_duplicates_nor_preferred() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        links.put(index, V6, seconds(3)).unwrap();
        let v6 = ground.address(index, V6).await.unwrap();
        let flags = attribute(&v6, |a| match a {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
        let flags = flags.unwrap();
        assert!(flags.contains(AddressFlags::Nodad | AddressFlags::Noprefixroute | AddressFlags::Deprecated));
        assert!(!flags.contains(AddressFlags::Tentative));
    });
}

#[test]
fn a_vip_that_was_just_put_can_be_taken_off() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        // The kernel tells of an IPv6 address some time after it has it: now and then after it is to go again.
        for _ in 0..200 {
            for vip in [V4, V6] {
                links.put(index, vip, seconds(9)).unwrap();
                links.remove(index, vip).unwrap();
            }
            assert_eq!(machine_links().unwrap().ours().collect::<Vec<_>>(), []);
        }
    });
}

#[test]
fn a_vip_that_is_not_refreshed_ends_by_itself() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        for vip in [V4, V6] {
            let lifetime = seconds(1);
            links.put(index, vip, lifetime).unwrap();
            let took = until_gone(&mut links, vip).await;
            println!("{vip} ended after {took:?}");
            // The scheduler of a busy test machine is given its share on top.
            assert!(
                took > Duration::from_millis(900) && took < lifetime.worst() + Duration::from_millis(500)
            );
            assert_eq!(ground.address(index, vip).await, None);
        }
    });
}

#[test]
fn a_foreign_address_is_neither_taken_over_nor_taken_off() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        for (vip, prefix) in [("10.1.0.1", 32), ("10.1.0.2", 24), ("fd01::1", 128), ("fd01::2", 64)] {
            ground.add_address(index, vip, prefix).await;
            let vip: IpAddr = vip.parse().unwrap();
            let before = ground.address(index, vip).await.unwrap();
            let put = links.put(index, vip, seconds(3)).unwrap_err();
            assert!(matches!(put, PutError::NotOurs { prefix: found, .. } if found == prefix), "{put}");
            let removed = links.remove(index, vip).unwrap_err();
            assert!(
                matches!(removed, RemoveError::NotOurs { prefix: found, .. } if found == prefix),
                "{removed}"
            );
            assert_eq!(ground.address(index, vip).await.unwrap().header, before.header);
        }
        assert_eq!(links.leftovers().unwrap(), []);
    });
}

#[test]
fn a_vip_removed_by_somebody_else_is_told_at_once() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        for vip in [V4, V6] {
            links.put(index, vip, seconds(9)).unwrap();
            ground.delete_address(index, vip).await;
            let took = until_gone(&mut links, vip).await;
            assert!(took < Duration::from_millis(500), "{took:?}");
            links.put(index, vip, seconds(9)).expect("it can be put again");
        }
    });
}

#[test]
fn what_an_earlier_agent_left_is_recognised_with_and_without_its_number() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut earlier = Links::open().unwrap();
        earlier.put(index, V4, seconds(9)).unwrap();
        drop(earlier);
        // As a kernel before 5.18 shows it: without IFA_PROTO.
        let unmarked: IpAddr = "10.9.0.10".parse().unwrap();
        let mut request = ground.handle.address().add(index, unmarked, 32);
        let mut life = rtnetlink::packet_route::address::CacheInfo::default();
        life.ifa_valid = 9;
        request.message_mut().attributes.push(AddressAttribute::CacheInfo(life));
        request.execute().await.unwrap();

        let mut links = Links::open().unwrap();
        assert_eq!(links.leftovers().unwrap(), [(index, V4), (index, unmarked)]);
        for result in links.remove_all(&[(index, V4), (index, unmarked)]) {
            result.unwrap();
        }
        assert_eq!(ground.address(index, V4).await, None);
        assert_eq!(ground.address(index, unmarked).await, None);
    });
}

#[test]
fn a_link_is_found_by_every_name_it_has_and_after_it_got_another() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        let first = drain(&mut links).await;
        let told = |event: &LinkEvent| matches!(event, LinkEvent::Changed(link) if link.name == "v0");
        assert!(first.iter().any(told), "what is there is told at first: {first:?}");
        ground.add_altname(index, "a-name-too-long-for-ifname").await;
        ground.set_alias(index, "the uplink").await;
        drain(&mut links).await;
        for name in ["v0", "a-name-too-long-for-ifname", "the uplink"] {
            assert_eq!(links.inventory().find(name).unwrap().index, index, "{name}");
        }
        ground.change(LinkUnspec::new_with_index(index).name("eth7").build()).await;
        let renamed = |event: &LinkEvent| {
            matches!(event, LinkEvent::Changed(link) if link.name == "eth7").then_some(())
        };
        until(&mut links, renamed).await;
        assert_eq!(links.inventory().find("eth7").unwrap().index, index);
        assert!(links.inventory().find("v0").is_err());
        let link = links.inventory().link(index).unwrap();
        assert_eq!(link.kind.as_deref(), Some("veth"));
        assert!(link.mac.is_some() && link.mtu == 1500);
    });
}

#[test]
fn a_link_is_told_as_down_when_it_or_its_other_end_is() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        drain(&mut links).await;
        assert!(links.inventory().link(index).unwrap().up);
        for name in ["v0", "v1"] {
            for up in [false, true] {
                let change = LinkUnspec::new_with_name(name);
                ground.change(if up { change.up().build() } else { change.down().build() }).await;
                let turned = |event: &LinkEvent| {
                    matches!(event, LinkEvent::Changed(link) if link.index == index && link.up == up)
                        .then_some(())
                };
                until(&mut links, turned).await;
            }
        }
    });
}

#[test]
fn a_deleted_link_takes_its_vips_and_refuses_new_ones() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        links.put(index, V4, seconds(9)).unwrap();
        ground.handle.link().del(index).execute().await.unwrap();
        until_gone(&mut links, V4).await;
        until(&mut links, |event| (*event == LinkEvent::Gone(index)).then_some(())).await;
        let error = links.put(index, V4, seconds(9)).unwrap_err();
        assert!(matches!(error, PutError::NoLink { .. }), "{error}");
        links.remove(index, V4).expect("it is not there");
    });
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_gone() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let bridge = ground.bridge("br0").await;
        ground.change(LinkUnspec::new_with_index(index).controller(bridge).build()).await;
        let mut links = Links::open().unwrap();
        drain(&mut links).await;
        ground.change(LinkUnspec::new_with_index(index).nocontroller().build()).await;
        let events = drain(&mut links).await;
        assert!(!events.contains(&LinkEvent::Gone(index)), "{events:?}");
        assert!(links.inventory().link(index).is_some());
    });
}

#[test]
fn ipv6_switched_off_is_named_as_the_cause() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        fs::write("/proc/sys/net/ipv6/conf/v0/disable_ipv6", "1").unwrap();
        let error = links.put(index, V6, seconds(3)).unwrap_err();
        assert!(error.to_string().contains("net.ipv6.conf.v0.disable_ipv6=0"), "{error}");
        links.put(index, V4, seconds(3)).expect("IPv4 is not touched by it");

        ground.change(LinkUnspec::new_with_name("v1").mtu(1000).build()).await;
        let error = links.put(ground.index("v1").await, V6, seconds(3)).unwrap_err();
        assert!(error.to_string().contains("MTU"), "{error}");
    });
}

#[test]
fn a_node_that_forwards_is_a_router() {
    in_namespace(async |ground: Ground| {
        ground.pair("v0", "v1").await;
        assert!(!forwards_ipv6("v0"));
        fs::write("/proc/sys/net/ipv6/conf/v0/forwarding", "1").unwrap();
        assert!(forwards_ipv6("v0"));
        assert!(!forwards_ipv6("v1"));
    });
}

#[test]
fn a_flood_of_changes_that_nobody_read_ends_in_the_truth() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut idle = Links::open().unwrap();
        drain(&mut idle).await;
        let vips: Vec<_> = many_v4(index, 2000).collect();
        let mut busy = Links::open().unwrap();
        // Far more than the queue of a socket that nobody reads holds.
        for _ in 0..10 {
            busy.put_all(&vips, seconds(9)).into_iter().for_each(Result::unwrap);
            busy.remove_all(&vips[1..]).into_iter().for_each(Result::unwrap);
        }
        assert_eq!(idle.leftovers().unwrap(), vips[..1]);
        let told = drain(&mut idle).await;
        let made = 2 * 10 * vips.len();
        assert!(told.len() < made / 2, "{} events told of {made}: nothing was lost", told.len());
        // What is told adds up to what is there.
        let turns = |now: bool| {
            let turn = |event: &&LinkEvent| match event {
                LinkEvent::Address { address, present, .. } => address.ours && *present == now,
                _ => false,
            };
            told.iter().filter(turn).count()
        };
        assert_eq!(turns(true), turns(false) + 1);
    });
}

#[test]
fn many_vips_at_once_and_what_they_cost() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        let v4: Vec<_> = many_v4(index, 1024).collect();
        // Fewer: with each IPv6 address the kernel keeps a multicast group, and looks through them all.
        let v6: Vec<_> = many_v6(index, 256).collect();
        for vips in [&v4, &v6] {
            let put = timed(|| links.put_all(vips, seconds(9)).into_iter().for_each(Result::unwrap));
            let refreshed = timed(|| links.put_all(vips, seconds(9)).into_iter().for_each(Result::unwrap));
            assert_eq!(links.leftovers().unwrap().len(), vips.len());
            let removed = timed(|| links.remove_all(vips).into_iter().for_each(Result::unwrap));
            assert_eq!(links.leftovers().unwrap(), []);
            println!(
                "{} VIPs put in {put:?}, refreshed in {refreshed:?}, removed in {removed:?}",
                vips.len()
            );
        }
        links.put(index, V4, seconds(9)).unwrap();
        let refreshed = timed(|| (0..100).for_each(|_| links.put(index, V4, seconds(9)).unwrap()));
        println!("one VIP refreshed in {:?}", refreshed / 100);
    });
}

/// A kernel acknowledges IPv6 addresses before it takes in what is sent to them: here for some of them it is late, and says so.
#[test]
fn what_is_sent_to_a_vip_is_said_to_be_taken_in_once_it_is() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        ground.change(LinkUnspec::new_with_name("lo").up().build()).await;
        let mut links = Links::open().unwrap();
        let v6: Vec<_> = many_v6(index, 256).collect();
        assert!(!links.takes_in(V4).unwrap() && !links.takes_in(V6).unwrap(), "not put yet");
        links.put(index, V4, seconds(9)).unwrap();
        assert!(links.takes_in(V4).unwrap(), "an IPv4 one is at once");
        let begun = Instant::now();
        let mut late = 0;
        for (index, ip) in &v6 {
            links.put(*index, *ip, seconds(9)).unwrap();
            while !links.takes_in(*ip).unwrap() {
                late += 1;
                assert!(begun.elapsed() < Duration::from_secs(5), "{ip} is not taken in");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The kernel's word is good: it sends to it by the loopback device.
            let socket = UdpSocket::bind((*ip, 0)).unwrap();
            socket.send_to(b"here", socket.local_addr().unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 4);
        }
        println!("asked {late} times too early");
        links.remove_all(&v6).into_iter().for_each(Result::unwrap);
        assert!(!links.takes_in(v6[0].1).unwrap());
    });
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn many_v4(index: u32, count: u16) -> impl Iterator<Item = (u32, IpAddr)> {
    (0..count).map(u16::to_be_bytes).map(move |[high, low]| (index, Ipv4Addr::new(10, 9, high, low).into()))
}

fn many_v6(index: u32, count: u16) -> impl Iterator<Item = (u32, IpAddr)> {
    (1..=count).map(move |n| (index, Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, n).into()))
}

#[test]
fn what_the_kernel_thinks_of_an_address_is_told_when_it_changes() {
    in_namespace(async |ground: Ground| {
        let index = ground.pair("v0", "v1").await;
        let mut links = Links::open().unwrap();
        ground.add_address(index, "fd09::5", 64).await;
        let ip: IpAddr = "fd09::5".parse().unwrap();
        let mut thought = Vec::new();
        until(&mut links, |event| match event {
            LinkEvent::Address { address, present: true, .. } if address.ip == ip => {
                thought.push(address.fitness);
                (address.fitness == Fitness::Good).then_some(())
            }
            _ => None,
        })
        .await;
        assert_eq!(thought, [Fitness::Tentative, Fitness::Good], "checked for duplicates first");
        // Every VIP is deprecated, so that it is no source: that says nothing.
        links.put(index, V6, seconds(3)).unwrap();
        let known = links.inventory().addresses(index).find(|address| address.ip == V6).copied();
        assert_eq!(known.map(|vip| (vip.ours, vip.fitness)), Some((true, Fitness::Good)));
    });
}
