//! Where an agent's connections to etcd come from: never from a VIP, and from what is chosen for them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use ipnet::IpNet;
use mantle_tests::clock::wait_for;
use mantle_tests::etcd::{EtcdOptions, member_by_file};
use mantle_tests::lab::{PRIVATE_LINK, PUBLIC_LINK};
use mantle_tests::stage::SOON;
use mantle_tests::tap::Traffic;
use mantle_tests::{Host, Lab, Process};
use serde_json::{Value, json};

use crate::witness::watch_for;

const CLIENTS: u16 = 2379;

/// A VIP in the network that etcd is in.
const VIP: &str = "10.88.0.100";

/// A chosen address is lost after ten seconds, and not before the agent has run for thirty.
const LOST: Duration = Duration::from_mins(1);

fn config(endpoints: &[String], more: &str) -> String {
    format!(
        "apiVersion: mantle/v1alpha1\nkind: MantleConfig\netcd: {{endpoints: {endpoints:?}}}\ntiming: steady\n{more}\n\
         ---\napiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: \"{VIP}\"\nlink: {PRIVATE_LINK}\n"
    )
}

fn wait_status(lab: &Lab, host: &Host, what: &str, limit: Duration, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, limit, || lab.status(host).filter(|status| is_so(status)))
}

fn is_owner(status: &Value) -> bool {
    status["vips"][0]["stance"] == "owner"
}

fn wait_source(lab: &Lab, host: &Host, source: &str, limit: Duration) -> Value {
    wait_status(lab, host, "a connection from the chosen address", limit, |status| {
        status["etcd"]["endpoints"][0]["source"] == source
    })
}

/// Kills an agent with its guardian and starts another, which goes on.
fn replace(lab: &Lab, host: &Host, agent: &mut Process, config: &str) {
    agent.kill9();
    *agent = lab.agent(host, config);
    wait_status(lab, host, "an owner", SOON, is_owner);
}

/// What `/healthz` answers on an address of a host, from within it; nothing if nobody listens there.
fn healthz(host: &Host, ip: &str) -> Option<String> {
    let address: SocketAddr = (ip.parse::<IpAddr>().unwrap(), 9480).into();
    host.run(move || {
        let mut stream = TcpStream::connect_timeout(&address, SOON).ok()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.lines().next()?.to_owned())
    })
}

/// Waits until nothing speaks to etcd from an address any more: what renewals make a watch show is acknowledged at least twice in
/// this time.
fn wait_quiet(lab: &Lab, ip: &str) {
    let ip = ip.parse().unwrap();
    wait_for("silence at the address that is chosen no more", SOON, || {
        let traffic = Traffic::start(lab.private());
        watch_for(Duration::from_millis(1500));
        let clients = traffic.clients_of(CLIENTS);
        (!clients.is_empty() && !clients.contains(&ip)).then_some(())
    });
}

#[test]
fn the_watch_goes_where_renewals_go_and_misses_nothing_on_the_way() {
    let lab = Lab::new("source-watch");
    let etcd = lab.etcd(1, EtcdOptions::default());
    let host = lab.host("a");
    let net = |ip: &str| -> IpNet { format!("{ip}/24").parse().unwrap() };
    let [first, second] = ["10.88.0.77", "10.88.0.78"];
    let more = format!("addresses: {{mantle: {{validSubnets: [{first}, {second}]}}}}");
    let mut agent = lab.agent(&host, &config(&etcd.endpoints(), &more));
    wait_status(&lab, &host, "an owner", SOON, is_owner);

    // Each is to be told once, and no list that is made anew may tell it instead.
    let mut keys = Vec::new();
    let mut write_until_it_comes_from = |source: &str, limit: Duration| {
        wait_for("a connection from the chosen address", limit, || {
            for _ in 0..10 {
                keys.push(format!("/mantle/default/news-{}.", keys.len()));
                etcd.put(&keys[keys.len() - 1], "x");
            }
            let status = lab.status(&host)?;
            (status["etcd"]["endpoints"][0]["source"] == source).then_some(())
        });
        keys.len()
    };

    let own = host.address(PRIVATE_LINK).to_string();
    host.add_address(PRIVATE_LINK, net(first));
    write_until_it_comes_from(first, SOON * 2);
    wait_quiet(&lab, &own);

    // Chosen no more, though it is still there: what goes on going by it would be seen.
    host.add_address(PRIVATE_LINK, net(second));
    let mut deprecate = Command::new("ip");
    let lifetimes = ["valid_lft", "forever", "preferred_lft", "0"];
    deprecate.args(["address", "change", &net(first).to_string(), "dev", PRIVATE_LINK]).args(lifetimes);
    assert!(host.output(deprecate, SOON).status.success());
    let written = write_until_it_comes_from(second, LOST);
    wait_quiet(&lab, first);

    agent.wait_for_log(&format!("news-{}.", written - 1), SOON);
    let log = agent.log();
    let told = |number: &usize| log.matches(&format!("news-{number}.")).count();
    let amiss: Vec<_> =
        (0..written).map(|number| (number, told(&number))).filter(|(_, told)| *told != 1).collect();
    assert!(amiss.is_empty(), "not told once, of {written}: {amiss:?}");
    assert!(!log.contains("no news from etcd"), "{log}");
    assert!(agent.stop(SOON).success());
}

