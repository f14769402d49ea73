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
    for (variable, crate_of, test) in
        [("MANTLE_TEST_KERNEL", "mantle", Some("kernel")), ("MANTLE_TEST_LIB", "mantle", None)]
    {
        program.env(variable, test_program(crate_of, test)?);
    }
    let error = program.exec();
    Err(error).context("cannot run the machines' program")
}

/// The test program of a package: its library's, or one of its own.
fn test_program(package: &str, test: Option<&str>) -> anyhow::Result<PathBuf> {
    let mut cargo = build::bare_cargo();
    cargo.current_dir(Place::workspace()).args([
        "test",
        "--workspace",
        "--no-run",
        "--message-format",
        "json",
    ]);
    let said = process::silent(&mut cargo)?;
    let name = test.unwrap_or(package);
    let kind = if test.is_some() { "\"kind\":[\"test\"]" } else { "\"kind\":[\"lib\"]" };
    let is_it = |line: &&str| {
        line.contains("\"reason\":\"compiler-artifact\"")
            && line.contains(kind)
            && line.contains(&format!("\"name\":\"{name}\""))
            && line.contains("\"test\":true")
            && !line.contains("\"executable\":null")
    };
    let line = said.lines().find(is_it).with_context(|| format!("cargo built no test program {name}"))?;
    let path = line.rsplit_once("\"executable\":\"").and_then(|(_, rest)| rest.split_once('"'));
    Ok(PathBuf::from(path.with_context(|| format!("cargo names no program: {line}"))?.0))
}
