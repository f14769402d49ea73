//! The lab's own tests: what it measures is so, what it breaks is broken, and the judge can tell.

#![expect(clippy::unwrap_used, reason = "a scenario's own functions fail where they stand, like its tests")]

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use etcd_client::{Certificate, Client as Etcd, ConnectOptions, TlsOptions};
use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Type, PacketBuilder};
use ipnet::IpNet;
use mantle_tests::clock::{now, wait_for};
use mantle_tests::judge::Wrong;
use mantle_tests::lab::{PREFIX, PRIVATE_LINK, PUBLIC_LINK};
use mantle_tests::tap::FrameKind;
use mantle_tests::{EtcdCluster, EtcdOptions, EtcdVersion, Host, Lab};
use nix::unistd::gethostname;

const SOON: Duration = Duration::from_secs(10);
const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));
const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100));

fn wear(host: &Host, vip: IpAddr) {
    host.add_address(PUBLIC_LINK, IpNet::from(vip));
    announce(host, vip);
}

fn take_off(host: &Host, vip: IpAddr) {
    host.remove_address(PUBLIC_LINK, IpNet::from(vip));
}

fn announce(host: &Host, vip: IpAddr) {
    let mac = host.port(PUBLIC_LINK).mac().0;
    let mut frame = Vec::new();
    match vip {
        IpAddr::V4(vip) => {
            let (operation, vip) = (ArpOperation::REQUEST, vip.octets());
            let arp = ArpPacket::new(
                ArpHardwareId::ETHERNET,
                EtherType::IPV4,
                operation,
                &mac,
                &vip,
                &[0; 6],
                &vip,
            );
            PacketBuilder::ethernet2(mac, [0xff; 6]).arp(arp.unwrap()).write(&mut frame).unwrap();
        }
        IpAddr::V6(vip) => {
            let header = NeighborAdvertisementHeader { r#override: true, router: false, solicited: false };
            let to = "ff02::1".parse::<Ipv6Addr>().unwrap();
            let body = [vip.octets().as_slice(), &[2, 1], &mac].concat();
            PacketBuilder::ethernet2(mac, [0x33, 0x33, 0, 0, 0, 1])
                .ipv6(vip.octets(), to.octets(), 255)
                .icmpv6(Icmpv6Type::NeighborAdvertisement(header))
                .write(&mut frame, &body)
                .unwrap();
        }
    }
    host.send_frame(PUBLIC_LINK, &frame);
}

#[test]
fn an_address_moved_by_hand_is_a_gap_for_the_client_and_in_order_for_the_judge() {
    let lab = Lab::new("moved-by-hand");
    let (a, b) = (lab.host("a"), lab.host("b"));
    for vip in [VIP, VIP6] {
        wear(&a, vip);
    }
    let client = lab.client(&[VIP, VIP6]);
    for vip in [VIP, VIP6] {
        client.wait_answered(vip, "a", now(), SOON);
    }

    let off = now();
    for vip in [VIP, VIP6] {
        take_off(&a, vip);
    }
    let taken_off = now();
    thread::sleep(Duration::from_millis(100));
    let moved = now();
    for vip in [VIP, VIP6] {
        wear(&b, vip);
        client.wait_answered(vip, "b", moved, SOON);
    }

    let answered = now();

    let probes = client.stop();
    for of_vip in probes.iter() {
        let gap = of_vip.longest_gap(off - Duration::from_millis(50)..).unwrap();
        assert!(gap.length() >= Duration::from_millis(100), "{gap:?}");
        assert!(gap.from <= taken_off && moved <= gap.to && gap.to <= answered, "{gap:?}");
        let nodes: Vec<_> = of_vip.runs().into_iter().map(|run| run.node).collect();
        assert_eq!(nodes, ["a", "b"]);
        assert!(of_vip.lost() >= 90, "{} probes lost in 100 ms", of_vip.lost());
        assert_eq!(of_vip.doubled(), 0);
    }

    let seen = |host: &str, kind, vip| {
        let frames = lab.tap().frames();
        frames.iter().filter(|f| *f.host == *host && f.claim.kind == kind && f.claim.vip == vip).count()
    };
    for host in ["a", "b"] {
        assert_eq!(seen(host, FrameKind::GratuitousRequest, VIP), 1, "{host}");
        assert_eq!(seen(host, FrameKind::UnsolicitedAdvert, VIP6), 1, "{host}");
        assert!(seen(host, FrameKind::Ip, VIP) > 0 && seen(host, FrameKind::Ip, VIP6) > 0, "{host}");
    }
    assert!(seen("a", FrameKind::ArpReply, VIP) > 0, "the client asked a");
    assert!(seen("a", FrameKind::NeighbourAdvert, VIP6) > 0, "the client asked a");
    let frames = lab.tap().frames();
    assert!(frames.iter().all(|frame| [VIP, VIP6].contains(&frame.claim.vip)), "the hosts' own are no VIPs");
    lab.verdict(None).assert_in_order();
}

#[test]
fn an_address_worn_by_two_at_once_is_an_overlap() {
    let lab = Lab::new("worn-by-two");
    let (a, b) = (lab.host("a"), lab.host("b"));
    wear(&a, VIP);
    let client = lab.client(&[VIP]);
    client.wait_answered(VIP, "a", now(), SOON);
    wear(&b, VIP);
    client.wait_answered(VIP, "b", now(), SOON);
    announce(&a, VIP);
    client.wait_answered(VIP, "a", now(), SOON);

    let verdict = lab.verdict(None);
    let overlaps = |violation: &mantle_tests::judge::Violation| {
        violation.host == "a" && matches!(&violation.wrong, Wrong::Overlap { other, .. } if other == "b")
    };
    assert!(verdict.violations.iter().any(overlaps), "{verdict}");
}

#[test]
fn a_pulled_cable_is_silence_until_it_is_put_back() {
    let lab = Lab::new("pulled-cable");
    let a = lab.host("a");
    wear(&a, VIP);
    let client = lab.client(&[VIP]);
    client.wait_answered(VIP, "a", now(), SOON);

    a.port(PRIVATE_LINK).set_up(false);
    client.wait_answered(VIP, "a", now(), SOON);
    a.port(PUBLIC_LINK).set_up(false);
    let pulled = now();
    thread::sleep(Duration::from_millis(100));
    let back = now();
    a.plug();
    client.wait_answered(VIP, "a", back, SOON);

    let probes = client.stop();
    let slack = Duration::from_millis(5);
    let sent_between =
        probes.of(VIP).probes().iter().filter(|p| pulled + slack <= p.sent && p.sent < back - slack);
    let answered_then = sent_between.filter_map(|p| p.answer).filter(|answer| answer.at < back);
    assert_eq!(answered_then.count(), 0);
    assert!(probes.of(VIP).longest_gap(..).unwrap().length() >= Duration::from_millis(90));
}

#[test]
fn a_host_is_a_machine_of_its_own() {
    let lab = Lab::new("own-machine");
    let (a, b) = (lab.host("a"), lab.host("b"));
    let look = || {
        fs::create_dir("/run/mantle").unwrap();
        assert!(fs::read_to_string("/proc/self/mountinfo").is_ok());
        let bpf = nix::sys::statfs::statfs("/sys/fs/bpf").unwrap().filesystem_type();
        assert_eq!(bpf, nix::sys::statfs::BPF_FS_MAGIC);
        assert!(Path::new("/sys/class/net/eth0").exists());
        (gethostname().unwrap().into_string().unwrap(), fs::read_to_string("/etc/machine-id").unwrap())
    };
    let (name_a, machine_a) = a.run(look);
    let (name_b, machine_b) = b.run(look);
    assert_eq!((name_a.as_str(), name_b.as_str()), ("a", "b"));
    assert_ne!(machine_a, machine_b);
    assert_ne!(
        fs::read_to_string("/etc/machine-id").unwrap_or_default(),
        machine_a,
        "the machine keeps its own"
    );

    let line = format!("{} cat /etc/machine-id", a.shell_line());
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), machine_a, "{line}");
}

