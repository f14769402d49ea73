//! In a network namespace of the test's own, which vanishes with its thread.

use std::fs;
use std::net::IpAddr;
use std::thread;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use pnet::datalink::DataLinkReceiver;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::*;
use crate::wire::Mac;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);

/// Runs the test in a new namespace with the link `near`, joined to `far`. Without the privilege it fails, unless
/// `MANTLE_UNPRIVILEGED=1` says that it may be left out.
fn between_near_and_far<F: Future<Output = ()>>(test: impl FnOnce(Handle) -> F + Send + 'static) {
    let in_namespace = move || {
        match unshare(CloneFlags::CLONE_NEWNET) {
            Err(Errno::EPERM) if std::env::var("MANTLE_UNPRIVILEGED").is_ok_and(|set| set == "1") => {
                eprintln!("left out: a network namespace needs root");
                return;
            }
            unshared => unshared.expect("this test needs root for a network namespace"),
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            netlink.link().add(LinkVeth::new("near", "far").up().build()).execute().await.unwrap();
            set(&netlink, LinkUnspec::new_with_name("far").up()).await;
            test(netlink).await;
        });
    };
    if let Err(panic) = thread::spawn(in_namespace).join() {
        std::panic::resume_unwind(panic);
    }
}

async fn set(netlink: &Handle, link: LinkMessageBuilder<LinkUnspec>) {
    netlink.link().set(link.build()).execute().await.unwrap();
}

fn index(link: &str) -> u32 {
    if_nametoindex(link).unwrap()
}

fn announcer() -> Announcer {
    Announcer::open("near", index("near")).unwrap()
}

/// What arrives at `far`.
fn tap() -> Box<dyn DataLinkReceiver> {
    let interface = NetworkInterface {
        name: "far".to_owned(),
        description: String::new(),
        index: index("far"),
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    let config = datalink::Config {
        promiscuous: false,
        read_timeout: Some(Duration::from_millis(20)),
        ..datalink::Config::default()
    };
    match datalink::channel(&interface, config).unwrap() {
        Channel::Ethernet(_, receiver) => receiver,
        _ => panic!("no Ethernet channel"),
    }
}

fn vips() -> [IpAddr; 2] {
    ["192.0.2.2".parse().unwrap(), "fd00::2".parse().unwrap()]
}

/// The next frame from that MAC, if one comes soon; the kernels send some of their own.
fn next_from(mac: Mac, far: &mut dyn DataLinkReceiver) -> Option<Vec<u8>> {
    loop {
        let frame = far.next().ok()?;
        if frame[6..12] == mac.0 {
            return Some(frame.to_vec());
        }
    }
}

/// Waits until the link carries frames: one just set up has the kernel's noop queue for a moment, which swallows them and
/// reports success.
fn settle(announcer: &mut Announcer, far: &mut dyn DataLinkReceiver) {
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
    let frames = Frames::new(vips()[0], OTHER, false);
    let carried = (0..500).any(|_| {
        announcer.send(&frames).unwrap();
        next_from(OTHER, far).is_some()
    });
    assert!(carried, "nothing arrives");
}

#[test]
fn frames_arrive_as_they_were_built() {
    between_near_and_far(async |_| {
        let mut far = tap();
        let mut announcer = announcer();
        settle(&mut announcer, &mut *far);
        for vip in vips() {
            let frames = Frames::new(vip, MAC, true);
            announcer.send(&frames).unwrap();
            for frame in frames.iter() {
                let arrived = (0..250).find_map(|_| next_from(MAC, &mut *far));
                assert_eq!(arrived.as_deref(), Some(frame));
            }
        }
    });
}

#[test]
fn the_socket_is_deaf_and_the_link_not_promiscuous() {
    between_near_and_far(async |netlink| {
        let _announcer = announcer();
        // sk RefCnt Type Proto Iface R Rmem ..: a raw socket (3) on `near` that listens to no protocol and does not run.
        let sockets = fs::read_to_string("/proc/thread-self/net/packet").unwrap();
        let fields: Vec<&str> = sockets.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(fields[2..6], ["3", "0000", &index("near").to_string(), "0"], "{sockets}");

        let mut links = netlink.link().get().match_index(index("near")).execute();
        let near = futures_util::TryStreamExt::try_next(&mut links).await.unwrap().unwrap();
        assert!(!near.header.flags.contains(LinkFlags::Promisc));
        assert!(near.attributes.contains(&LinkAttribute::Promiscuity(0)), "{near:?}");
    });
}

#[test]
fn a_link_that_is_down_is_told_from_one_that_is_gone() {
    between_near_and_far(async |netlink| {
        let mut announcer = announcer();
        let frames = Frames::new(vips()[0], MAC, false);
        set(&netlink, LinkUnspec::new_with_name("near").down()).await;
        assert!(matches!(announcer.send(&frames), Err(AnnounceError::LinkDown { .. })));
        set(&netlink, LinkUnspec::new_with_name("near").up()).await;
        announcer.send(&frames).unwrap();
        netlink.link().del(index("near")).execute().await.unwrap();
        assert!(matches!(announcer.send(&frames), Err(AnnounceError::LinkGone { .. })));
        let unknown = Announcer::open("near", 4711).err().expect("no such link");
        assert!(unknown.to_string().contains("near (index 4711)"), "{unknown}");
    });
}

#[test]
fn want_of_room_is_told_from_a_refusal() {
    let told = |source| AnnounceError::new("near", source);
    for errno in [Errno::ENOBUFS, Errno::EAGAIN] {
        assert!(matches!(told(errno.into()), AnnounceError::Congested { .. }), "{errno}");
    }
    assert!(matches!(told(io::ErrorKind::TimedOut.into()), AnnounceError::Congested { .. }));
    assert!(matches!(told(Errno::EPERM.into()), AnnounceError::Refused { .. }));
}