#[test]
fn an_etcd_given_by_name_is_spoken_to_from_the_chosen_address_of_its_family() {
    let lab = Lab::new("source-names");
    let (member, host) = (lab.host("etcd"), lab.host("a"));
    let v4 = member.address(PRIVATE_LINK);
    let [v6, chosen_v4, chosen_v6] = ["fd88::10", "10.88.0.77", "fd88::77"];
    // The kernel would have others to choose.
    for (host, address) in
        [(&member, "fd88::10/64"), (&host, "fd88::5/64"), (&host, "fd88::77/64"), (&host, "10.88.0.77/24")]
    {
        host.add_address(PRIVATE_LINK, address.parse().unwrap());
    }
    let file = lab.directory().join("etcd.env");
    let peer = format!("http://{v4}:2380");
    let told = format!(
        "ETCD_LISTEN_PEER_URLS={peer}\nETCD_INITIAL_ADVERTISE_PEER_URLS={peer}\n\
         ETCD_LISTEN_CLIENT_URLS=http://{v4}:{CLIENTS},http://[{v6}]:{CLIENTS}\n\
         ETCD_ADVERTISE_CLIENT_URLS=http://{v4}:{CLIENTS}\n"
    );
    fs::write(&file, told).unwrap();
    let _etcd = member_by_file(&member, "etcd", &file, &[format!("etcd={peer}")]);

    let names = lab.directory().join("hosts");
    fs::write(&names, format!("{v4} etcd-v4 etcd-both\n{v6} etcd-v6 etcd-both\n")).unwrap();
    host.lay_over("/etc/hosts", &names);
    let endpoints = ["etcd-v4", "etcd-v6", "etcd-both"].map(|name| format!("http://{name}:{CLIENTS}"));
    let more = format!("addresses: {{mantle: {{validSubnets: [{chosen_v4}, {chosen_v6}]}}}}");
    let config = config(&endpoints, &more);
    let mut agent = lab.agent(&host, &config);
    let is_as_chosen = |status: &Value| {
        let source = |at: usize| &status["etcd"]["endpoints"][at]["source"];
        is_owner(status)
            && [0, 1, 2].map(source) == [chosen_v4, chosen_v6, chosen_v4]
            && status["node"]["addresses"] == json!([chosen_v4, chosen_v6])
    };
    wait_status(&lab, &host, "connections from what is chosen", SOON * 2, is_as_chosen);

    // Chosen from the start: not one connection comes from elsewhere.
    agent.kill9();
    watch_for(Duration::from_millis(300));
    let traffic = Traffic::start(lab.private());
    agent = lab.agent(&host, &config);
    wait_status(&lab, &host, "the same of the next agent", SOON, is_as_chosen);
    let expected = BTreeSet::from([chosen_v4, chosen_v6].map(|ip| ip.parse::<IpAddr>().unwrap()));
    wait_for("both to be seen", SOON, || (traffic.clients_of(CLIENTS) >= expected).then_some(()));
    watch_for(Duration::from_secs(1));
    assert_eq!(traffic.clients_of(CLIENTS), expected);
    assert!(agent.stop(SOON).success());
}

#[test]
fn a_node_publishes_its_own_addresses_and_the_others_show_them() {
    let lab = Lab::new("source-published");
    let etcd = lab.etcd(1, EtcdOptions::default());
    let [a, b] = ["a", "b"].map(|name| lab.host(name));
    let [first, second] = ["10.88.0.77", "10.88.0.78"];
    let net = |ip: &str| -> IpNet { format!("{ip}/24").parse().unwrap() };
    a.add_address(PRIVATE_LINK, net(first));
    let asked = format!("addresses: {{mantle: {{validSubnets: [{first}, {second}]}}}}");
    let mut agents = [
        lab.agent(&a, &config(&etcd.endpoints(), &asked)),
        // Nothing is asked for: what etcd's members would be told, the stickiest address.
        lab.agent(&b, &config(&etcd.endpoints(), "")),
    ];
    let wait_shown = |on: &Host, addresses: Value| {
        wait_status(&lab, on, "the other node's addresses", SOON * 2, |status| {
            status["peers"][0]["addresses"] == addresses
        })
    };
    let shown = wait_shown(&b, json!([first]));
    wait_shown(&a, json!([b.address(PUBLIC_LINK)]));
    let table = lab.mantle(&b, &["status", "-c", &lab.config_path(&b).to_string_lossy()]);
    assert!(String::from_utf8_lossy(&table.stdout).contains(first), "{table:?}");

    // One more is chosen: published by a renewal of the same session.
    a.add_address(PRIVATE_LINK, net(second));
    let later = wait_shown(&b, json!([first, second]));
    assert_eq!(later["peers"][0]["session"], shown["peers"][0]["session"]);
    assert_eq!(later["vips"][0]["epoch"], shown["vips"][0]["epoch"]);
    for agent in &mut agents {
        assert!(agent.stop(SOON).success());
    }
}

