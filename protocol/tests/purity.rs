//! The protocol does no I/O: nothing that could is anywhere in what it is built from.

use std::process::Command;

/// What would bring sockets, system calls, a runtime or the kernel into the protocol.
const IMPURE: [&str; 9] =
    ["tokio", "nix", "libc", "aya", "pnet", "rtnetlink", "etcd-client", "mio", "socket2"];

#[test]
fn the_crate_depends_on_nothing_that_does_io() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package", "mantle-protocol", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"mantle-protocol") && names.contains(&"thiserror"), "no tree: {tree}");
    for impure in IMPURE {
        assert!(!names.contains(&impure), "{impure} is in the protocol's tree:\n{tree}");
    }
}
