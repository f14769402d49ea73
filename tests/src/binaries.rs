//! Where the programs are that the lab runs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::etcd::EtcdVersion;

/// The agent: `MANTLE_BIN`, or what cargo built next to the running program.
pub(crate) fn mantle() -> PathBuf {
    let path = env::var_os("MANTLE_BIN").map_or_else(|| profile().join("mantle"), PathBuf::from);
    assert!(
        path.is_file(),
        "there is no agent at {}: build it with `cargo build --bin mantle`, or name it in MANTLE_BIN",
        path.display()
    );
    path
}

/// An etcd of that version: a directory named in the environment, what `cargo xtask setup` unpacked, or the one on
/// the `PATH`.
pub(crate) fn etcd(version: EtcdVersion) -> PathBuf {
    let (number, variable) = match version {
        EtcdVersion::V34 => ("3.4", "MANTLE_ETCD_34"),
        EtcdVersion::V35 => ("3.5", "MANTLE_ETCD_35"),
    };
    let named = env::var_os(variable).map(|directory| PathBuf::from(directory).join("etcd"));
    let unpacked = target().join(format!("tools/etcd-{number}/etcd"));
    let on_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|path| env::split_paths(&path).map(|directory| directory.join("etcd")).collect::<Vec<_>>());
    named
        .into_iter()
        .chain([unpacked])
        .chain(on_path)
        .find(|path| path.is_file() && is_version(path, number))
        .unwrap_or_else(|| {
            panic!(
                "there is no etcd {number} here: run `cargo xtask setup`, or name its directory in {variable}"
            )
        })
}

/// Cargo's target directory: logs go there, since it is nobody's treasure.
pub(crate) fn target() -> PathBuf {
    let program = program();
    // Cargo marks the directory, wherever CARGO_TARGET_DIR or `--target` put the program within it.
    let marked = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| profile().join(".."), Path::to_path_buf)
}

fn profile() -> PathBuf {
    let directory = program().parent().expect("a program lies in a directory").to_path_buf();
    if directory.ends_with("deps") { directory.join("..") } else { directory }
}

fn program() -> PathBuf {
    env::current_exe().unwrap_or_else(|error| panic!("cannot tell where this program lies: {error}"))
}

fn is_version(etcd: &Path, number: &str) -> bool {
    let output = Command::new(etcd).arg("--version").output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).starts_with(&format!("etcd Version: {number}."))
    })
}
