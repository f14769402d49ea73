//! The first root of a machine: a busybox and the modules that it takes to mount the host's root.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use super::kernel::Kernel;

/// What the host's root is mounted with; each brings what it depends on.
const MODULES: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/// What runs first. The host's root is read by 9p and lies below a layer of the machine's own, in memory; between them lie
/// the programs that were unpacked for machines.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sysfs /sys; $b mount -t devtmpfs devtmpfs /dev
for module in $($b cat /modules); do $b insmod /lib/$module; done
options=trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000
$b mount -t 9p -o $options host /host && $b mount -t 9p -o $options tools /tools || exec $b sh
$b mount -t tmpfs layer /layer; $b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/tools:/host,upperdir=/layer/upper,workdir=/layer/work root /new || exec $b sh
for directory in proc sys dev; do $b mount --move /$directory /new/$directory; done
exec $b switch_root /new "$($b sed 's/.* inside=\([^ ]*\).*/\1/' /new/proc/cmdline)"
"#;

/// Writes it for a kernel.
pub(super) fn write(kernel: &Kernel, busybox: &Path, to: &Path) -> io::Result<()> {
    let mut archive = Archive::default();
    for directory in ["bin", "lib", "proc", "sys", "dev", "host", "tools", "layer", "new"] {
        archive.add(directory, 0o40_755, b"");
    }
    archive.add("bin/busybox", 0o100_755, &fs::read(busybox)?);
    archive.add("init", 0o100_755, INIT.as_bytes());
    let mut order = String::new();
    for path in in_order(&fs::read_to_string(kernel.modules().join("modules.dep"))?) {
        let name = path.rsplit('/').next().unwrap_or(&path).trim_end_matches(".xz").to_owned();
        archive.add(&format!("lib/{name}"), 0o100_644, &module(&kernel.modules().join(&path))?);
        order.push_str(&name);
        order.push('\n');
    }
    archive.add("modules", 0o100_644, order.as_bytes());
    fs::File::create(to)?.write_all(&archive.finish())
}

/// The modules with all that they depend on, in the order in which they are loaded. One that is no module is in the kernel.
fn in_order(dependencies: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for module in MODULES {
        let is_it = |path: &str| {
            path.rsplit('/').next().is_some_and(|name| name.trim_end_matches(".xz") == format!("{module}.ko"))
        };
        let line = dependencies.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| is_it(path));
        let Some((path, needs)) = line else { continue };
        // depmod lists what a module needs with what is needed first at the end.
        for path in needs.split_whitespace().rev().chain([path]) {
            if seen.insert(path.to_owned()) {
                order.push(path.to_owned());
            }
        }
    }
    order
}

fn module(path: &Path) -> io::Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(path).output()?;
        return if output.status.success() { Ok(output.stdout) } else { Err(io::Error::other("xz failed")) };
    }
    fs::read(path)
}

/// A cpio archive in the form that the kernel unpacks ("newc").
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        let size = |length: usize| u32::try_from(length).expect("a module is smaller than 4 GiB");
        let fields = [0, mode, 0, 0, 1, 0, size(content.len()), 0, 0, 0, 0, size(name.len() + 1), 0];
        self.0.extend(b"070701");
        for field in fields {
            self.0.extend(format!("{field:08x}").bytes());
        }
        self.0.extend(name.bytes().chain([0]));
        self.pad();
        self.0.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_loaded_before_it_and_once() {
        let dependencies = "kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n\
                            kernel/net/9p/9pnet.ko.xz:\n\
                            kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko.xz\n";
        let order = in_order(dependencies);
        let names: Vec<_> = order.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["9pnet.ko.xz", "9pnet_virtio.ko", "netfs.ko.xz", "9p.ko.xz"]);
    }

    #[test]
    fn an_archive_is_padded_and_ends_with_its_trailer() {
        let mut archive = Archive::default();
        archive.add("a", 0o100_644, b"hello");
        let bytes = archive.finish();
        assert!(bytes.starts_with(b"070701") && bytes.len() % 4 == 0);
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
