//! The choice of a node's addresses: others start from its files, and nothing but a loss changes it.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use mantle_tests::clock::wait_for;
use mantle_tests::etcd::{member_by_file, member_by_systemd};
use mantle_tests::lab::{PRIVATE_LINK, PUBLIC_LINK};
use mantle_tests::stage::{SOON, VIP};
use mantle_tests::tap::Traffic;
use mantle_tests::{Host, Lab, Process};

use crate::witness::watch_for;

const PEERS: u16 = 2380;
const CLIENTS: u16 = 2379;

/// A loss is one after ten seconds, and not before the agent has run for thirty.
const LOST: Duration = Duration::from_mins(1);

/// What containers, VPNs and the like bring: lower than the hosts' own, more specific, and in the same networks.
const COME_AND_GO: [(&str, &str); 4] = [
    (PUBLIC_LINK, "10.77.0.1/32"),
    (PRIVATE_LINK, "10.88.0.1/32"),
    (PRIVATE_LINK, "10.88.128.1/20"),
    (PUBLIC_LINK, "fd77::1/128"),
];

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn in_file(host: &Host, path: &str) -> Option<String> {
    let path = path.to_owned();
    host.run(move || fs::read_to_string(path).ok())
}

/// Text and inode of a consumer's environment file: a file that is written again is another one.
fn environment(host: &Host, consumer: &str) -> Option<(String, u64)> {
    let path = format!("/run/mantle/{consumer}.env");
    host.run(move || Some((fs::read_to_string(&path).ok()?, fs::metadata(&path).ok()?.ino())))
}

fn wait_environment(host: &Host, consumer: &str) -> (String, u64) {
    wait_for(format_args!("the environment of {consumer} on {}", host.name()), SOON, || {
        environment(host, consumer)
    })
}

