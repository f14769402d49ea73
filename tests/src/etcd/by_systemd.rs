//! A member that systemd itself starts, with a drop-in of ours.

use std::path::Path;

use super::EtcdVersion;
use crate::binaries;
use crate::host::Host;
use crate::systemd::{Systemd, Unit};

/// Starts a host's systemd, and by it a member of the name `name` with this drop-in; the agent's program that the drop-in names, and
/// the config, are put in place of those of a machine that has Mantle installed.
pub fn member_by_systemd(host: &Host, name: &str, drop_in: &str, config: &Path) -> Systemd {
    let text = format!(
        "[Service]\nType=notify\nEnvironment=ETCD_NAME={name}\nEnvironment=ETCD_DATA_DIR=/run/etcd\nExecStart=/usr/bin/etcd\n"
    );
    let unit = Unit::new("etcd.service", &text)
        .with_drop_in(drop_in)
        .with_file("/usr/bin/etcd", &binaries::etcd(EtcdVersion::V34))
        .with_file("/usr/bin/mantle", &binaries::mantle())
        .with_file("/etc/mantle", config);
    Systemd::start(host, &unit)
}
