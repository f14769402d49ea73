//! What the figures were measured on.

use std::fmt;
use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::binaries;
use crate::etcd::EtcdOptions;

/// The facts that a figure depends on.
#[derive(Debug)]
pub(super) struct Machine {
    kernel: String,
    processor: String,
    cores: usize,
    load: String,
    etcd: String,
    agent: String,
}

impl Machine {
    /// Looks at the machine, as busy as it is now.
    pub(super) fn look() -> Self {
        let mut etcd = Command::new(binaries::etcd(EtcdOptions::default().version));
        let mut agent = Command::new(binaries::mantle());
        Self {
            kernel: first_line("/proc/sys/kernel/osrelease"),
            processor: processor(),
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            load: first_line("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            etcd: version(&mut etcd),
            agent: version(&mut agent),
        }
    }

    /// The facts as JSON.
    pub(super) fn json(&self) -> Value {
        let Self { kernel, processor, cores, load, etcd, agent } = self;
        json!({
            "kernel": kernel, "processor": processor, "cores": cores, "load_at_start": load,
            "etcd": etcd, "agent": agent,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, processor, cores, load, etcd, agent } = self;
        write!(f, "{agent}, {etcd}, Linux {kernel}, {cores} cores of {processor}, load {load}")
    }
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "an unnamed processor".to_owned(), |(_, model)| model.trim().to_owned())
}

/// The first line that a program prints when asked for its version.
fn version(program: &mut Command) -> String {
    let output = program.arg("--version").output();
    let printed =
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    printed.lines().next().unwrap_or("a version unknown").to_owned()
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
