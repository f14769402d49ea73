//! A member that systemd itself starts, with a drop-in of ours: by a systemd of the host's own, which reads units, drop-ins and
//! environment files as a machine's would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use super::EtcdVersion;
use crate::binaries;
use crate::host::Host;
use crate::process::Process;

const SYSTEMD: &str = "/lib/systemd/systemd";
const CGROUPS: &str = "/sys/fs/cgroup";
const UNITS: &str = "/run/units";

/// A host's systemd and the member it runs; both are gone with this.
#[derive(Debug)]
pub struct MemberBySystemd {
    host: Host,
    systemd: Process,
    /// The control group that it keeps its own below.
    cgroup: PathBuf,
}

impl MemberBySystemd {
    /// Starts systemd on a host, as a user's instance in namespaces of its own, and by it a member of the name `name` with this drop-in;
    /// the agent's program that the drop-in names, and the config, are put in place of those of a machine that has Mantle installed.
    pub fn start(host: &Host, name: &str, drop_in: &str, config: &Path) -> Self {
        let unit = format!(
            "[Service]\nType=notify\nEnvironment=ETCD_NAME={name}\nEnvironment=ETCD_DATA_DIR=/run/etcd\nExecStart={}\n",
            plain(&binaries::etcd(EtcdVersion::V34))
        );
        let drop_in = drop_in
            .replace("/usr/bin/mantle", &plain(&binaries::mantle()))
            .replace("/etc/mantle", &plain(config));
        let cgroup = Path::new(CGROUPS).join(format!("mantle-lab-{}-{}", std::process::id(), host.name()));
        let made = cgroup.clone();
        host.run(move || {
            let units = Path::new(UNITS).join("systemd/user");
            // By the first of these a user's instance knows that the machine runs systemd.
            for directory in
                [Path::new("/run/systemd/system"), Path::new("/run/user"), &units.join("etcd.service.d")]
            {
                fs::create_dir_all(directory).expect("/run is the host's own");
            }
            fs::write(units.join("etcd.service"), unit).expect("/run is the host's own");
            fs::write(units.join("etcd.service.d/override.conf"), drop_in).expect("/run is the host's own");
            mount(Some("cgroup2"), CGROUPS, Some("cgroup2"), MsFlags::empty(), None::<&str>)
                .unwrap_or_else(|errno| panic!("cannot mount the control groups in the host: {errno}"));
            fs::create_dir(&made).unwrap_or_else(|error| panic!("cannot make {}: {error}", made.display()));
        });
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", "/run").env("XDG_RUNTIME_DIR", "/run/user").env("XDG_CONFIG_HOME", UNITS);
        command.env("SYSTEMD_LOG_TARGET", "console");
        // Not by exec: as process 1 of its namespace it would be nobody's instance.
        let within = format!(
            "umount -l {CGROUPS} && mount -t cgroup2 cgroup2 {CGROUPS} && {SYSTEMD} --user --unit=etcd.service; exit $?"
        );
        command.arg("-c").arg(format!(
            "echo $$ > {}/cgroup.procs && exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc sh -c '{within}'",
            cgroup.display()
        ));
        let systemd = host.spawn("systemd", command);
        Self { host: host.clone(), systemd, cgroup }
    }
}

impl Drop for MemberBySystemd {
    fn drop(&mut self) {
        self.systemd.kill9();
        let cgroup = self.cgroup.clone();
        self.host.run(move || {
            // What was killed a moment ago may still be in them.
            for _ in 0..200 {
                remove(&cgroup);
                if !cgroup.exists() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
    }
}

/// A path without the `..` that systemd takes in no unit.
fn plain(path: &Path) -> String {
    let plain = fs::canonicalize(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    plain.to_string_lossy().into_owned()
}

/// Removes a control group and those below it, as far as nothing is in them.
fn remove(cgroup: &Path) {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).for_each(|below| remove(&below));
    // It may be gone, or not empty yet.
    let _ = fs::remove_dir(cgroup);
}
