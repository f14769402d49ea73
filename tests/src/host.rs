//! A host: its own network, mounts and hostname.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::Ebpf;
use ipnet::IpNet;
use mantle::wire::Mac;
use nix::errno::Errno;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};
use nix::unistd::sethostname;

use crate::clock::{SOON, wait_for};
use crate::counts::dropped;
use crate::foreign::pass_first_by_tc;
use crate::namespace::Namespace;
use crate::netlink;
use crate::process::Process;
use crate::switch::Port;

/// A machine of the lab: network, mount and UTS namespaces of its own.
///
/// `/run` and `/var/lib` are empty and its own, `/sys/fs/bpf` a BPF file system of its own, `/etc/machine-id` its own: an agent runs
/// in it with its defaults. Clones are the same host, which vanishes with the last of them.
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    namespace: Namespace,
    nics: Mutex<Vec<Nic>>,
    logs: PathBuf,
    processes: AtomicU32,
}

#[derive(Clone, Debug)]
struct Nic {
    port: Port,
    addresses: Vec<IpNet>,
}

impl Host {
    /// Makes a host without links; its processes write their logs to `logs`.
    pub(crate) fn new(name: &str, logs: &Path) -> Self {
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
        let namespace = Namespace::new(name, flags);
        let hostname = name.to_owned();
        namespace.run(move || {
            mount_own();
            sethostname(&hostname).unwrap_or_else(|errno| panic!("cannot name the host {hostname}: {errno}"));
            netlink::set_up("lo", true);
        });
        let (nics, processes) = (Mutex::default(), AtomicU32::default());
        Self(Arc::new(Inner { name: name.to_owned(), namespace, nics, logs: logs.to_owned(), processes }))
    }

    /// Its name: the hostname, and so the default name of a node on it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Starts a process in the host; its output goes to a log of that name.
    pub fn spawn(&self, name: &str, command: Command) -> Process {
        let name = self.process_name(name);
        let log = self.0.logs.join(format!("{name}.log"));
        self.run(move || Process::spawn(&name, command, log.clone(), &log))
    }

    /// Runs a command in the host to its end.
    ///
    /// # Panics
    /// If it has not ended within `limit`.
    #[track_caller]
    pub fn output(&self, command: Command, limit: Duration) -> Output {
        let name = self.process_name("command");
        // Files rather than pipes: nobody has to read while it runs.
        let [stdout, stderr] = ["stdout", "stderr"].map(|kind| self.0.logs.join(format!("{name}.{kind}")));
        let told = format!("{command:?}");
        let (out, err) = (stdout.clone(), stderr.clone());
        let mut process = self.run(move || Process::spawn(&name, command, out, &err));
        let status = process.wait(limit);
        let status = status.unwrap_or_else(|| panic!("{told} still runs on {} after {limit:?}", self.name()));
        let [stdout, stderr] = [stdout, stderr].map(|path| {
            let bytes =
                fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            // Polled commands would fill the directory; a leftover does no harm.
            let _ = fs::remove_file(&path);
            bytes
        });
        Output { status, stdout, stderr }
    }

