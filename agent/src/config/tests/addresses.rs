//! Lists of subnets, as Talos and as a `MantleConfig` have them.

use super::{VIP, mantle, read, warnings};

const MACHINE: &str = "\
machine:
  kubelet:
    nodeIP:
      validSubnets: [192.168.0.0/16, '!192.168.0.9', fd00::/8]
cluster:
  etcd:
    advertisedSubnets:
      - 10.0.0.0/8
      - '!10.3.4.1'
    listenSubnets: [10.0.0.0/8]
";

fn shown<T: ToString>(subnets: Option<&T>) -> String {
    subnets.map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_machine_config_says_which_addresses_etcd_and_kubelet_use() {
    let config = read(MACHINE).unwrap();
    let wishes = &config.addresses;
    assert_eq!(shown(wishes.advertised.as_ref()), "[10.0.0.0/8, !10.3.4.1/32]");
    assert_eq!(shown(wishes.listen.as_ref()), "[10.0.0.0/8]");
    assert_eq!(shown(wishes.kubelet.as_ref()), "[192.168.0.0/16, !192.168.0.9/32, fd00::/8]");
    assert_eq!(warnings(&config), [""; 0], "no VIP is needed for that");
}

#[test]
fn a_mantle_config_says_the_same_and_names_more_consumers() {
    let config = read(&mantle(
        "etcd: {endpoints: [\"http://10.0.0.1:2379\"]}
stateDir: /srv/mantle
addresses:
  etcd:
    advertisedSubnets: [10.0.0.0/8]
    listenSubnets: []
    scheme: https
    onChange: [systemctl, try-restart, etcd.service]
  kubelet: {validSubnets: [fd00::1]}
  patroni: {validSubnets: [10.1.0.0/16, \"!10.1.0.9\"], onChange: /usr/local/bin/told}
  proxy:
",
    ))
    .unwrap();
    let wishes = &config.addresses;
    assert_eq!(config.state_dir.to_str(), Some("/srv/mantle"));
    assert_eq!(shown(wishes.advertised.as_ref()), "[10.0.0.0/8]");
    assert_eq!(wishes.listen, None, "an empty list is none");
    assert!(wishes.etcd_encrypted);
    assert_eq!(shown(wishes.kubelet.as_ref()), "[fd00::1/128]");
    let named: Vec<_> =
        wishes.named.iter().map(|(name, list)| format!("{name} {}", shown(list.as_ref()))).collect();
    assert_eq!(named, ["patroni [10.1.0.0/16, !10.1.0.9/32]", "proxy "]);
    assert_eq!(wishes.on_change["etcd"], ["systemctl", "try-restart", "etcd.service"]);
    assert_eq!(wishes.on_change["patroni"], ["/usr/local/bin/told"]);
    assert_eq!(wishes.on_change.len(), 2);
}

#[test]
fn without_a_word_there_are_the_defaults() {
    let config = read(VIP).unwrap();
    assert!(config.addresses.is_silent());
    assert_eq!(config.state_dir.to_str(), Some("/var/lib/mantle"));
}

#[test]
fn a_list_that_only_takes_away_is_doubtful() {
    let config = read("cluster:\n  etcd:\n    listenSubnets: ['!10.0.0.1']\n").unwrap();
    assert_eq!(
        warnings(&config),
        [
            "t.yaml:3:20: listenSubnets only takes away, and so lets no address in; begin it with what to take from, such as \
          0.0.0.0/0 or ::/0"
        ]
    );
}

#[test]
fn what_is_wrong_is_shown_at_its_place() {
    const SUBNET: &str = "is no subnet; write one such as 10.0.0.0/8, fd00::/8 or 10.0.0.5, or \"!10.0.0.5\" to take away, in quotes";
    let wrong =
        |text: &str| -> Vec<String> { read(text).expect_err(text).iter().map(ToString::to_string).collect() };
    assert_eq!(
        wrong(
            "cluster:\n  etcd:\n    advertisedSubnets:\n      - 10.0.0.0/33\n      - ten\n      - 10.0.0.0/8\n"
        ),
        [format!("t.yaml:4:9: \"10.0.0.0/33\" {SUBNET}"), format!("t.yaml:5:9: \"ten\" {SUBNET}")]
    );
    // Without quotes it is a tag to YAML.
    let tagged = wrong("machine:\n  kubelet:\n    nodeIP:\n      validSubnets:\n        - !10.0.0.1\n");
    assert!(tagged[0].starts_with("t.yaml:5:") && tagged[0].ends_with(SUBNET), "{tagged:?}");
    let both = format!(
        "{MACHINE}---\napiVersion: mantle/v1alpha1\nkind: MantleConfig\naddresses:\n  kubelet:\n    validSubnets: [10.0.0.0/8]\n"
    );
    assert_eq!(
        wrong(&both),
        [
            "t.yaml:16:19: the list of subnets for kubelet stands here for the second time, the first is at t.yaml:4:21; take \
          one away"
        ]
    );
    let ours = wrong(&mantle(
        "stateDir: here
addresses:
  Etcd: {}
  etcd: {validSubnets: [10.0.0.0/8], scheme: ftp}
  db: {onChange: []}
",
    ));
    let expected = [
        ("t.yaml:8:11: ", "\"here\" is no state directory; write an absolute path such as /var/lib/mantle"),
        ("t.yaml:10:3: ", "\"Etcd\" is no name of a consumer; write 1 to 63 lower-case letters"),
        (
            "t.yaml:11:10: ",
            "unknown key \"validSubnets\" in addresses; take it away, known are advertisedSubnets,",
        ),
        ("t.yaml:11:46: ", "\"ftp\" is no scheme; write"),
        ("t.yaml:12:18: ", "found an empty list; write a program and its arguments, such as"),
    ];
    assert_eq!(ours.len(), expected.len(), "{ours:#?}");
    for (error, (place, text)) in ours.iter().zip(expected) {
        assert!(error.starts_with(&format!("{place}{text}")), "{error}");
    }
}
