//! The table: what is tried on which machines. A new driver or kernel is a row here.

use super::cluster::{Plan, course};
use super::machine::{Card, Hardware, On};
use super::{Bench, unit_tests};

/// One row.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The lines of the kernels that it boots.
    pub(super) kernels: &'static [&'static str],
    /// Whether it belongs to the quick set.
    pub(super) quick: bool,
    /// Why it is red until that is repaired.
    pub(super) red_because: Option<&'static str>,
    pub(super) run: fn(&str, &Bench) -> String,
}

/// All rows.
pub(super) fn all() -> Vec<Row> {
    let mut rows = vec![
        Row {
            name: "tests-6.1",
            about: "the data plane's and the links' tests on 6.1",
            kernels: &["6.1"],
            quick: true,
            red_because: None,
            run: |name, bench| unit_tests::run(name, "6.1", bench),
        },
        Row {
            name: "tests-6.12",
            about: "the data plane's and the links' tests on 6.12",
            kernels: &["6.12"],
            quick: true,
            red_because: None,
            run: |name, bench| unit_tests::run(name, "6.12", bench),
        },
    ];
    let cluster = |name, about, run| Row { name, about, kernels: MIXED, quick: true, red_because: None, run };
    rows.push(cluster("virtio-tc", "virtio-net, the program at TC, 6.1 and 6.12 mixed", |name, bench| {
        course(name, &plain("virtio-net-pci", "dataplane: {mode: tc}"), bench)
    }));
    rows.push(cluster("virtio-xdp", "virtio-net, the program at native XDP", |name, bench| {
        course(name, &plain("virtio-net-pci", "dataplane: {mode: xdp}"), bench)
    }));
    rows.push(cluster("e1000e", "e1000e", |name, bench| course(name, &plain("e1000e", ""), bench)));
    rows.push(cluster("vmxnet3", "vmxnet3", |name, bench| course(name, &plain("vmxnet3", ""), bench)));
    rows
}

/// The rows' names, for people.
pub(super) fn names() -> String {
    all().iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

const MIXED: &[&str] = &["6.1", "6.12"];

/// Three machines with two cards each and nothing else.
fn plain(model: &'static str, settings: &'static str) -> Plan {
    let cards = vec![Card { model, on: On::Public }, Card { model: "virtio-net-pci", on: On::Private }];
    let machine = |kernel: &str| Hardware { kernel: kernel.to_owned(), cards: cards.clone() };
    Plan {
        hardware: vec![machine("6.1"), machine("6.12"), machine("6.1")],
        links: "modprobe -a virtio_net e1000e vmxnet3; udevadm --version >/dev/null 2>&1; true",
        link: "eth0",
        private: "eth1",
        settings,
    }
}
