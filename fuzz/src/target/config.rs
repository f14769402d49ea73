//! Config documents: whatever stands in the file, there is a config that can be run or errors that a person can read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process;
use std::sync::LazyLock;

use mantle::config;

pub(super) const WORDS: &[&[u8]] = &[
    b"---\n",
    b"\napiVersion: mantle/v1alpha1\nkind: MantleConfig\n",
    b"\napiVersion: v1alpha1\nkind: Layer2VIPConfig\n",
    b"name: 192.168.0.15\n",
    b"name: \"fd00::15\"\n",
    b"link: eth0\n",
    b"etcd: {",
    b"endpoints: [",
    b"\"http://127.0.0.1:2379\"",
    b"\"https://[fd00::1]:2379\"",
    b"timing: ",
    b"{renew: 200ms, lease: 1s, silence: 1300ms}",
    b"18446744073709551616s",
    b"machine:\n  network:\n    interfaces:\n      - interface: eth0\n        vip: {ip: 192.168.0.15}\n",
    b"vlans:\n",
    b"announce: {burst: [0s, 1s], refresh: 10s}\n",
    b"&a [*a, *a]",
    b"<<: *a",
    b"!!binary ",
    b"\xef\xbb\xbf",
    b"|\n  ",
];

/// The file is kept open: its name in `/proc` is one that no other fuzzer's run has.
static FILE: LazyLock<(File, PathBuf)> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("mantle-fuzz-{}.yaml", process::id()));
    let file = File::create(&path).expect("a file can be made in the directory for such");
    fs::remove_file(&path).expect("a file that was just made can be taken away");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    (file, path)
});

pub(super) fn run(input: &[u8]) {
    let (_, path) = &*FILE;
    fs::write(path, input).expect("a file of this process's own can be written");
    match config::load(path) {
        Ok(config) => {
            assert_eq!(config.timing.check(), Ok(config.timing), "a timing that breaks the rule");
            let vips: BTreeSet<_> = config.vips.iter().map(|vip| vip.ip).collect();
            assert_eq!(vips.len(), config.vips.len(), "one VIP twice");
            assert!(
                !config.vips.is_empty() || !config.addresses.is_silent() || !config.warnings.is_empty(),
                "nothing to do, and nothing said"
            );
            assert!(!config.etcd.endpoints.is_empty(), "no way to etcd");
            assert!(config.key_prefix().starts_with('/') && config.key_prefix().ends_with('/'));
            for warning in &config.warnings {
                assert!(!warning.to_string().is_empty());
            }
        }
        Err(errors) => assert!(!errors.to_string().trim().is_empty(), "an error without words"),
    }
}