#[test]
fn etcd_started_from_our_files_speaks_on_the_private_network_only_and_no_choice_changes_but_by_a_loss() {
    let lab = Lab::new("addresses");
    let (public, private) = (Traffic::start(lab.public()), Traffic::start(lab.private()));
    let hosts = ["a", "b", "c"].map(|name| lab.host(name));
    let own = |host: &Host| host.address(PRIVATE_LINK);
    let endpoints = hosts.each_ref().map(|host| format!("\"http://{}:{CLIENTS}\"", own(host))).join(", ");
    let config = format!(
        "apiVersion: mantle/v1alpha1\nkind: MantleConfig\netcd: {{endpoints: [{endpoints}]}}\naddresses:\n  \
         etcd: {{advertisedSubnets: [10.88.0.0/16]}}\n  kubelet:\n    validSubnets: [10.77.0.0/16]\n    \
         onChange: [sh, -c, 'echo $MANTLE_CONSUMER $KUBELET_NODE_IP >> /run/told']\n\
         ---\napiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: \"{VIP}\"\nlink: eth0\n"
    );
    // Before there is any etcd.
    let mut agents = hosts.each_ref().map(|host| lab.agent(host, &config));
    let files = hosts.each_ref().map(|host| {
        let etcd = wait_environment(host, "etcd");
        let ip = own(host);
        let expected = format!(
            "ETCD_LISTEN_PEER_URLS=http://{ip}:2380\nETCD_INITIAL_ADVERTISE_PEER_URLS=http://{ip}:2380\n\
             ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:2379,http://{ip}:2379\n\
             ETCD_ADVERTISE_CLIENT_URLS=http://{ip}:2379\n"
        );
        assert_eq!(etcd.0, expected);
        let kubelet = wait_environment(host, "kubelet");
        let node_ip = host.address(PUBLIC_LINK);
        assert_eq!(kubelet.0, format!("KUBELET_NODE_IP={node_ip}\nKUBELET_EXTRA_ARGS=--node-ip={node_ip}\n"));
        [etcd, kubelet]
    });

    let members = hosts.each_ref().map(|host| format!("{}=http://{}:{PEERS}", host.name(), own(host)));
    let start = |host: &Host| member_by_file(host, host.name(), Path::new("/run/mantle/etcd.env"), &members);
    let _etcd: [Process; 3] = hosts.each_ref().map(start);
    let client = lab.client(&[VIP]);
    wait_for("an owner of the VIP", SOON * 2, || {
        client.so_far().of(VIP).probes().iter().any(|probe| probe.answer.is_some()).then_some(())
    });
    for host in &hosts {
        wait_for("every agent to know the cluster's VIP", SOON, || {
            in_file(host, "/var/lib/mantle/addresses.json")?.contains(&VIP.to_string()).then_some(())
        });
    }

    for host in &hosts {
        for (link, address) in COME_AND_GO {
            host.add_address(link, net(address));
        }
    }
    let unchanged = |when: &str| {
        for (host, before) in hosts.iter().zip(&files) {
            let now = ["etcd", "kubelet"].map(|consumer| environment(host, consumer).expect("a file"));
            assert_eq!(&now, before, "{} {when}", host.name());
            assert_eq!(in_file(host, "/run/told"), None, "{} {when}", host.name());
        }
    };
    watch_for(Duration::from_secs(3));
    unchanged("with what containers brought");
    // One killed, one stopped in order, one on a host that starts anew: /run is gone, and what was chosen isn't there yet.
    agents[0].kill9();
    agents[1].stop(SOON);
    agents[2].kill9();
    hosts[2].run(|| fs::remove_dir_all("/run/mantle").expect("the agent's directory is there"));
    let late: IpNet = IpNet::new(own(&hosts[2]), 24).expect("a prefix of IPv4");
    hosts[2].remove_address(PRIVATE_LINK, late);
    let mut agents = hosts.each_ref().map(|host| lab.agent(host, &config));
    assert_eq!(wait_environment(&hosts[2], "etcd").0, files[2][0].0, "the choice outlives a boot");
    hosts[2].add_address(PRIVATE_LINK, late);
    watch_for(Duration::from_secs(3));
    for (host, before) in hosts.iter().zip(&files) {
        let now = ["etcd", "kubelet"].map(|consumer| environment(host, consumer).expect("a file").0);
        assert_eq!(now, before.each_ref().map(|file| file.0.clone()), "{} after a restart", host.name());
        assert_eq!(in_file(host, "/run/told"), None, "{} after a restart", host.name());
    }

    for host in &hosts[..2] {
        for (link, address) in COME_AND_GO {
            host.remove_address(link, net(address));
        }
    }

    // Really lost: the next one, told once.
    let lost = IpNet::new(hosts[2].address(PUBLIC_LINK), 24).expect("a prefix of IPv4");
    hosts[2].remove_address(PUBLIC_LINK, lost);
    let stale = "mantle_addresses_stale{purpose=\"kubelet\"} 1";
    wait_for("the loss to show", SOON, || metrics(&hosts[2]).contains(stale).then_some(()));
    wait_for("the next choice", LOST, || in_file(&hosts[2], "/run/told"));
    // Long enough for a second word, had there been one.
    hosts[2].add_address(PUBLIC_LINK, lost);
    watch_for(Duration::from_secs(3));
    assert_eq!(in_file(&hosts[2], "/run/told").as_deref(), Some("kubelet 10.77.0.1\n"));
    let log = agents[2].log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("addresses chosen")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let (kubelet, _) = environment(&hosts[2], "kubelet").expect("a file");
    assert_eq!(kubelet, "KUBELET_NODE_IP=10.77.0.1\nKUBELET_EXTRA_ARGS=--node-ip=10.77.0.1\n");
    for host in &hosts[..2] {
        assert_eq!(in_file(host, "/run/told"), None, "{}", host.name());
    }

    for port in [PEERS, CLIENTS] {
        assert_eq!(public.of_port(port), 0, "etcd spoke on the public network");
        assert!(private.of_port(port) > 0, "nothing was seen of port {port} on the private network");
        // Nobody listens there; and the tap would have seen it.
        let address = SocketAddr::new(hosts[1].address(PUBLIC_LINK), port);
        let asked = hosts[0].run(move || TcpStream::connect_timeout(&address, SOON).map(drop));
        assert_eq!(asked.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused), "{address}");
        wait_for("the tap to see it", SOON, || (public.of_port(port) > 0).then_some(()));
    }
    for agent in &mut agents {
        assert!(agent.stop(SOON).success());
    }
}

fn metrics(host: &Host) -> String {
    let socket = Path::new("/run/mantle/mantle.sock");
    let limit = Duration::from_secs(5);
    host.run(move || mantle::observe::client::get(socket, "/metrics", limit).unwrap_or_default())
}

