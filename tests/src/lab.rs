//! The lab of one scenario: two switches, the hosts on them, and what watches them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, id};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use mantle::wire::Mac;
use mantle_protocol::Instant;

use crate::asker::Asker;
use crate::binaries;
use crate::clock::now;
use crate::etcd::{EtcdCluster, EtcdOptions};
use crate::history::{Changes, History};
use crate::host::Host;
use crate::judge::{Verdict, judge, timeline};
use crate::netlink;
use crate::probe::{Client, Responder};
use crate::process::{Process, tail};
use crate::switch::Switch;
use crate::systemd::{Systemd, Unit};
use crate::tap::Tap;

/// A host's link to the public switch, where the VIPs are: pulling its cable cuts the host off from the clients.
pub const PUBLIC_LINK: &str = "eth0";
/// A host's link to the private switch, where etcd is: pulling its cable cuts the host off from etcd.
pub const PRIVATE_LINK: &str = "eth1";
/// Where agents with the default prefix and cluster keep their keys.
pub const PREFIX: &str = "/mantle/default";

/// The first host's number in its addresses: what is below belongs to nobody.
const FIRST_HOST: u8 = 10;

/// How long a command of the agent may take.
const COMMAND: Duration = Duration::from_secs(10);

type Teller = Box<dyn Fn() -> Changes + Send>;

/// The directories of the labs of this process.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Removes what the labs of this process have on disk, just before it ends without dropping them. Everything else of
/// theirs the kernel removes with the process.
pub(crate) fn abandon_all() {
    for directory in OPEN.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // What cannot be removed now is removed by the next lab of this name.
        let _ = fs::remove_dir_all(directory);
    }
}

/// The lab of one scenario. Labs do not know of each other, and nothing of one is left when it is dropped but, after a
/// failure, its logs.
pub struct Lab {
    directory: PathBuf,
    started: Instant,
    numbers: AtomicU8,
    // Dropped before the hosts they run in.
    responders: Mutex<Vec<Responder>>,
    tap: Tap,
    tellers: Mutex<Vec<Teller>>,
    hosts: Mutex<Vec<Host>>,
    observer: OnceLock<Host>,
    public: Switch,
    private: Switch,
}

