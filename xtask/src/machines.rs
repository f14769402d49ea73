//! `cargo xtask machines`: emulated machines with real kernels and drivers.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::build::{self, Profile};
use crate::place::Place;
use crate::process;
use crate::refusal;
use crate::setup::{self, Purpose, debian};

/// The emulator, and what scenarios run inside machines.
const PACKAGES: [&str; 7] =
    ["qemu-system-x86", "busybox-static", "kmod", "xz-utils", "nftables", "ipvsadm", "network-manager"];
/// The kernels: Debian 12's own, and the one of its backports.
const KERNELS: [&str; 2] = ["linux-image-amd64", "linux-image-6.12-amd64"];

/// Prepares and builds, then becomes the program that boots the machines.
pub(crate) fn run(place: &Place, arguments: &[String]) -> anyhow::Result<Infallible> {
    refusal::unless_root("for the lab's network namespaces")?;
    setup::prepare(Purpose::Lab, place)?;
    let root = place.tools().join("machines");
    debian::unpack(&PACKAGES, &KERNELS, &root)?;
    build::with_tests(Profile::Dev)?;
    let mut program = Command::new(place.program(Profile::Dev, "machines"));
    program.args(arguments).env("MANTLE_MACHINES", &root);
    let built = built_tests()?;
    program.env("MANTLE_TEST_KERNEL", test_program(&built, "test", "kernel")?);
    program.env("MANTLE_TEST_LIB", test_program(&built, "lib", "mantle")?);
    let error = program.exec();
    Err(error).context("cannot run the machines' program")
}

/// What cargo says of the test programs, a line of JSON each.
fn built_tests() -> anyhow::Result<String> {
    let mut cargo = build::cargo("test", Profile::Dev);
    process::silent(cargo.args(["--no-run", "--message-format", "json"]))
}

/// The test program of that kind and name.
fn test_program(built: &str, kind: &str, name: &str) -> anyhow::Result<PathBuf> {
    let marks =
        [format!("\"kind\":[\"{kind}\"]"), format!("\"name\":\"{name}\""), "\"executable\":\"".to_owned()];
    let line = built.lines().find(|line| marks.iter().all(|mark| line.contains(mark)));
    let path = line.and_then(|line| line.rsplit_once("\"executable\":\"")?.1.split_once('"'));
    Ok(PathBuf::from(path.with_context(|| format!("cargo built no test program {name}"))?.0))
}
