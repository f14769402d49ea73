//! What is said about bad configs, word for word.

use super::{BODY, VIP, mantle, read};

/// Each text is refused with exactly these lines.
fn refused(cases: &[(&str, &[&str])]) {
    for (text, lines) in cases {
        let errors = read(text).err().map(|errors| errors.to_string()).unwrap_or_default();
        assert_eq!(errors.lines().collect::<Vec<_>>(), *lines, "\n{text}");
    }
}

/// Each body of a `MantleConfig` is refused with exactly these `line:column: what`, lines counted from the body.
fn mantle_refused(cases: &[(&str, &[&str])]) {
    for (body, lines) in cases {
        let errors = read(&mantle(body)).err().map(|errors| errors.to_string()).unwrap_or_default();
        let place = |line: &str| {
            let (number, rest) = line.strip_prefix("t.yaml:")?.split_once(':')?;
            Some(format!("{}:{rest}", number.parse::<usize>().ok()? + 1 - BODY))
        };
        let found: Vec<_> = errors.lines().map(|line| place(line).unwrap_or(line.to_owned())).collect();
        assert_eq!(found, *lines, "\n{body}");
    }
}

#[test]
fn what_is_no_document() {
    refused(&[
        ("", &["t.yaml: no document in it; write at least one of kind Layer2VIPConfig"]),
        ("---\n# nothing\n...\n", &["t.yaml: no document in it; write at least one of kind Layer2VIPConfig"]),
        (
            "just text",
            &[
                "t.yaml:1:1: found a single value where a document should be; write keys and values, such as kind: Layer2VIPConfig",
            ],
        ),
        (
            "- kind: Layer2VIPConfig",
            &[
                "t.yaml:1:1: found a list where a document should be; write keys and values, such as kind: Layer2VIPConfig",
            ],
        ),
        ("name: 1.2.3.4", &["t.yaml:1:1: no kind; write kind: MantleConfig or kind: Layer2VIPConfig"]),
        (
            "apiVersion: mantle/v1alpha1\ncluster: blue\ntiming: fast\n",
            &["t.yaml:1:1: no kind; write kind: MantleConfig or kind: Layer2VIPConfig"],
        ),
        (
            "cluster: blue\ntiming: fast\n",
            &["t.yaml:1:1: no kind; write kind: MantleConfig or kind: Layer2VIPConfig"],
        ),
        ("kind: [MantleConfig]", &["t.yaml:1:7: found a list; write one value for kind"]),
        ("kind: Layer2VipConfig", &[r#"t.yaml:1:7: unknown kind "Layer2VipConfig"; write Layer2VIPConfig"#]),
        ("kind: HostNameConfig", &[r#"t.yaml:1:7: unknown kind "HostNameConfig"; write HostnameConfig"#]),
        (
            "apiVersion: v1\nkind: ConfigMap",
            &[
                r#"t.yaml:2:7: unknown kind "ConfigMap"; write MantleConfig or Layer2VIPConfig, or take the document away"#,
            ],
        ),
    ]);
}

#[test]
fn what_is_not_yaml() {
    refused(&[
        (
            "kind: Layer2VIPConfig\n  name: x\n",
            &[
                "t.yaml:2:7: not YAML: mapping values are not allowed in this context; check the indentation, quotes, colons and brackets around here",
            ],
        ),
        (
            "kind: Layer2VIPConfig\nkind: MantleConfig\n",
            &[r#"t.yaml:2:1: key "kind" stands twice in one mapping; keep one of the two"#],
        ),
        (
            "machine: {a: 1, ? [x] : 2}",
            &["t.yaml:1:19: a key that is itself a list or a mapping; write a name"],
        ),
    ]);
}

#[test]
fn a_broken_document_hides_no_other() {
    refused(&[(
        "kind: {\n---\nkind: Nothing\n---\nname: [\n---\nkind: Something\n",
        &[
            "t.yaml:1:7: not YAML: unclosed bracket '{'; check the indentation, quotes, colons and brackets around here",
            r#"t.yaml:3:7: unknown kind "Nothing"; write MantleConfig or Layer2VIPConfig, or take the document away"#,
            "t.yaml:5:7: not YAML: unclosed bracket '['; check the indentation, quotes, colons and brackets around here",
            r#"t.yaml:7:7: unknown kind "Something"; write MantleConfig or Layer2VIPConfig, or take the document away"#,
        ],
    )]);
}

#[test]
fn bad_layer2_vip_configs() {
    refused(&[
        (
            "kind: Layer2VIPConfig",
            &[
                "t.yaml:1:1: no apiVersion; write apiVersion: v1alpha1",
                "t.yaml:1:1: no name in Layer2VIPConfig; write name: 192.168.0.15",
                "t.yaml:1:1: no link in Layer2VIPConfig; write link: eth0",
            ],
        ),
        (
            "apiVersion: mantle/v1alpha1\nkind: Layer2VIPConfig\nname: 192.168.0.15/24\nlink: a b\nlinc: x\nmtu: 1500\n",
            &[
                r#"t.yaml:1:13: apiVersion "mantle/v1alpha1" is not known for Layer2VIPConfig; write apiVersion: v1alpha1"#,
                r#"t.yaml:3:7: "192.168.0.15/24" has a prefix length, a VIP has none; write 192.168.0.15"#,
                r#"t.yaml:4:7: "a b" is no link name; write the name of a link, such as eth0"#,
                r#"t.yaml:5:1: unknown key "linc" in Layer2VIPConfig; write link"#,
                r#"t.yaml:6:1: unknown key "mtu" in Layer2VIPConfig; take it away, known are apiVersion, kind, name, link"#,
            ],
        ),
        (
            "apiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 1.5\nlink: {name: eth0}\n",
            &[
                r#"t.yaml:3:7: "1.5" is no IP address; write one such as 192.168.0.15 or fd00::15"#,
                "t.yaml:4:7: found a mapping; write one value for link",
            ],
        ),
        (
            &format!("{VIP}---\n{VIP}"),
            &[
                "t.yaml:8:7: VIP 192.168.0.15 stands here for the second time, the first is at t.yaml:3:7; take one away",
            ],
        ),
    ]);
}

#[test]
fn bad_machine_configs() {
    refused(&[
        (
            "machine:\n  network:\n    interfaces:\n      - vip: {ip: 10.0.0.1}\n      - deviceSelector: {driver: virtio}\n        vip: {ip: 10.0.0.2}\n",
            &[
                "t.yaml:4:19: VIP 10.0.0.1 is on an interface without a name; write interface: with the link's name",
                "t.yaml:6:19: VIP 10.0.0.2 is on a link chosen by deviceSelector, which Mantle cannot resolve; write interface: with the link's name",
            ],
        ),
        (
            "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        vip: {ip: 127.0.0.1}\n        vlans:\n          - vip: {ip: 10.0.0.1}\n          - {vlanId: 4095, vip: {}}\n      - nonsense\n",
            &[
                "t.yaml:5:19: 127.0.0.1 is a loopback address, which no other machine can reach; write an address of the link's network",
                "t.yaml:7:13: no vlanId in vlans; write vlanId: 100",
                r#"t.yaml:8:22: "4095" is no VLAN id; write a number from 1 to 4094"#,
                "t.yaml:8:33: no ip in vip; write ip: 192.168.0.15",
                r#"t.yaml:9:9: found "nonsense"; write keys and values of interfaces, indented below it"#,
            ],
        ),
        (
            "machine: {network: {interfaces: {eth0: {}}}}",
            &["t.yaml:1:33: found a mapping; write a list below interfaces, each item after a dash"],
        ),
        ("machine: 5", &[r#"t.yaml:1:10: found "5"; write keys and values of machine, indented below it"#]),
    ]);
}

#[test]
fn bad_mantle_configs() {
    mantle_refused(&[
        (
            "clutser: blue\nmood: {}\n",
            &[
                r#"1:1: unknown key "clutser" in MantleConfig; write cluster"#,
                r#"2:1: unknown key "mood" in MantleConfig; take it away, known are apiVersion, kind, cluster, node, etcd, timing, dataplane, announce, handoff, health, http, runtimeDir, stateDir, addresses, replies, priority, guardian"#,
            ],
        ),
        (
            "cluster: a/b\nnode: \"\"\npriority: -1\nruntimeDir: run\n",
            &[
                r#"1:10: "a/b" is no cluster name; write 1 to 253 letters, digits, '-', '_' or '.'"#,
                r#"2:7: "" is no node name; write 1 to 253 letters, digits, '-', '_' or '.'"#,
                r#"3:11: "-1" is no priority; write a number such as 100, higher goes first"#,
                r#"4:13: "run" is no runtime directory; write an absolute path such as /run/mantle"#,
            ],
        ),
        (
            "cluster: ..",
            &[r#"1:10: ".." is no cluster name; write 1 to 253 letters, digits, '-', '_' or '.'"#],
        ),
        (
            "dataplane: {mode: xpd}\nhttp: {listen: 9480}\nhandoff: {drain: 2h}\n",
            &[
                r#"1:19: "xpd" is no dataplane mode; write xdp"#,
                r#"2:16: "9480" is no address to listen on; write one such as 127.0.0.1:9480 or "[::]:9480", or off"#,
                r#"3:18: "2h" is out of range for drain; write 0s to 1h"#,
            ],
        ),
        ("guardian: {grace: 11s}", &[r#"1:19: "11s" is out of range for grace; write 0s to 10s"#]),
        (
            "dataplane: ebpf\n",
            &[r#"1:12: found "ebpf"; write keys and values of dataplane, indented below it"#],
        ),
        (
            "announce:\n  burst: [0s, 300ms, 100ms, 5]\n  refresh: 10\n",
            &[
                r#"2:22: burst is not in ascending order: "100ms" comes after 300ms; write offsets such as [0s, 100ms, 300ms]"#,
                r#"2:29: "5" has no unit; write 5ms or 5s"#,
                r#"3:12: "10" has no unit; write 10ms or 10s"#,
            ],
        ),
        ("announce: {burst: []}", &["1:19: found an empty list; write at least one offset, such as [0s]"]),
        (
            "announce: {burst: 100ms}",
            &[r#"1:19: found "100ms"; write a list below burst, each item after a dash"#],
        ),
        (
            &format!("runtimeDir: /{}\n", "x".repeat(100)),
            &[
                "1:13: runtimeDir is too long for the socket in it: at most 95 bytes; write a shorter path such as /run/mantle",
            ],
        ),
        (
            "---\napiVersion: mantle/v1alpha1\nkind: MantleConfig\n",
            &["2:1: a second MantleConfig, the first is at t.yaml:6:1; keep one of the two"],
        ),
    ]);
}

#[test]
fn bad_timings() {
    mantle_refused(&[
        (
            "timing: quick\n",
            &[
                r#"1:9: "quick" is no timing; write default, steady, fast, fastest or {renew, lease, silence}"#,
            ],
        ),
        ("timing: steadi\n", &[r#"1:9: "steadi" is no timing; write steady"#]),
        (
            "timing: {renew: 200ms, lease: 1s, silence: 1s}\n",
            &[
                "1:9: silence 1s is unsafe with lease 1s: it must be at least 1.25 × 1s + 25ms = 1.275s, or two nodes could answer at once; write default, steady, fast, fastest or a timing that keeps this",
            ],
        ),
        (
            "timing:\n  renew: 200ms\n  leese: 1s\n  silence: 1.3\n",
            &[
                "2:3: no lease in timing; write lease: 1s",
                r#"3:3: unknown key "leese" in timing; write lease"#,
                r#"4:12: "1.3" has no unit; write 1.3ms or 1.3s"#,
            ],
        ),
    ]);
}

#[test]
fn bad_etcd_sections() {
    mantle_refused(&[
        (
            "etcd: {endpoints: [\"10.0.0.1:2379\", http://10.0.0.1, \"http://a:1\", \"http://a:1/\"], prefix: mantle/}\n",
            &[
                r#"1:20: endpoint "10.0.0.1:2379" does not begin with http:// or https://; write http://10.0.0.1:2379 or the like"#,
                r#"1:37: endpoint "http://10.0.0.1" names no port; write it after the host, as in http://10.0.0.1:2379"#,
                r#"1:68: endpoint "http://a:1" stands here twice; take one away"#,
                r#"1:92: "mantle/" is no prefix; write one such as /mantle, with a slash before each level and none at the end"#,
            ],
        ),
        (
            "etcd: {endpoints: [\"https://a:1\"]}\n",
            &[
                r#"1:20: endpoint "https://a:1" is encrypted, but nothing says whom to trust; write caFile: the file of etcd's CA"#,
            ],
        ),
        (
            "etcd: {caFile: Cargo.toml, certFile: Cargo.toml}\n",
            &[
                r#"1:16: endpoint "http://127.0.0.1:2379" is not encrypted, though caFile is set; write https:// or take caFile away"#,
                "1:38: certFile without keyFile; write both or neither",
            ],
        ),
        (
            "etcd: {endpoints: [\"https://a:1\", \"http://b:1\"], caFile: Cargo.toml}\n",
            &[
                r#"1:35: endpoint "http://b:1" is not encrypted, though caFile is set; write https:// or take caFile away"#,
            ],
        ),
        ("etcd: {username: root}\n", &["1:18: username without passwordFile; write both or neither"]),
        (
            "etcd: {username: \"\", passwordFile: no-such-file}\n",
            &[
                r#"1:18: "" is no username; write the user's name or take the key away"#,
                r#"1:36: passwordFile "no-such-file" cannot be read: No such file or directory (os error 2); write the path of a file that the agent may read"#,
            ],
        ),
        (
            "etcd: {caFile: src, endpoints: [\"https://a:1\"]}\n",
            &[
                r#"1:16: caFile "src" cannot be read: not a file; write the path of a file that the agent may read"#,
            ],
        ),
        (
            "etcd: {password: secret}\n",
            &[
                r#"1:8: unknown key "password" in etcd; take it away, known are endpoints, prefix, caFile, certFile, keyFile, username, passwordFile"#,
            ],
        ),
    ]);
}

#[test]
fn bombs_end_in_an_error() {
    let laughs = (1..20).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        text + &format!("a{n}: &a{n} [{aliases}]\n")
    });
    let deep = "[".repeat(100_000);
    let deep_block = (0..200).fold(String::new(), |text, n| text + &" ".repeat(n) + "a:\n");
    let wide = format!("machine: [{}]", "x,".repeat(1_000_000));
    let anchors = (0..5_000).fold(String::new(), |text, n| text + &format!("a{n}: &a{n} x\n"));
    for text in [laughs, deep, deep_block, wide, anchors] {
        let errors = read(&text).unwrap_err().to_string();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.ends_with("a config is small and flat, write it out plainly"), "{errors}");
    }
    let documents = "--- {}\n".repeat(10_000);
    assert_eq!(
        read(&documents).unwrap_err().to_string(),
        "t.yaml: more than 8192 documents in one file; name the right file"
    );
}

#[test]
fn a_host_name_that_cannot_be_a_nodes_asks_for_one() {
    use super::super::assemble::{Draft, take_in};
    use super::super::report::Report;
    let (mut report, mut draft) = (Report::default(), Draft::default());
    take_in(VIP, &mut draft, &mut report);
    let errors = draft.finish(report, "my host").unwrap_err().to_string();
    assert_eq!(
        errors,
        r#": no node name: the host name "my host" cannot be one; write node: NAME in a MantleConfig"#
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn any_mangled_config_is_read_or_refused(at in 0_usize..400, cut in 0_usize..20, put in "[-:{}\\[\\]&*#\n \"']{0,3}") {
        let whole = mantle("cluster: a\netcd: {endpoints: [\"http://a:1\"]}\ntiming: {renew: 1s, lease: 2s, silence: 4s}\nannounce: {burst: [0s]}\n");
        let at = at.min(whole.len());
        let end = (at + cut).min(whole.len());
        let text = format!("{}{put}{}", &whole[..at], &whole[end..]);
        if let Err(errors) = read(&text) {
            let lines = text.lines().count() + 1;
            for error in errors.iter() {
                let within = error.origin.position.is_none_or(|position| (1..=lines).contains(&position.line));
                proptest::prop_assert!(within, "{error}");
                proptest::prop_assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}

#[test]
fn replies_that_cannot_leave_by_their_link() {
    mantle_refused(&[
        (
            "replies: {eth9: {}}",
            &["1:11: no VIP of this config is on link eth9; write a link as a VIP's document names it"],
        ),
        (
            "replies:\n  enp0s2: {gateways: [10.0.0.1, fe80::1, 10.0.0.2, here, 0.0.0.0]}",
            &[
                "2:42: 10.0.0.2 is a second gateway of its family, the first is 10.0.0.1; keep one of the two",
                r#"2:52: "here" is no gateway; write the address of a router on the link, such as 192.168.0.1 or fe80::1"#,
                r#"2:58: "0.0.0.0" is no gateway; write the address of a router on the link, such as 192.168.0.1 or fe80::1"#,
            ],
        ),
        (
            "replies: {enp0s2: {gateway: 10.0.0.1}}",
            &[r#"1:20: unknown key "gateway" in replies; write gateways"#],
        ),
        ("replies: [enp0s2]", &["1:10: found a list; write keys and values of replies, indented below it"]),
    ]);
}

#[test]
fn subnets_to_serve_http_in() {
    mantle_refused(&[
        (
            "http: {listen: \"0.0.0.0:9480\", listenSubnets: [10.0.0.0/8]}",
            &[
                "1:47: 0.0.0.0:9480 is everywhere already; take listenSubnets away, or let listen be 127.0.0.1 and its port",
            ],
        ),
        (
            "http: {listen: off, listenSubnets: [10.0.0.0/8]}",
            &["1:36: listen is off, and has no port for these subnets; write listen: 127.0.0.1:9480"],
        ),
        (
            "http: {listenSubnets: [10.0.0.0/33]}",
            &[
                r#"1:24: "10.0.0.0/33" is no subnet; write one such as 10.0.0.0/8, fd00::/8 or 10.0.0.5, or "!10.0.0.5" to take away, in quotes"#,
            ],
        ),
    ]);
}
