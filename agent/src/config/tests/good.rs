//! What is read from good configs.

use std::path::Path;
use std::time::Duration;

use super::super::{Announce, Etcd, Guardian, Handoff, Http, Mode};
use super::{VIP, mantle, read, vips, warnings};
use mantle_protocol::Timing;

#[test]
fn one_vip_is_enough() {
    let config = read(VIP).unwrap();
    assert_eq!(vips(&config), ["192.168.0.15 enp0s2 3:7"]);
    assert_eq!(config.cluster, "default");
    assert_eq!(config.node.as_str(), "cp-1");
    assert_eq!(config.key_prefix(), "/mantle/default/");
    assert_eq!(config.etcd, Etcd::default());
    assert_eq!(config.timing, Timing::DEFAULT);
    assert_eq!(config.dataplane.mode, Mode::Auto);
    assert_eq!(config.announce, Announce::default());
    assert_eq!(config.handoff, Handoff { drain: Duration::from_secs(10), preempt: None });
    assert_eq!(config.http.listen.unwrap().to_string(), "127.0.0.1:9480");
    assert_eq!(config.runtime_dir, Path::new("/run/mantle"));
    assert_eq!(config.priority, 100);
    assert_eq!(config.guardian, Guardian { grace: Some(Duration::from_millis(300)) });
    assert_eq!(warnings(&config), [""; 0]);
}

#[test]
fn everything_can_be_said() {
    let config = read(&mantle(
        r#"
cluster: 1.10
node: db-2
etcd:
  endpoints: ["http://10.0.0.1:2379/", "http://[fd00::2]:2379"]
  prefix: /ha/mantle
timing: {renew: 100ms, lease: 0.5s, silence: 650ms}
dataplane: {mode: off}
announce:
  burst: [0s, 50ms, 1s]
  refresh: 30s
handoff: {drain: 0s, preempt: 30s}
http: {listen: "[::]:9480"}
runtimeDir: /run/mantle-2
priority: 7
guardian: {grace: off}
"#,
    ))
    .unwrap();
    assert_eq!(config.cluster, "1.10", "a number's spelling is kept");
    assert_eq!(config.node.as_str(), "db-2");
    assert_eq!(config.key_prefix(), "/ha/mantle/1.10/");
    assert_eq!(config.etcd.endpoints, ["http://10.0.0.1:2379", "http://[fd00::2]:2379"]);
    assert_eq!(config.timing, Timing::FAST);
    assert_eq!(config.dataplane.mode, Mode::Off, "off is a mode, not a boolean");
    assert_eq!(config.announce.burst, [0, 50, 1000].map(Duration::from_millis));
    assert_eq!(config.announce.refresh, Duration::from_secs(30));
    assert_eq!(config.handoff, Handoff { drain: Duration::ZERO, preempt: Some(Duration::from_secs(30)) });
    assert_eq!(config.http.listen.unwrap().to_string(), "[::]:9480");
    assert_eq!(config.runtime_dir, Path::new("/run/mantle-2"));
    assert_eq!(config.priority, 7);
    assert_eq!(config.guardian.grace, None);
}

#[test]
fn the_defaults_can_be_written_out() {
    let config = read(&mantle(
        r#"
cluster: default
etcd: {endpoints: ["http://127.0.0.1:2379"], prefix: /mantle}
timing: default
dataplane: {mode: auto}
announce: {}
handoff: {drain: 10s, preempt: false}
http: {listen: "127.0.0.1:9480"}
runtimeDir: /run/mantle
guardian: {grace: 300ms}
node:
"#,
    ))
    .unwrap();
    assert_eq!(config.etcd, Etcd::default());
    assert_eq!(config.announce, Announce::default());
    assert_eq!(config.http, Http::default());
    assert_eq!(config.node.as_str(), "cp-1", "a key without a value is as good as none");
}

#[test]
fn every_preset_and_every_mode_has_its_name() {
    for (name, timing) in [
        ("default", Timing::DEFAULT),
        ("steady", Timing::STEADY),
        ("fast", Timing::FAST),
        ("fastest", Timing::FASTEST),
    ] {
        assert_eq!(read(&mantle(&format!("timing: {name}"))).unwrap().timing, timing);
    }
    for (name, mode) in
        [("auto", Mode::Auto), ("xdp", Mode::Xdp), ("tc", Mode::Tc), ("raw", Mode::Raw), ("off", Mode::Off)]
    {
        assert_eq!(read(&mantle(&format!("dataplane: {{mode: {name}}}"))).unwrap().dataplane.mode, mode);
    }
    assert_eq!(read(&mantle("http: {listen: off}")).unwrap().http.listen, None);
}