/// `mantle addresses` on a host: exit code, standard output, standard error.
fn ask(lab: &Lab, host: &Host, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = lab.config_path(host);
    let config = config.to_string_lossy();
    let all: Vec<&str> = ["addresses", "-c", &config].into_iter().chain(arguments.iter().copied()).collect();
    let output = lab.mantle(host, &all);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The lines that the page has people write with `systemctl edit`, carried out by systemd itself.
#[test]
fn systemd_starts_etcd_by_the_drop_in_of_the_page() {
    let lab = Lab::new("addresses-systemd");
    let host = lab.host("a");
    let [ip, elsewhere] = [PRIVATE_LINK, PUBLIC_LINK].map(|link| host.address(link));
    let config = lab.config_path(&host);
    let text = "apiVersion: mantle/v1alpha1\nkind: MantleConfig\naddresses: {etcd: {advertisedSubnets: [10.88.0.0/16]}}\n";
    fs::write(&config, text).unwrap();
    let page = include_str!("../../../docs/multihomed.md");
    let (_, shown) = page.split_once("```ini\n").expect("the page shows the drop-in");
    let (drop_in, _) = shown.split_once("```").expect("and ends it");
    let _member = member_by_systemd(&host, "a", drop_in, &config);

    let connects = |ip: IpAddr, port| {
        let address = SocketAddr::new(ip, port);
        host.run(move || TcpStream::connect_timeout(&address, SOON).is_ok())
    };
    wait_for("etcd where its file has it listen", SOON * 2, || connects(ip, CLIENTS).then_some(()));
    assert!(connects(ip, PEERS));
    assert!(connects([127, 0, 0, 1].into(), CLIENTS));
    for port in [PEERS, CLIENTS] {
        assert!(!connects(elsewhere, port), "{elsewhere}:{port}");
    }
}

#[test]
fn the_command_needs_no_agent_waits_and_says_why_there_is_no_address() {
    let lab = Lab::new("addresses-command");
    let host = lab.host("a");
    let config = "apiVersion: mantle/v1alpha1\nkind: MantleConfig\naddresses:\n  \
                  etcd: {advertisedSubnets: [172.16.0.0/12]}\n  db: {validSubnets: [10.88.0.0/16]}\n";
    fs::write(lab.config_path(&host), config).unwrap();

    let (code, _, errors) = ask(&lab, &host, &["etcd"]);
    assert_eq!(code, Some(1), "{errors}");
    let own = host.address(PUBLIC_LINK);
    for line in [
        "no address for etcd-advertised by [172.16.0.0/12]".to_owned(),
        format!("  {own} on eth0: in none of the subnets"),
        "  127.0.0.1 on lo: loopback".to_owned(),
    ] {
        assert!(errors.contains(&line), "{line} is not in\n{errors}");
    }
    let (code, db, errors) = ask(&lab, &host, &["db", "-o", "env"]);
    let private: IpAddr = host.address(PRIVATE_LINK);
    assert_eq!((code, db), (Some(0), format!("DB_ADDRESS={private}\nDB_ADDRESSES={private}\n")), "{errors}");
    let (code, _, errors) = ask(&lab, &host, &["dbs"]);
    assert!(code == Some(2) && errors.contains("known are etcd, kubelet, db"), "{errors}");

    let late = host.clone();
    let comes = host.on_thread(move || {
        watch_for(Duration::from_millis(500));
        late.add_address(PUBLIC_LINK, net("172.16.0.5/24"));
    });
    let (code, text, errors) = ask(&lab, &host, &["etcd", "--wait", "9s", "--write"]);
    comes.join().unwrap();
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(text, "etcd-advertised  172.16.0.5\netcd-listen      172.16.0.5\n");
    let file = in_file(&host, "/run/mantle/etcd.env").expect("the file is written");
    assert!(file.starts_with("ETCD_LISTEN_PEER_URLS=http://172.16.0.5:2380\n"), "{file}");

    // What is lost stays in force, and is shown for what it is.
    host.remove_address(PUBLIC_LINK, net("172.16.0.5/24"));
    let (code, json, errors) = ask(&lab, &host, &["etcd", "-o", "json"]);
    assert!(code == Some(0) && errors.contains("172.16.0.5: chosen before, and not there"), "{errors}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["addresses"][0], &json[0]["stale"]), (&"172.16.0.5".into(), &true.into()));
}