#[test]
fn a_process_can_be_frozen_thawed_stopped_and_killed() {
    let lab = Lab::new("processes");
    let a = lab.host("a");
    let script = |text: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        a.spawn("script", command)
    };
    let mut polite = script("trap 'echo bye; exit 3' TERM; hostname; while :; do sleep 0.01; done");
    polite.wait_for_log("a\n", SOON);
    polite.freeze();
    polite.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(polite.wait(Duration::from_millis(100)), None, "a frozen process does nothing");
    polite.thaw();
    assert_eq!(polite.wait(SOON).and_then(|exit| exit.code()), Some(3));
    assert_eq!(polite.log(), "a\nbye\n");

    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2; exit 7"]);
    let output = a.output(command, SOON);
    assert_eq!(
        (output.status.code(), &*output.stdout, &*output.stderr),
        (Some(7), &b"out\n"[..], &b"err\n"[..])
    );

    let mut stubborn = script("trap '' TERM; echo up; while :; do sleep 0.01; done");
    stubborn.wait_for_log("up", SOON);
    assert!(stubborn.is_running());
    stubborn.kill9();
    assert!(!stubborn.is_running());
}

fn record(owner: Option<&str>) -> String {
    let owner = owner.map(|node| serde_json::json!({"node": node, "session": 1, "bound_ms": 1000}));
    serde_json::json!({ "owner": owner }).to_string()
}

