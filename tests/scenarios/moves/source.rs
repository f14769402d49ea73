//! Where an agent's connections to etcd come from: never from a VIP, and from what is chosen for them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use ipnet::IpNet;
use mantle_tests::clock::wait_for;
use mantle_tests::etcd::EtcdOptions;
use mantle_tests::lab::PRIVATE_LINK;
use mantle_tests::stage::SOON;
use mantle_tests::tap::Traffic;
use mantle_tests::{Host, Lab, Process};
use serde_json::Value;

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
        let choice = host.run(|| std::fs::read_to_string("/run/mantle/mantle-http.env").ok())?;
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