#[test]
fn http_is_served_in_the_subnets_that_are_asked_for_and_follows_the_choice() {
    let lab = Lab::new("source-http");
    let host = lab.host("a");
    let net = |ip: &str| -> IpNet { format!("{ip}/24").parse().unwrap() };
    let [first, second] = ["10.88.0.77", "10.88.0.78"];
    host.add_address(PRIVATE_LINK, net(first));
    let more = format!("http: {{listenSubnets: [{first}, {second}]}}");
    let mut agent = lab.agent(&host, &config(&["http://127.0.0.1:2379".to_owned()], &more));
    let serves = |ip: &str| healthz(&host, ip).is_some_and(|answer| answer.starts_with("HTTP/1.1"));
    wait_for("HTTP on the chosen address", SOON, || serves(first).then_some(()));
    assert!(serves("127.0.0.1"), "as ever");
    let own = host.address(PRIVATE_LINK).to_string();
    assert_eq!(healthz(&host, &own), None, "nobody asked for {own}");
    host.add_address(PRIVATE_LINK, net(second));
    wait_for("HTTP on the next", SOON, || serves(second).then_some(()));
    host.remove_address(PRIVATE_LINK, net(first));
    wait_for("the first to be given up", LOST, || {
        let metrics = healthz(&host, second)?;
        let choice = host.run(|| fs::read_to_string("/run/mantle/mantle-http.env").ok())?;
        (metrics.starts_with("HTTP/1.1") && !choice.contains(first)).then_some(())
    });
    host.add_address(PRIVATE_LINK, net(first));
    assert!(agent.stop(SOON).success());
}

#[test]
fn an_owner_speaks_to_etcd_from_the_chosen_address_and_never_from_its_vip() {
    let lab = Lab::new("source");
    let etcd = lab.etcd(1, EtcdOptions::default());
    let host = lab.host("a");
    let (own, vip): (IpAddr, IpAddr) = (host.address(PRIVATE_LINK), VIP.parse().unwrap());
    let plain = config(&etcd.endpoints(), "");
    let mut agent = lab.agent(&host, &plain);
    wait_status(&lab, &host, "an owner", SOON, is_owner);

    // Somebody's route would have the kernel take the VIP.
    let member = etcd.endpoints()[0].trim_start_matches("http://").trim_end_matches(":2379").to_owned();
    let mut route = Command::new("ip");
    route.args(["route", "add", &member, "dev", PRIVATE_LINK, "src", VIP]);
    assert!(host.output(route, SOON).status.success(), "the VIP is there");
    let traffic = Traffic::start(lab.private());
    replace(&lab, &host, &mut agent, &plain);
    wait_for("a connection from the host's own address", SOON, || {
        traffic.clients_of(CLIENTS).contains(&own).then_some(())
    });
    watch_for(Duration::from_secs(1));
    assert!(!traffic.clients_of(CLIENTS).contains(&vip), "{:?}", traffic.clients_of(CLIENTS));

    // Chosen, first by first.
    let [first, second] = ["10.88.0.77", "10.88.0.78"];
    let net = |ip: &str| -> IpNet { format!("{ip}/24").parse().unwrap() };
    let chosen =
        config(&etcd.endpoints(), &format!("addresses: {{mantle: {{validSubnets: [{first}, {second}]}}}}"));
    replace(&lab, &host, &mut agent, &chosen);
    let status = lab.status(&host).unwrap();
    assert_eq!(status["etcd"]["endpoints"][0]["source"], own.to_string(), "nothing is chosen: not the VIP");
    let (session, epoch) = (status["session"]["id"].clone(), status["vips"][0]["epoch"].clone());
    host.add_address(PRIVATE_LINK, net(first));
    host.add_address(PRIVATE_LINK, net(second));
    let status = wait_source(&lab, &host, first, SOON * 2);
    assert_eq!((&status["session"]["id"], &status["vips"][0]["epoch"]), (&session, &epoch), "nothing waited");
    assert!(is_owner(&status));
    wait_for("it to be seen", SOON, || {
        traffic.clients_of(CLIENTS).contains(&first.parse().unwrap()).then_some(())
    });

    // What was chosen is chosen from the start of the next agent.
    agent.kill9();
    // The kernel closes what was left open.
    watch_for(Duration::from_millis(300));
    let after = Traffic::start(lab.private());
    agent = lab.agent(&host, &chosen);
    wait_status(&lab, &host, "an owner", SOON, is_owner);
    wait_source(&lab, &host, first, SOON);
    assert!(!after.clients_of(CLIENTS).contains(&own), "{:?}", after.clients_of(CLIENTS));

    // Lost: in the meantime the agent goes on from where it can, then from the next choice.
    host.remove_address(PRIVATE_LINK, net(first));
    wait_source(&lab, &host, second, LOST);
    wait_status(&lab, &host, "an owner", SOON, is_owner);
    assert!(!traffic.clients_of(CLIENTS).contains(&vip), "{:?}", traffic.clients_of(CLIENTS));
    assert!(agent.stop(SOON).success());
}
