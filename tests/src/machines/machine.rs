//! One emulated machine. Its network cards end in a host of the lab, whose links are on the lab's switches: so the tap, the
//! judge and the client see a machine as they see any host.

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ipnet::IpNet;
use mantle_protocol::Instant;
use serde_json::{Value, json};

use super::accelerator::Accelerator;
use super::initramfs;
use super::kernel::Kernel;
use super::talk::Talk;
use crate::clock::now;
use crate::process::{Process, tail};
use crate::{Host, Lab};

/// How long a machine may take to boot.
const BOOT: Duration = Duration::from_mins(2);
/// How long a command in it may take.
pub(super) const COMMAND: Duration = Duration::from_mins(1);

/// Where the programs for machines are.
#[derive(Clone, Debug)]
pub(super) struct Tools(pub(super) PathBuf);

impl Tools {
    fn qemu(&self, program: &str) -> Command {
        let mut command = Command::new(self.0.join("usr/bin").join(program));
        command.env("LD_LIBRARY_PATH", self.0.join("usr/lib/x86_64-linux-gnu"));
        for firmware in ["qemu", "seabios"] {
            command.arg("-L").arg(self.0.join("usr/share").join(firmware));
        }
        command
    }
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(super) struct Hardware {
    /// The kernel's line, like `6.1`.
    pub(super) kernel: String,
    /// A network card for each switch or bond; see [`Card`].
    pub(super) cards: Vec<Card>,
}

/// A network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Card {
    /// What qemu calls it: `virtio-net-pci`, `e1000e`, `vmxnet3`.
    pub(super) model: &'static str,
    /// Which switch it is on.
    pub(super) on: On,
}

impl Card {
    /// The module of its driver.
    pub(super) fn driver(&self) -> &'static str {
        match self.model {
            "virtio-net-pci" => "virtio_net",
            model => model,
        }
    }
}

/// A switch of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// The one where the VIPs are.
    Public,
    /// The one where etcd is.
    Private,
}

/// A running machine, switched off when this is dropped.
#[derive(Debug)]
pub(super) struct Machine {
    host: Host,
    /// Ends with this.
    _process: Process,
    cards: Vec<Card>,
    hand: Talk,
    monitor: Talk,
    console: PathBuf,
    requests: u64,
}

/// A machine that boots.
#[derive(Debug)]
pub(super) struct Booting {
    host: Host,
    process: Process,
    cards: Vec<Card>,
    directory: PathBuf,
    since: Instant,
}

impl Booting {
    /// Switches a machine on, with cards that end on the lab's switches.
    pub(super) fn begin(
        lab: &Lab,
        name: &str,
        hardware: &Hardware,
        (kernel, accelerator, tools): (&Kernel, Accelerator, &Tools),
    ) -> Self {
        let host = lab.bare_host(name);
        // Unix sockets have short paths: qemu is told of them relative to where it runs.
        let directory = lab.directory().join(name);
        fs::create_dir(&directory)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
        let initramfs = directory.join("initramfs");
        initramfs::write(kernel, &tools.0.join("usr/bin/busybox"), &initramfs)
            .unwrap_or_else(|error| panic!("cannot make an initramfs for {kernel}: {error}"));
        let mut command = tools.qemu("qemu-system-x86_64");
        command.current_dir(&directory);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(accelerator.arguments()).args(["-smp", "2", "-m", "768"]);
        command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(&initramfs);
        let inside = std::env::current_exe().expect("a running program has a path").with_file_name("inside");
        let append = format!("console=ttyS0 quiet panic=-1 name={name} inside={} end", inside.display());
        command.args(["-append", &append, "-serial", "file:console.log"]);
        for (tag, path) in [("host", Path::new("/")), ("tools", tools.0.as_path())] {
            let share = format!(
                "local,path={},mount_tag={tag},security_model=none,readonly=on,multidevs=remap",
                path.display()
            );
            command.args(["-virtfs", &share]);
        }
        command.args(["-device", "virtio-serial-pci"]);
        command.args(["-chardev", "socket,id=hand,path=hand,server=on,wait=off"]);
        command.args(["-device", "virtserialport,chardev=hand,name=hand"]);
        command.args(["-qmp", "unix:monitor,server=on,wait=off"]);
        for (number, card) in hardware.cards.iter().enumerate() {
            let (link, tap) = (format!("port{number}"), format!("tap{number}"));
            let switch = match card.on {
                On::Public => lab.public(),
                On::Private => lab.private(),
            };
            switch.connect(&host, &link, &[]);
            host.tap_beside(&link, &tap);
            command.args(["-netdev", &format!("tap,id=net{number},ifname={tap},script=no,downscript=no")]);
            let mac = mac_of(name, number);
            command
                .args(["-device", &format!("{},netdev=net{number},id=card{number},mac={mac}", card.model)]);
        }
        let process = host.spawn("qemu", command);
        Self { host, process, cards: hardware.cards.clone(), directory, since: now() }
    }