impl Lab {
    /// Makes a lab; the name is the scenario's.
    ///
    /// # Panics
    /// If there is no root to make it with.
    pub fn new(name: &str) -> Self {
        let (public, private) = (Switch::new("public", 1), Switch::new("private", 2));
        let directory = own_directory(name);
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.clone());
        Self {
            directory,
            started: now(),
            numbers: AtomicU8::new(FIRST_HOST),
            responders: Mutex::default(),
            tap: Tap::start(&public),
            tellers: Mutex::default(),
            hosts: Mutex::default(),
            observer: OnceLock::new(),
            public,
            private,
        }
    }

    /// Adds a host on both switches that answers probes.
    pub fn host(&self, name: &str) -> Host {
        let host = self.add(name, true, true);
        let responder = Responder::start(&host);
        self.responders.lock().unwrap_or_else(PoisonError::into_inner).push(responder);
        host
    }

    /// Adds a host on the public switch only that sends a probe to each VIP every millisecond.
    pub fn client(&self, vips: &[IpAddr]) -> Client {
        self.client_every(Client::INTERVAL, vips)
    }

    /// Like [`Self::client`], with another interval.
    pub fn client_every(&self, interval: Duration, vips: &[IpAddr]) -> Client {
        let name = format!("client-{}", self.numbers.load(Ordering::Relaxed));
        Client::start(&self.add(&name, true, false), vips, interval)
    }

    /// Adds a host on the public switch only that asks for the VIPs all the time, and believes them to be at `mac`.
    pub fn asker(&self, vips: &[IpAddr], mac: Mac) -> Asker {
        self.asker_every(Asker::INTERVAL, vips, mac)
    }

    /// Like [`Self::asker`], with another pause.
    pub fn asker_every(&self, pause: Duration, vips: &[IpAddr], mac: Mac) -> Asker {
        let name = format!("asker-{}", self.numbers.load(Ordering::Relaxed));
        Asker::start(&self.add(&name, true, false), PUBLIC_LINK, vips, mac, pause)
    }

    /// Starts an etcd cluster of so many members, on hosts of their own on the private switch.
    pub fn etcd(&self, members: usize, options: EtcdOptions) -> EtcdCluster {
        let hosts: Vec<_> = (1..=members).map(|n| self.add(&format!("etcd-{n}"), false, true)).collect();
        self.etcd_on(&hosts, options)
    }

    /// Starts an etcd cluster with a member on each of these hosts.
    pub fn etcd_on(&self, hosts: &[Host], options: EtcdOptions) -> EtcdCluster {
        EtcdCluster::start(self, hosts, options)
    }

    /// Watches the records below [`PREFIX`]; to be started before the agents.
    pub fn history(&self, etcd: &EtcdCluster) -> History {
        let history = History::start(etcd, PREFIX);
        self.tellers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(history.teller()));
        history
    }

    /// Starts an agent on a host.
    pub fn agent(&self, host: &Host, config: &str) -> Process {
        let path = self.write_config(host, config);
        let mut command = Command::new(binaries::mantle());
        command.arg("run").arg("-c").arg(path);
        host.spawn("mantle", command)
    }

    /// Starts an agent on a host by a systemd of the host's own, from the packaged unit and with this drop-in.
    ///
    /// Nothing of the unit is replaced but the paths of the program and of its config.
    pub fn agent_by_systemd(&self, host: &Host, config: &str, drop_in: &str) -> Systemd {
        let unit = Unit::new("mantle.service", include_str!("../../packaging/mantle.service"))
            .with_drop_in(drop_in)
            .with_file("/usr/bin/mantle", &binaries::mantle())
            .with_file("/etc/mantle", &self.write_config(host, config));
        Systemd::start(host, &unit)
    }

    /// Writes the config of the agent on a host, where the next one to start finds it.
    pub fn write_config(&self, host: &Host, config: &str) -> PathBuf {
        let path = self.config_path(host);
        fs::write(&path, config).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// What `mantle status -o json` says on a host; nothing as long as there is no agent to ask.
    pub fn status(&self, host: &Host) -> Option<serde_json::Value> {
        let config = self.config_path(host);
        let output = self.mantle(host, &["status", "-o", "json", "-c", &config.to_string_lossy()]);
        let parse = |json| {
            serde_json::from_slice(json).unwrap_or_else(|error| panic!("{output:?} is no JSON: {error}"))
        };
        output.status.success().then(|| parse(&output.stdout))
    }

    /// Runs one of the agent's commands on a host.
    pub fn mantle(&self, host: &Host, arguments: &[&str]) -> Output {
        let mut command = Command::new(binaries::mantle());
        command.args(arguments);
        host.output(command, COMMAND)
    }

    /// Starts one of the agent's commands on a host, and does not wait for it.
    pub fn start_mantle(&self, host: &Host, arguments: &[&str]) -> Process {
        let mut command = Command::new(binaries::mantle());
        command.args(arguments);
        host.spawn("command", command)
    }

    /// Runs one of the agent's commands on a host, in a time namespace of its own that is ahead of the machine.
    pub fn mantle_ahead_of_time(&self, host: &Host, arguments: &[&str]) -> Output {
        let mut command = Command::new("unshare");
        command.args(["--time", "--boottime", "500", "--fork", "--kill-child"]);
        command.arg(binaries::mantle()).args(arguments);
        host.output(command, COMMAND)
    }

    /// Judges everything that happened on the public switch so far.
    pub fn verdict(&self, history: Option<&History>) -> Verdict {
        // The frames first: what the records say afterwards covers every one of them.
        let frames = self.tap.frames();
        judge(&frames, history.map(History::changes).as_ref(), self.tap.drops())
    }

    /// The tap on the public switch.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// The switch where the VIPs are.
    pub fn public(&self) -> &Switch {
        &self.public
    }

    /// The switch where etcd is.
    pub fn private(&self) -> &Switch {
        &self.private
    }

    /// The hosts, in the order they were added.
    pub fn hosts(&self) -> Vec<Host> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the lab was made: timelines count from here.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Where configs, certificates and logs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A host on the private switch for the lab's own etcd clients.
    pub(crate) fn observer(&self) -> Host {
        self.observer.get_or_init(|| self.add("observer", false, true)).clone()
    }

    /// Adds a host without links in which nothing speaks: an emulated machine's cards end there.
    pub(crate) fn bare_host(&self, name: &str) -> Host {
        let host = Host::new(name, &self.directory);
        host.run(netlink::disable_ipv6);
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(host.clone());
        host
    }

    fn add(&self, name: &str, public: bool, private: bool) -> Host {
        let host = Host::new(name, &self.directory);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let net = |text: String| -> IpNet { text.parse().expect("a number fits in an address") };
        if public {
            let addresses = [net(format!("10.77.0.{number}/24")), net(format!("fd77::{number}/64"))];
            self.public.connect(&host, PUBLIC_LINK, &addresses);
        }
        if private {
            self.private.connect(&host, PRIVATE_LINK, &[net(format!("10.88.0.{number}/24"))]);
        }
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(host.clone());
        host
    }

    /// Where an agent's config is.
    pub fn config_path(&self, host: &Host) -> PathBuf {
        self.directory.join(format!("{}.yaml", host.name()))
    }

    #[expect(
        clippy::print_stderr,
        reason = "a failed test's story belongs where the test harness looks for it"
    )]
    fn tell_failure(&self) {
        let told = self.tellers.lock().unwrap_or_else(PoisonError::into_inner);
        let changes: Changes = told.iter().flat_map(|teller| teller()).collect();
        eprintln!("--- the wire and the records ---");
        eprint!("{}", timeline(&self.tap.frames_so_far(), &changes, self.started));
        for log in logs_in(&self.directory) {
            let text = fs::read(&log).unwrap_or_default();
            eprintln!("--- the end of {} ---", log.display());
            eprint!("{}", tail(&String::from_utf8_lossy(&text), 12));
        }
        eprintln!("--- configs and logs are kept in {} ---", self.directory.display());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.directory);
        if thread::panicking() {
            self.tell_failure();
        } else {
            // What cannot be removed now is removed by the next lab of this name.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// A directory for this lab, after removing what labs of this name left whose process is gone: a failed run's logs are
/// kept until the next run.
fn own_directory(name: &str) -> PathBuf {
    let parent = binaries::target().join("lab");
    fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("cannot make {}: {error}", parent.display()));
    let owner = |directory: &Path| -> Option<u32> {
        let rest = directory.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
        rest.split('.').next()?.parse().ok()
    };
    for old in fs::read_dir(&parent).into_iter().flatten().flatten() {
        let gone = owner(&old.path()).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if gone {
            // Another run may be removing it too.
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let candidates = (0..).map(|n| parent.join(format!("{name}.{}.{n}", id())));
    for directory in candidates {
        match fs::create_dir(&directory) {
            Ok(()) => return directory,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("cannot make {}: {error}", directory.display()),
        }
    }
    unreachable!("there is always a next number")
}

fn logs_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut logs: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "log"))
        .collect();
    logs.sort();
    logs
}
