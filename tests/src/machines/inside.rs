//! What runs inside a machine as its first process: it sets the machine up, answers probes, and runs what it is told to by
//! the host, over a serial port of virtio.
//!
//! A line is one request or one answer, in JSON.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::unistd::sethostname;
use serde_json::{Value, json};

use crate::netlink;
use crate::probe;

/// Runs until the machine is switched off.
pub fn main() -> ExitCode {
    set_up();
    if let Err(error) = serve() {
        say(&format!("the host is not heard any more: {error}"));
    }
    // The kernel panics when its first process ends; a machine that nobody talks to is switched off.
    let _ = fs::write("/proc/sysrq-trigger", "o");
    thread::sleep(Duration::from_secs(10));
    ExitCode::FAILURE
}

fn set_up() {
    let name = word_of("name").unwrap_or_else(|| "machine".to_owned());
    for directory in ["/run", "/tmp", "/var/lib", "/dev/shm", "/dev/pts", "/sys/fs/bpf", "/sys/fs/cgroup"] {
        // Some are there already.
        let _ = fs::create_dir_all(directory);
    }
    for (kind, target) in [
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/var/lib"),
        ("tmpfs", "/dev/shm"),
        ("devpts", "/dev/pts"),
        ("bpf", "/sys/fs/bpf"),
        ("cgroup2", "/sys/fs/cgroup"),
    ] {
        if let Err(errno) = mount(Some(kind), target, Some(kind), MsFlags::empty(), None::<&str>) {
            say(&format!("cannot mount {target}: {errno}"));
        }
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default().replace('-', "");
    let _ = fs::write("/etc/machine-id", id);
    let _ = sethostname(&name);
    netlink::set_up("lo", true);
    probe::answer_here(&name);
}

/// A word that the kernel's command line gives.
fn word_of(name: &str) -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

fn serve() -> std::io::Result<()> {
    let mut port = port()?;
    let lines = BufReader::new(port.try_clone()?).lines();
    writeln!(port, "{}", json!({ "up": true }))?;
    for line in lines {
        let Ok(request) = serde_json::from_str::<Value>(&line?) else { continue };
        let (number, command) = (&request["number"], request["run"].as_str().unwrap_or_default());
        let log = request["log"].as_str();
        let answer = match log {
            Some(log) => begin(command, log),
            None => run(command),
        };
        let (code, said) = answer.unwrap_or_else(|error| (-1, error.to_string()));
        writeln!(port, "{}", json!({ "number": number, "code": code, "said": said }))?;
    }
    Ok(())
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The serial port, once its driver has found it.
fn port() -> std::io::Result<File> {
    loop {
        let ports = fs::read_dir("/dev")?.flatten().map(|entry| entry.path());
        let is_ours =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vport"));
        if let Some(path) = ports.into_iter().find(|path| is_ours(path)) {
            return OpenOptions::new().read(true).write(true).open(path);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn run(command: &str) -> std::io::Result<(i32, String)> {
    let output =
        Command::new("/bin/sh").args(["-c", command]).env("PATH", PATH).stdin(Stdio::null()).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
}

/// Starts a command and does not wait for it; what is said is its process id.
fn begin(command: &str, log: &str) -> std::io::Result<(i32, String)> {
    let log = File::create(log)?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec {command}")]).env("PATH", PATH).stdin(Stdio::null());
    let mut child = shell.stdout(log.try_clone()?).stderr(log).spawn()?;
    let pid = child.id();
    thread::spawn(move || child.wait());
    Ok((0, pid.to_string()))
}

/// On the machine's console.
fn say(text: &str) {
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        // Nobody may be looking.
        let _ = writeln!(console, "inside: {text}");
    }
}