    /// Waits until the machine takes commands.
    pub(super) fn finish(mut self) -> Machine {
        let until = self.since + BOOT;
        let console = self.directory.join("console.log");
        let up = Talk::open(&self.directory.join("hand"), until).and_then(|mut hand| {
            hand.hear(until, |line| line["up"] == true)?;
            Ok(hand)
        });
        let monitor = Talk::open(&self.directory.join("monitor"), until);
        let (hand, monitor) = match (up, monitor) {
            (Ok(hand), Ok(monitor)) => (hand, monitor),
            (hand, monitor) => {
                let why = [hand.err(), monitor.err()].into_iter().flatten().collect::<Vec<_>>().join("; ");
                let said = fs::read(&console).unwrap_or_default();
                let running = if self.process.is_running() { "runs" } else { "has ended" };
                panic!(
                    "the machine {} did not boot ({why}; qemu {running}):\n{}{}",
                    self.host.name(),
                    tail(&String::from_utf8_lossy(&said), 30),
                    self.process.log_tail(10)
                );
            }
        };
        let mut machine = Machine {
            host: self.host,
            _process: self.process,
            cards: self.cards,
            hand,
            monitor,
            console,
            requests: 0,
        };
        machine.order(&json!({ "execute": "qmp_capabilities" }));
        machine
    }
}

impl Machine {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.host.name()
    }

    /// Runs a command in it, and gives its exit code and what it said.
    pub(super) fn tries(&mut self, command: &str, limit: Duration) -> (i64, String) {
        let answer = self.ask(&json!({ "run": command }), limit);
        let answer = answer.unwrap_or_else(|why| self.fail(&format!("`{command}`: {why}")));
        (answer["code"].as_i64().unwrap_or(-1), answer["said"].as_str().unwrap_or_default().to_owned())
    }

    /// Runs a command in it that must succeed, and gives what it said.
    ///
    /// # Panics
    /// If it does not.
    pub(super) fn run(&mut self, command: &str) -> String {
        let (code, said) = self.tries(command, COMMAND);
        assert!(code == 0, "`{command}` ended with {code} on {}:\n{said}", self.name());
        said
    }

    /// Starts a command in it, which writes to a log there; gives its process id.
    pub(super) fn start(&mut self, command: &str, log: &str) -> u32 {
        let answer = self.ask(&json!({ "run": command, "log": log }), COMMAND);
        let answer = answer.unwrap_or_else(|why| self.fail(&format!("`{command}`: {why}")));
        let pid = answer["said"].as_str().and_then(|said| said.parse().ok());
        pid.unwrap_or_else(|| self.fail(&format!("`{command}` was not started: {answer}")))
    }

    /// Writes a file in it.
    pub(super) fn write(&mut self, path: &str, text: &str) {
        assert!(!text.contains("END_OF_FILE"), "the text must not contain its own end");
        self.run(&format!(
            "mkdir -p \"$(dirname {path})\" && cat > {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE"
        ));
    }

    /// Gives a link in it addresses, of which the judge learns that they are no VIPs.
    pub(super) fn address(&mut self, lab: &Lab, link: &str, addresses: &[IpNet]) {
        lab.public().admit(addresses.iter().map(IpNet::addr));
        let mut commands = format!("ip link set {link} up");
        for address in addresses {
            let nodad = if matches!(address.addr(), IpAddr::V6(_)) { " nodad" } else { "" };
            let _ = write!(commands, " && ip addr add {address} dev {link}{nodad}");
        }
        self.run(&commands);
    }

    /// It stands still, with its processors and its clock.
    pub(super) fn pause(&mut self) {
        self.order(&json!({ "execute": "stop" }));
    }

    /// It goes on.
    pub(super) fn resume(&mut self) {
        self.order(&json!({ "execute": "cont" }));
    }

    /// Pulls the cable of a card or puts it back: the machine sees its link lose or find the carrier. qemu's e1000e tells its
    /// driver nothing of that (seen with 6.12): there the link is set down in the machine.
    pub(super) fn set_cable(&mut self, card: usize, up: bool) {
        if self.cards[card].model == "e1000e" {
            self.run(&format!("ip link set eth{card} {}", if up { "up" } else { "down" }));
            return;
        }
        self.order(
            &json!({ "execute": "set_link", "arguments": { "name": format!("card{card}"), "up": up } }),
        );
    }

    /// What it wrote to its console.
    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    fn order(&mut self, order: &Value) -> Value {
        let until = now() + COMMAND;
        let answer = self.monitor.say(order).and_then(|()| {
            self.monitor.hear(until, |line| line.get("return").is_some() || line.get("error").is_some())
        });
        match answer {
            Ok(answer) if answer.get("error").is_none() => answer,
            other => self.fail(&format!("qemu does not do {order}: {other:?}")),
        }
    }

    fn ask(&mut self, request: &Value, limit: Duration) -> Result<Value, String> {
        self.requests += 1;
        let mut request = request.clone();
        request["number"] = self.requests.into();
        self.hand.say(&request)?;
        let number = self.requests;
        self.hand.hear(now() + limit, |line| line["number"] == number)
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}; its console:\n{}", self.name(), tail(&self.console(), 30))
    }
}

/// Whether a machine without any card comes up in time.
pub(super) fn boots(kernel: &Kernel, accelerator: Accelerator, tools: &Tools, limit: Duration) -> bool {
    let lab = Lab::new("machine-probe");
    let hardware = Hardware { kernel: String::new(), cards: Vec::new() };
    let booting = Booting::begin(&lab, "probe", &hardware, (kernel, accelerator, tools));
    let until = now() + limit;
    let hand = Talk::open(&booting.directory.join("hand"), until);
    hand.and_then(|mut hand| hand.hear(until, |line| line["up"] == true)).is_ok()
}

/// A card's MAC: locally administered, and its own.
fn mac_of(name: &str, number: usize) -> String {
    let letters: Vec<u8> = name.bytes().rev().chain([0, 0, 0]).take(3).collect();
    format!("02:6d:{:02x}:{:02x}:{:02x}:{number:02x}", letters[2], letters[1], letters[0])
}