#[test]
fn the_records_decide_who_may_wear_the_address() {
    let lab = Lab::new("records");
    let etcd = lab.etcd(1, EtcdOptions::default());
    let history = lab.history(&etcd);
    let (a, b) = (lab.host("a"), lab.host("b"));
    let key = format!("{PREFIX}/vip/{VIP}");

    etcd.put(&key, record(Some("a")));
    wear(&a, VIP);
    take_off(&a, VIP);
    etcd.put(&key, record(None));
    etcd.put(&key, record(Some("b")));
    wear(&b, VIP);
    take_off(&b, VIP);
    etcd.delete(&key);
    etcd.put(&key, record(Some("a")));
    wear(&a, VIP);
    let owners: Vec<_> = history.changes()[&VIP].iter().map(|change| change.owner.clone()).collect();
    assert_eq!(
        owners.iter().map(Option::as_deref).collect::<Vec<_>>(),
        [Some("a"), None, Some("b"), None, Some("a")]
    );
    lab.verdict(Some(&history)).assert_in_order();

    etcd.put(&key, record(Some("b")));
    let known = history.changes();
    announce(&a, VIP);
    let verdict = lab.verdict(Some(&history));
    let [violation] = verdict.violations.as_slice() else { panic!("{verdict}") };
    let wrong = Wrong::PastRight { ended: known[&VIP].last().unwrap().at, successor: Some("b".into()) };
    assert_eq!((violation.host.as_str(), &violation.wrong), ("a", &wrong), "{verdict}");
}

#[test]
fn three_members_outlive_their_leader() {
    let lab = Lab::new("three-members");
    let etcd = lab.etcd(3, EtcdOptions::default());
    let history = lab.history(&etcd);
    let key = format!("{PREFIX}/vip/{VIP}");
    etcd.put(&key, record(Some("a")));

    let first = etcd.leader();
    etcd.kill9(first);
    etcd.put(&key, record(Some("b")));
    assert_ne!(etcd.leader(), first);
    etcd.restart(first);
    etcd.wait_healthy(first);

    let second = etcd.leader();
    etcd.freeze(second);
    etcd.put(&key, record(Some("c")));
    etcd.thaw(second);
    etcd.wait_healthy(second);
    etcd.stop(second);
    etcd.compact();
    etcd.restart(second);
    etcd.wait_healthy(second);
    assert_eq!(etcd.list(PREFIX).len(), 1);

    let mut owners: Vec<_> =
        history.changes()[&VIP].iter().filter_map(|change| change.owner.clone()).collect();
    // A put that the dying leader had taken, and that was made again.
    owners.dedup();
    assert_eq!(owners, ["a", "b", "c"]);
}

#[test]
fn a_slow_disk_slows_every_write_for_as_long_as_it_is_slow() {
    const SLOW: Duration = Duration::from_millis(100);
    let lab = Lab::new("slow-disk");
    let etcd = lab.etcd(1, EtcdOptions { slow_disks: true, ..EtcdOptions::default() });
    let took = || {
        let begun = now();
        etcd.put("/disk", "written");
        now().since(begun)
    };
    let shortest = |times: usize| (0..times).map(|_| took()).min().unwrap();
    assert!(shortest(5) < SLOW);
    etcd.slow_disks(SLOW);
    assert!(shortest(3) >= SLOW);
    etcd.slow_disks(Duration::ZERO);
    assert!(shortest(5) < SLOW);

    // A member that is stopped while it waits for its disk goes on, and one that starts again is on the same disk.
    etcd.slow_disks(SLOW);
    etcd.freeze(0);
    thread::sleep(3 * SLOW);
    etcd.thaw(0);
    assert!(shortest(3) >= SLOW);
    etcd.kill9(0);
    etcd.restart(0);
    etcd.wait_healthy(0);
    assert!(shortest(3) >= SLOW);
}

#[test]
fn etcd_3_5_runs_too() {
    let lab = Lab::new("etcd-3-5");
    let etcd = lab.etcd(1, EtcdOptions { version: EtcdVersion::V35, ..EtcdOptions::default() });
    let version = etcd.call(async |mut client| Ok(client.status().await?.version().to_owned()));
    assert!(version.starts_with("3.5."), "{version}");
}

/// Reads a key as an agent on this host would.
fn read(host: &Host, etcd: &EtcdCluster, key: &str, options: ConnectOptions) -> Result<(), String> {
    let (endpoints, key) = (etcd.endpoints(), key.to_owned());
    host.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let get = async { Etcd::connect(endpoints, Some(options)).await?.get(key, None).await };
        let got = runtime.block_on(async { tokio::time::timeout(SOON, get).await });
        got.map_err(|_| "no answer".to_owned())?.map(drop).map_err(|error| format!("{error:?}"))
    })
}