    /// Runs a closure in the host and waits for it: whatever it opens belongs to the host.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.0.namespace.run(job)
    }

    /// Starts a thread in the host.
    pub fn on_thread<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.0.namespace.thread(&self.0.name, job)
    }

    /// The address the host was given on a link, and that it keeps.
    pub fn address(&self, link: &str) -> IpAddr {
        self.nic(link)
            .addresses
            .first()
            .unwrap_or_else(|| panic!("{}'s {link} has no address", self.name()))
            .addr()
    }

    /// The other end of a link's cable.
    pub fn port(&self, link: &str) -> Port {
        self.nic(link).port
    }

    /// Lays a file over one that is there; the machine's own stays as it is.
    pub fn lay_over(&self, there: &str, file: &Path) {
        let (there, file) = (there.to_owned(), file.to_string_lossy().into_owned());
        self.run(move || mount_or_panic(Some(&file), &there, None, MsFlags::MS_BIND, None));
    }

    /// Pulls every cable.
    pub fn unplug(&self) {
        self.nics().iter().for_each(|nic| nic.port.set_up(false));
    }

    /// Puts every cable back.
    pub fn plug(&self) {
        self.nics().iter().for_each(|nic| nic.port.set_up(true));
    }

    /// Sets a link up or down from within the host.
    pub fn set_link(&self, link: &str, up: bool) {
        let link = link.to_owned();
        self.run(move || netlink::set_up(&link, up));
    }

    /// Gives a link another name, with the link down for a moment.
    pub fn rename_link(&self, link: &str, new_name: &str) {
        let (link, new_name) = (link.to_owned(), new_name.to_owned());
        self.run(move || netlink::rename(&link, &new_name));
    }

    /// Takes a network card out: the link is gone, and its cable with it. Another one may be connected in its place.
    pub fn delete_link(&self, link: &str) {
        let name = link.to_owned();
        self.run(move || netlink::delete(&name));
        self.0.nics.lock().unwrap_or_else(PoisonError::into_inner).retain(|nic| nic.port.link() != link);
    }

    /// Puts a bridge over a link, which becomes its port: what was the link's addresses are the bridge's.
    pub fn bridge_over(&self, link: &str, bridge: &str) {
        let (link, bridge) = (link.to_owned(), bridge.to_owned());
        self.run(move || {
            let addresses = netlink::addresses(&link);
            let own: Vec<IpNet> = addresses.into_iter().filter(|net| !is_link_local(net.addr())).collect();
            netlink::add_bridge(&bridge);
            netlink::join_bridge(&link, &bridge);
            for address in &own {
                netlink::remove_address(&link, *address);
                netlink::add_address(&bridge, *address);
            }
            wait_for(format_args!("the bridge {bridge}"), SOON, || {
                netlink::is_ready(&bridge, &own).then_some(())
            });
        });
    }

    /// Makes a tap device and joins it with a link by a bridge of their own: an emulated machine's card is at its other end.
    pub(crate) fn tap_beside(&self, link: &str, tap: &str) {
        let (link, tap) = (link.to_owned(), tap.to_owned());
        let mut command = Command::new("ip");
        command.args(["tuntap", "add", "dev", &tap, "mode", "tap"]);
        let output = self.output(command, SOON);
        assert!(output.status.success(), "cannot make a tap: {}", String::from_utf8_lossy(&output.stderr));
        self.run(move || {
            let bridge = format!("of-{link}");
            netlink::add_bridge(&bridge);
            netlink::join_bridge(&link, &bridge);
            netlink::join_bridge(&tap, &bridge);
        });
    }

    /// Puts an address on a link by hand.
    pub fn add_address(&self, link: &str, address: IpNet) {
        let link = link.to_owned();
        self.run(move || netlink::add_address(&link, address));
    }

    /// Takes an address off a link by hand.
    pub fn remove_address(&self, link: &str, address: IpNet) {
        let link = link.to_owned();
        self.run(move || netlink::remove_address(&link, address));
    }

    /// Sends what is for a network out of a link, to a gateway there if one is named.
    pub fn add_route(&self, link: &str, destination: IpNet, gateway: Option<IpAddr>) {
        let link = link.to_owned();
        self.run(move || netlink::add_route(&link, destination, gateway));
    }

    /// The addresses a link has now.
    pub fn addresses(&self, link: &str) -> Vec<IpNet> {
        let link = link.to_owned();
        self.run(move || netlink::addresses(&link))
    }

    /// How many frames its links have dropped by themselves.
    pub(crate) fn dropped(&self) -> u64 {
        self.run(dropped)
    }

    /// For how many seconds the kernel keeps an address on a link if nobody puts it anew, while it has it.
    pub fn lifetime_left(&self, link: &str, ip: IpAddr) -> Option<u32> {
        let link = link.to_owned();
        self.run(move || netlink::lifetime_left(&link, ip))
    }

    /// Puts a program of somebody else's before all that a link has at TC ingress, until what this gives is dropped.
    #[must_use = "it goes when this is dropped"]
    pub fn put_before_tc(&self, link: &str) -> Ebpf {
        let link = link.to_owned();
        self.run(move || pass_first_by_tc(&link))
    }

    /// Tells the kernel for good at which MAC a neighbour is: it never learns better.
    pub fn pin_neighbour(&self, link: &str, neighbour: IpAddr, mac: Mac) {
        let link = link.to_owned();
        self.run(move || netlink::add_neighbour(&link, neighbour, mac.0));
    }

    /// Has the kernel forget where its neighbours are, as it does with those it has not heard of for long.
    pub fn forget_neighbours(&self, link: &str) {
        let link = link.to_owned();
        self.run(move || netlink::forget_neighbours(&link));
    }

    /// Sends a frame as it stands, as an intruder would: past the neighbour table and the routes.
    pub fn send_frame(&self, link: &str, frame: &[u8]) {
        assert!(self.tries_frames(link, vec![frame.to_owned()]), "a frame did not leave by {link}");
    }

    /// Likewise many, one right after the other.
    pub fn send_frames(&self, link: &str, frames: Vec<Vec<u8>>) {
        assert!(self.tries_frames(link, frames), "a frame did not leave by {link}");
    }

    /// Likewise, until one is dropped on the way out; says whether none was.
    pub fn tries_frames(&self, link: &str, frames: Vec<Vec<u8>>) -> bool {
        let by = link.to_owned();
        let send = move || {
            RawSender::open(&by).and_then(|sender| frames.iter().try_for_each(|frame| sender.send(frame)))
        };
        match self.run(send) {
            Ok(()) => true,
            Err(Errno::ENOBUFS) => false,
            Err(errno) => panic!("cannot send a frame by {link}: {errno}"),
        }
    }

    /// What to paste into a root shell to open a shell in the host, while the lab lives.
    pub fn shell_line(&self) -> String {
        let [net, mnt, uts] =
            ["net", "mnt", "uts"].map(|kind| self.0.namespace.path(kind).display().to_string());
        format!("nsenter --net={net} --mount={mnt} --uts={uts}")
    }

    /// Where the kernel shows the host's network namespace.
    pub(crate) fn network(&self) -> PathBuf {
        self.0.namespace.path("net")
    }

    pub(crate) fn connected(&self, port: Port, addresses: &[IpNet]) {
        self.0
            .nics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Nic { port, addresses: addresses.to_vec() });
    }

    fn process_name(&self, name: &str) -> String {
        format!("{}-{name}-{}", self.0.name, self.0.processes.fetch_add(1, Ordering::Relaxed))
    }

    fn nics(&self) -> Vec<Nic> {
        self.0.nics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn nic(&self, link: &str) -> Nic {
        let nic = self.nics().into_iter().find(|nic| nic.port.link() == link);
        nic.unwrap_or_else(|| panic!("the host {} has no link {link}", self.name()))
    }
}

