//! `cargo xtask build-ebpf`: the kernel programs, from the sources in `ebpf/` to the objects in `ebpf/prebuilt/`.
//!
//! The objects are committed, so that nobody needs an eBPF toolchain to build the agent. Two things keep them honest.
//! An ordinary test compares digests of sources and objects with those written when the objects were built
//! ([`origin`]): it runs everywhere. `--check` builds them anew and compares instruction by instruction: it needs the
//! very toolchain that built them, since another compiler gives other instructions for the same sources. With another
//! one it compares what both must have in common, and says that this was all.

mod compare;
mod origin;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::place::Place;
use crate::process;
use origin::{Origin, REMEDY};
use toolchain::Toolchain;

/// The programs of the crate `mantle-ebpf`, and the objects they are committed as.
const OBJECTS: [(&str, &str); 2] = [("programs", "mantle.o"), ("baseline", "baseline.o")];

/// Where the objects are loaded: a little-endian machine, whatever its instructions.
const TARGET: &str = "bpfel-unknown-none";

/// How the compiler and the linker are told to build.
const FLAGS: [&str; 2] = [
    // Jumps and arithmetic on 32 bits. Linux has them since 5.1, and the programs' ring buffer only since 5.8.
    "-Ctarget-cpu=v3",
    // Otherwise the linker puts bcmp into every object, from the compiler's builtins: no program calls it.
    "-Clink-arg=--disable-memory-builtins",
];

/// Builds the objects, and puts them into `ebpf/prebuilt/` or compares them with what is there.
pub(crate) fn run(place: &Place, check: bool) -> anyhow::Result<()> {
    let prebuilt = Place::workspace().join("ebpf/prebuilt");
    if check {
        // Before the minutes that a toolchain may take.
        Origin::read(&prebuilt)?.verify(&prebuilt)?;
    }
    let toolchain = Toolchain::provide(place)?;
    let description = toolchain.description()?;
    println!("Building with {}:\n{}", toolchain.name(), description.trim_end());
    let built = build(place, &toolchain)?;
    if check {
        compare_all(&built, &prebuilt, &description)
    } else {
        replace_all(&built, &prebuilt, description)
    }
}

fn build(place: &Place, toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
    let target = place.target().join("ebpf");
    let remap = format!("--remap-path-prefix={}=/mantle", Place::workspace().display());
    let flags = [FLAGS.as_slice(), &[&remap]].concat();
    let mut cargo = toolchain.cargo()?;
    cargo.current_dir(Place::workspace());
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "mantle-ebpf",
        "--features",
        "program",
        "--bins",
    ]);
    cargo.args(["--target", TARGET]);
    // bpf-linker optimizes the whole program by itself, from the bitcode.
    cargo.args(["--config", "profile.release.lto=false", "--config", "profile.release.codegen-units=1"]);
    cargo.args(["--config", "profile.release.strip=false"]);
    // `aya-ebpf` turns a few unstable features of the compiler on, in any case.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_DIR", &target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    process::shown(&mut cargo)?;
    Ok(target.join(TARGET).join("release"))
}

fn replace_all(built: &Path, prebuilt: &Path, description: String) -> anyhow::Result<()> {
    for (program, object) in OBJECTS {
        let (from, to) = (built.join(program), prebuilt.join(object));
        fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        println!("{}", to.display());
    }
    Origin::now(description, prebuilt)?.write(prebuilt)
}

fn compare_all(built: &Path, prebuilt: &Path, description: &str) -> anyhow::Result<()> {
    let recorded = Origin::read(prebuilt)?.toolchain;
    let is_same_toolchain = recorded == description;
    let mut differences = Vec::new();
    for (program, object) in OBJECTS {
        let (committed, built) = (prebuilt.join(object), built.join(program));
        let instructions = compare::instructions(&committed, &built)?;
        let (compared, difference) = match instructions {
            Some(_) if !is_same_toolchain => (
                "the same maps, sections and helpers; the instructions differ",
                compare::outlines(&committed, &built)?,
            ),
            difference => ("the same instructions", difference),
        };
        match difference {
            None => println!("{object}: {compared}"),
            Some(difference) => differences.push(format!("{object}: {difference}")),
        }
    }
    if !is_same_toolchain {
        println!(
            "Another toolchain made the committed objects, so other instructions prove nothing against them, nor do \
             the same maps, sections and helpers prove much for them. For an answer, build with\n{}",
            recorded.trim_end()
        );
    }
    if differences.is_empty() {
        return Ok(());
    }
    bail!("{}\nThe committed objects are not what the sources give: {REMEDY}", differences.join("\n"));
}

/// A command for cargo's own children to find first on the `PATH`.
fn with_first_on_path(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).context("cannot put a folder on the PATH")?;
    command.env("PATH", path);
    Ok(())
}
