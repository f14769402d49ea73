//! A member that is told by an environment file where to listen and what to advertise, as systemd would tell it.

use std::path::Path;
use std::process::Command;

use super::EtcdVersion;
use crate::binaries;
use crate::host::Host;
use crate::process::Process;

/// Starts a member of a new cluster on a host. What it says of addresses it has from `file`, a file of the host's; the
/// members of the cluster are `name=peer-url` each.
pub fn member_by_file(host: &Host, name: &str, file: &Path, members: &[String]) -> Process {
    let mut command = Command::new("sh");
    // Whoever runs the tests may have an ETCD_… of their own.
    command.env_clear().arg("-c").arg("set -ea; . \"$0\"; exec \"$@\"").arg(file);
    command.arg(binaries::etcd(EtcdVersion::V34));
    let cluster = members.join(",");
    for (flag, value) in
        [("name", name), ("data-dir", "/run/etcd"), ("initial-cluster", &cluster), ("logger", "zap")]
    {
        command.arg(format!("--{flag}={value}"));
    }
    host.spawn("etcd", command)
}