/// Sends frames as they stand on one link of the host that it was opened in.
#[derive(Debug)]
pub(crate) struct RawSender {
    socket: OwnedFd,
    destination: LinkAddr,
}

impl RawSender {
    pub(crate) fn open(link: &str) -> nix::Result<Self> {
        let packet_address = |interface: InterfaceAddress| {
            let address = interface.address.filter(|_| interface.interface_name == link)?;
            address.as_link_addr().copied()
        };
        let destination = getifaddrs()?.find_map(packet_address).ok_or(Errno::ENODEV)?;
        // Protocol 0: the socket receives nothing.
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self { socket, destination })
    }

    pub(crate) fn send(&self, frame: &[u8]) -> nix::Result<()> {
        sendto(self.socket.as_raw_fd(), frame, &self.destination, MsgFlags::empty()).map(drop)
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The mounts of a host. Private first: or they would appear on the machine.
fn mount_own() {
    let none: Option<&str> = None;
    mount_or_panic(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    mount_or_panic(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755"),
    );
    // What an agent remembers over a reboot is the host's own too.
    mount_or_panic(
        Some("tmpfs"),
        "/var/lib",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755"),
    );
    // A sysfs shows the links of the network namespace it was mounted in.
    mount_or_panic(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none);
    mount_or_panic(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), Some("mode=700"));
    own_machine_id();
}

/// Gives the host a machine id of its own, without which two hosts would look like one machine to the agents.
fn own_machine_id() {
    let target = Path::new("/etc/machine-id");
    let write = |path: &str, text: &str| {
        fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {path} in the host: {error}"));
    };
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("Linux hands out UUIDs since 2.3");
    let id = uuid.replace('-', "");
    if target.exists() {
        write("/run/machine-id", &id);
        mount_or_panic(Some("/run/machine-id"), "/etc/machine-id", None, MsFlags::MS_BIND, None);
    } else {
        // A container image may come without the file, and there is nothing to mount it over: lay one over /etc.
        for directory in ["/run/etc", "/run/etc/upper", "/run/etc/work"] {
            fs::create_dir(directory)
                .unwrap_or_else(|error| panic!("cannot make {directory} in the host: {error}"));
        }
        let layers = "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work";
        mount_or_panic(Some("overlay"), "/etc", Some("overlay"), MsFlags::empty(), Some(layers));
        write("/etc/machine-id", &id);
    }
}

fn mount_or_panic(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: MsFlags,
    data: Option<&str>,
) {
    mount(source, target, kind, flags, data).unwrap_or_else(|errno| {
        panic!("cannot mount {} on {target} in the host: {errno}", source.unwrap_or("privately"))
    });
}
