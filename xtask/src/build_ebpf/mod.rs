//! `cargo xtask build-ebpf`: the kernel programs, from the sources in `ebpf/` to the objects in `ebpf/prebuilt/`.
//!
//! The objects are committed, so that nobody needs an eBPF toolchain to build the agent. `--check` is what keeps them
//! honest: it builds them anew and compares, instruction by instruction. It needs the toolchain that built them,
//! since another compiler gives other instructions for the same sources; which one that was is committed beside them.

mod compare;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::place::Place;
use crate::process;
use toolchain::Toolchain;

/// The programs of the crate `mantle-ebpf`, and the objects they are committed as.
const OBJECTS: [(&str, &str); 2] = [("programs", "mantle.o"), ("baseline", "baseline.o")];

/// Where it stands which toolchain made the objects.
const RECORD: &str = "toolchain.txt";

/// Where the objects are loaded: a little-endian machine, whatever its instructions.
const TARGET: &str = "bpfel-unknown-none";

/// Builds the objects, and commits them to `ebpf/prebuilt/` or compares them with what is there.
pub(crate) fn run(place: &Place, check: bool) -> anyhow::Result<()> {
    let toolchain = Toolchain::provide(place)?;
    let description = toolchain.description()?;
    println!("Building with {}:\n{description}", toolchain.name());
    let built = build(place, &toolchain)?;
    let prebuilt = Place::workspace().join("ebpf/prebuilt");
    if check {
        compare_all(&built, &prebuilt, &description)
    } else {
        replace_all(&built, &prebuilt, &description)
    }
}

fn build(place: &Place, toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
    let target = place.target().join("ebpf");
    let flags = [
        // Jumps and arithmetic on 32 bits. Linux has them since 5.1, and the programs' ring buffer only since 5.8.
        "-Ctarget-cpu=v3".to_owned(),
        format!("--remap-path-prefix={}=/mantle", Place::workspace().display()),
    ];
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

fn replace_all(built: &Path, prebuilt: &Path, description: &str) -> anyhow::Result<()> {
    for (program, object) in OBJECTS {
        let (from, to) = (built.join(program), prebuilt.join(object));
        fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        println!("{}", to.display());
    }
    let record = prebuilt.join(RECORD);
    fs::write(&record, description).with_context(|| format!("cannot write {}", record.display()))
}

fn compare_all(built: &Path, prebuilt: &Path, description: &str) -> anyhow::Result<()> {
    let record = prebuilt.join(RECORD);
    let recorded =
        fs::read_to_string(&record).with_context(|| format!("cannot read {}", record.display()))?;
    let mut differences = Vec::new();
    for (program, object) in OBJECTS {
        let committed = prebuilt.join(object);
        match compare::objects(&committed, &built.join(program))? {
            None => println!("{object}: the same instructions"),
            Some(difference) => differences.push(format!("{object}: {difference}")),
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    let differences = differences.join("\n");
    if recorded != description {
        bail!(
            "{differences}\nThat need not mean that the committed objects are stale: they were made by\n{recorded}\
             Compare with that toolchain, or take these over with `cargo xtask build-ebpf`, test them and commit them."
        );
    }
    bail!(
        "{differences}\nThe committed objects are not what the sources give: run `cargo xtask build-ebpf`, test the \
         result and commit it."
    );
}

/// A command for cargo's own children to find first on the `PATH`.
fn with_first_on_path(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).context("cannot put a folder on the PATH")?;
    command.env("PATH", path);
    Ok(())
}