/// The documented example of Talos, and the file its own tests read.
#[test]
fn talos_layer2_vip_configs_are_read_as_they_are() {
    let documented = "\
apiVersion: v1alpha1
kind: Layer2VIPConfig
name: 10.3.0.1 # IP address to be advertised as a Layer 2 VIP.
link: enp0s2 # Name of the link to assign the VIP to.
";
    assert_eq!(vips(&read(documented).unwrap()), ["10.3.0.1 enp0s2 3:7"]);
    let tested = "apiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 1.2.3.4\nlink: net0\n";
    assert_eq!(vips(&read(tested).unwrap()), ["1.2.3.4 net0 3:7"]);
    let quoted = "{apiVersion: v1alpha1, kind: Layer2VIPConfig, name: \"fd00::1\", link: 'vlan.5'}";
    assert_eq!(vips(&read(quoted).unwrap()), ["fd00::1 vlan.5 1:53"]);
}

/// After the reference of Talos's machine config, with VIPs where they can be, and other kinds after it.
#[test]
fn a_talos_machine_config_is_read_as_it_is() {
    let config = read(
        r#"# Indicates the schema used to decode the contents.
version: v1alpha1
debug: false
persist: true
machine:
    type: controlplane
    token: 328hom.uqjzh6jnn2eie9oi
    ca: {crt: LS0tIEVYQU1QTEU=, key: LS0tIEVYQU1QTEU=}
    files:
        - content: |
            kind: NotADocument
            vip: {ip: nonsense}
          permissions: 0o666
          path: /tmp/file.txt
          op: append
    network:
        hostname: worker-1
        interfaces:
            - interface: enp0s1
              addresses:
                - 192.168.2.0/24
              routes:
                - network: 0.0.0.0/0
                  gateway: 192.168.2.1
                  metric: 1024
              mtu: 1500
              # layer2 vip example
              vip:
                ip: 172.16.199.55
              vlans:
                - vlanId: 100
                  addresses: ["10.1.0.2/24"]
                  vip:
                    ip: 10.1.0.15
                - vlanId: 200
            - interface: eth9
              ignore: true
              vip: {ip: 172.16.199.56}
            - deviceSelector:
                busPath: 00:*
            - interface: bond0
              vip: {ip: "fd00::15", hcloud: {apiToken: secret}}
        nameservers: [9.8.7.6, 8.7.6.5]
cluster:
    controlPlane:
        endpoint: https://172.16.199.55:6443
---
apiVersion: v1alpha1
kind: HostnameConfig
hostname: worker-1
---
apiVersion: v1alpha1
kind: HCloudVIPConfig
name: fd00::16
link: eth0
"#,
    )
    .unwrap();
    assert_eq!(
        vips(&config),
        ["172.16.199.55 enp0s1 29:21", "10.1.0.15 enp0s1.100 34:25", "fd00::15 bond0 42:25"]
    );
    assert_eq!(
        warnings(&config),
        [
            "t.yaml:42:45: hcloud is not done by Mantle: the VIP is announced on the link only",
            "t.yaml:53:7: HCloudVIPConfig is not done by Mantle and is left alone; write a Layer2VIPConfig for a VIP on \
             a link",
        ]
    );
}

/// Talos's `testdata/strategic/003/right.yaml`: a patch has no version.
#[test]
fn a_talos_patch_is_read_as_it_is() {
    let config = read(
        r#"machine:
  network:
    interfaces:
      - interface: eth1
        addresses:
          - "192.168.0.1/24"
      - interface: eth0
        vip:
          ip: 10.3.5.7
      - deviceSelector:
          driver: macvtap
        routes:
          - network: 10.3.4.0/24
            gateway: 10.3.4.1
"#,
    )
    .unwrap();
    assert_eq!(vips(&config), ["10.3.5.7 eth0 9:15"]);
}

#[test]
fn aliases_and_merges_are_understood_and_errors_point_at_their_use() {
    let text = "\
x: &where {link: eth0}
machine:
  network:
    interfaces:
      - {interface: &nic eth1, vip: {ip: 10.0.0.1}}
      - {interface: *nic, vip: {ip: 10.0.0.2}}
";
    assert_eq!(vips(&read(text).unwrap()), ["10.0.0.1 eth1 5:42", "10.0.0.2 eth1 6:37"]);
    let bad = "machine: {network: {interfaces: [{interface: a, x: &ip 10.0.0.300,\n vip: {ip: *ip}}]}}";
    assert!(read(bad).unwrap_err().to_string().starts_with("t.yaml:2:12: \"10.0.0.300\" is no IP"));
}

#[test]
fn doubts_are_warnings() {
    for (text, expected) in [
        (
            "apiVersion: mantle/v1alpha1\nkind: MantleConfig\n".to_owned(),
            "t.yaml: no VIP in the config: this node will have nothing to do; write a Layer2VIPConfig",
        ),
        (
            mantle("etcd: {endpoints: [\"http://192.168.0.15:2379\"]}"),
            "t.yaml:8:20: endpoint 192.168.0.15 is a VIP of this config: without an owner etcd is not reached there, and \
             without etcd there is no owner; write the members' own addresses",
        ),
    ] {
        assert_eq!(warnings(&read(&text).unwrap()), [expected]);
    }
}