#[test]
fn tls_and_users_are_asked_for() {
    let lab = Lab::new("tls-and-users");
    let user = ("agent".to_owned(), "secret".to_owned());
    let etcd = lab.etcd(3, EtcdOptions { tls: true, user: Some(user), ..EtcdOptions::default() });
    etcd.put("/elsewhere", "x");
    let a = lab.host("a");

    let tls = etcd.tls().unwrap();
    let pem = |path: &Path| fs::read(path).unwrap();
    let identity = || etcd_client::Identity::from_pem(pem(&tls.cert), pem(&tls.key));
    let trusting = |ca: &Path| TlsOptions::new().ca_certificate(Certificate::from_pem(pem(ca)));
    let options =
        |tls: TlsOptions, password| ConnectOptions::new().with_tls(tls).with_user("agent", password);

    let key = format!("{PREFIX}/vip/{VIP}");
    let right = || trusting(&tls.ca).identity(identity());
    read(&a, &etcd, &key, options(right(), "secret")).unwrap();
    let refused = |key: &str, options| read(&a, &etcd, key, options).unwrap_err();
    assert!(refused(&key, options(right(), "guess")).contains("authentication failed"));
    assert!(refused("/elsewhere", options(right(), "secret")).contains("permission denied"));
    let wrong_ca = refused(&key, options(trusting(&tls.wrong_ca).identity(identity()), "secret"));
    assert!(wrong_ca.contains("UnknownIssuer") || wrong_ca.contains("BadSignature"), "{wrong_ca}");
    refused(&key, options(trusting(&tls.ca), "secret"));
}

/// Set for the process that is to be killed in the midst of its lab.
const VICTIM: &str = "MANTLE_LAB_VICTIM";

#[test]
fn nothing_is_left_when_the_tests_are_killed() {
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<_> = lines.take_while(|line| line != "ready").collect();
    let namespaces: Vec<_> = told.iter().filter(|line| line.starts_with("net:[")).collect();
    let processes: Vec<_> = told.iter().filter_map(|line| line.strip_prefix("process ")).collect();
    assert_eq!((namespaces.len(), processes.len()), (2, 1), "{told:?}");
    assert!(namespaces.iter().all(|namespace| in_use(namespace)), "the namespaces are there");

    victim.kill().unwrap();
    victim.wait().unwrap();
    for process in processes {
        let path = format!("/proc/{process}");
        wait_for(format_args!("the end of process {process}"), SOON, || {
            (!Path::new(&path).exists()).then_some(())
        });
    }
    for namespace in namespaces {
        wait_for(format_args!("the end of {namespace}"), SOON, || (!in_use(namespace)).then_some(()));
    }
}

/// Not a test of its own: what [`nothing_is_left_when_the_tests_are_killed`] kills.
#[test]
fn the_victim() {
    if env::var_os(VICTIM).is_none() {
        return;
    }
    let lab = Lab::new("victim");
    let hosts = [lab.host("a"), lab.host("b")];
    for host in &hosts {
        let namespace = host.run(|| fs::read_link("/proc/thread-self/ns/net").unwrap());
        println!("\n{}", namespace.display());
    }
    let mut command = Command::new("sleep");
    command.arg("600");
    let process = hosts[0].spawn("sleep", command);
    println!("process {}", process.pid());
    println!("ready");
    thread::sleep(Duration::from_mins(1));
}

/// Whether any thread of the machine is in a network namespace, or a mount keeps it.
fn in_use(namespace: &str) -> bool {
    let list = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_in =
        |thread: &Path| fs::read_link(thread.join("ns/net")).is_ok_and(|link| link == Path::new(namespace));
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap().contains(namespace);
    mounted
        || list(Path::new("/proc")).any(|process| list(&process.join("task")).any(|thread| is_in(&thread)))
}

#[test]
fn a_dropped_lab_takes_its_processes_and_files_along() {
    let lab = Lab::new("dropped");
    let etcd = lab.etcd(1, EtcdOptions::default());
    let a = lab.host("a");
    let mut command = Command::new("sleep");
    command.arg("600");
    let path = format!("/proc/{}", a.spawn("sleep", command).pid());
    assert!(!Path::new(&path).exists(), "a dropped process is killed and waited for");
    let directory = lab.directory().to_owned();
    let namespace = a.run(|| fs::read_link("/proc/thread-self/ns/net").unwrap()).display().to_string();
    assert!(directory.exists() && in_use(&namespace));
    drop((a, etcd, lab));
    assert!(!directory.exists());
    assert!(!in_use(&namespace));
}
