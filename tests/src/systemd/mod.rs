//! A host's own systemd: it reads a unit, its drop-ins and its environment files as a machine's would, and runs that one unit.

mod unit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::unistd::Pid;

pub use self::unit::Unit;
use crate::host::Host;
use crate::process::Process;

const SYSTEMD: &str = "/lib/systemd/systemd";
const CGROUPS: &str = "/sys/fs/cgroup";
/// A user's instance makes its units' runtime directories where a machine's does if this is what it is told of its own...
const RUNTIME: &str = "/run";
/// ... and likewise their state directories.
const STATE: &str = "/var/lib";
/// Where the unit's files are laid: the machine itself is to have nothing installed.
const INSTALLED: &str = "/run/installed";

/// How long a command to it may take.
const COMMAND: Duration = Duration::from_secs(30);

/// How many there have been in this process: hosts of two labs may have the same name.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A host's systemd and the unit it runs; both are gone with this.
#[derive(Debug)]
pub struct Systemd {
    host: Host,
    unit: String,
    process: Process,
    /// The control group that it keeps its own below.
    cgroup: PathBuf,
}

/// A process of the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its process id, as the test has it.
    pub pid: Pid,
    /// Its name in lists of processes.
    pub name: String,
}

impl Systemd {
    /// Starts systemd on a host, as a user's instance in namespaces of its own but with all of root's powers, and by it the unit.
    pub fn start(host: &Host, unit: &Unit) -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let own = format!("mantle-lab-{}-{}-{number}", std::process::id(), host.name());
        let cgroup = Path::new(CGROUPS).join(own);
        let (made, files) = (cgroup.clone(), unit.files(Path::new(INSTALLED)));
        host.run(move || {
            let write = |path: &Path, text: &str| {
                fs::create_dir_all(path.parent().expect("a file lies in a directory"))
                    .expect("/run is the host's own");
                fs::write(path, text).expect("/run is the host's own");
            };
            // By this a user's instance knows that the machine runs systemd.
            fs::create_dir_all(Path::new(RUNTIME).join("systemd/system")).expect("/run is the host's own");
            // There is no journal.
            let conf = Path::new(RUNTIME).join("systemd/user.conf.d/lab.conf");
            write(&conf, "[Manager]\nDefaultStandardOutput=inherit\n");
            for (path, text) in files {
                write(&Path::new(RUNTIME).join("systemd/user").join(path), &text);
            }
            mount(Some("cgroup2"), CGROUPS, Some("cgroup2"), MsFlags::empty(), None::<&str>)
                .unwrap_or_else(|errno| panic!("cannot mount the control groups in the host: {errno}"));
            fs::create_dir(&made).unwrap_or_else(|error| panic!("cannot make {}: {error}", made.display()));
        });
        unit.install(host, Path::new(INSTALLED));
        let name = unit.name();
        let mut command = Command::new("sh");
        set_environment(&mut command);
        // Not by exec: as process 1 of its namespace it would be nobody's instance. What PrivateTmp= makes is not the machine's.
        let within = format!(
            "umount -l {CGROUPS} && mount -t cgroup2 cgroup2 {CGROUPS} && mount -t tmpfs tmpfs /tmp && \
             mount -t tmpfs tmpfs /var/tmp && {SYSTEMD} --user --unit={name}; exit $?"
        );
        command.arg("-c").arg(format!(
            "echo $$ > {}/cgroup.procs && exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc sh -c '{within}'",
            cgroup.display()
        ));
        let process = host.spawn("systemd", command);
        Self { host: host.clone(), unit: name.to_owned(), process, cgroup }
    }

    /// What it and its unit have written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The processes of the unit: what is in its control group.
    pub fn members(&self) -> Vec<Member> {
        let (cgroup, unit) = (self.cgroup.clone(), self.unit.clone());
        self.host.run(move || {
            let listed = within(&cgroup, &unit).map(|group| fs::read_to_string(group.join("cgroup.procs")));
            // The group goes with its last process.
            let listed = listed.and_then(Result::ok).unwrap_or_default();
            let named = |pid: &str| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                Some(Member { pid: Pid::from_raw(pid.parse().ok()?), name: name.trim_end().to_owned() })
            };
            listed.lines().filter_map(named).collect()
        })
    }

    /// `systemctl VERB` of the unit, which waits until that is done.
    pub fn order(&self, verb: &str) -> Output {
        self.ask(&[verb])
    }

    /// What it says of the unit by that name.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    pub fn property(&self, name: &str) -> String {
        let output = self.ask(&["show", "--value", "--property", name]);
        assert!(output.status.success(), "{output:?}\n{}", self.process.log_tail(20));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs `systemctl` beside it: it answers nobody whose process id it cannot tell.
    fn ask(&self, arguments: &[&str]) -> Output {
        let [first] = self.process.children()[..] else {
            panic!("systemd has ended:\n{}", self.process.log_tail(20))
        };
        let mut command = Command::new("nsenter");
        set_environment(&mut command);
        command.args([format!("--target={first}").as_str(), "--pid", "--mount", "systemctl", "--user"]);
        command.args(arguments).arg(&self.unit);
        self.host.output(command, COMMAND)
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.process.kill9();
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

/// What a user's instance, and whoever asks it, goes by; nothing of the test's own.
fn set_environment(command: &mut Command) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", RUNTIME).env("XDG_RUNTIME_DIR", RUNTIME).env("XDG_CONFIG_HOME", STATE);
    command.env("SYSTEMD_LOG_TARGET", "console");
}

/// The control groups right below one.
fn below(cgroup: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// The control group of that name, however far below another it is.
fn within(cgroup: &Path, name: &str) -> Option<PathBuf> {
    below(cgroup).find_map(|group| if group.ends_with(name) { Some(group) } else { within(&group, name) })
}

/// Removes a control group and those below it, as far as nothing is in them.
fn remove(cgroup: &Path) {
    below(cgroup).for_each(|group| remove(&group));
    // It may be gone, or not empty yet.
    let _ = fs::remove_dir(cgroup);
}
