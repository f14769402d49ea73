//! A Rust compiler that has the kernel's instruction set as a target, and its linker.
//!
//! There are two roads. Debian's `rustc-web` comes with `core` built for the target; rustup's nightly builds `core`
//! from its sources. Stable releases from rustup can do neither.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::TARGET;
use crate::place::Place;
use crate::{build, process, setup};

/// The one version of bpf-linker that the committed objects are linked with.
const LINKER_VERSION: &str = "0.13.0";

/// Where Debian's packages put their compiler. rustup's may well be first on the `PATH`.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

const ELSEWHERE: &str = "install rustup's nightly with its sources (`rustup toolchain install nightly \
                         --component rust-src`) and bpf-linker 0.13";

/// What the programs are built with.
#[derive(Debug)]
pub(super) struct Toolchain {
    kind: Kind,
    /// The folder that bpf-linker lies in.
    linker: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Debian,
    Nightly,
}

impl Toolchain {
    /// Finds a toolchain, and gets what is missing if it can.
    pub(super) fn provide(place: &Place) -> anyhow::Result<Self> {
        let kind = if let Some(kind) = Kind::of_this_machine() {
            kind
        } else {
            let why = "There is no compiler here for the kernel's instruction set";
            setup::packages(&["rustc-web", "libstd-rust-web-dev-bpf"], why, ELSEWHERE)?;
            Kind::of_this_machine().with_context(|| format!("the packages did not help: {ELSEWHERE}"))?
        };
        let linker = match kind {
            Kind::Debian => debian_linker(place)?,
            Kind::Nightly => linker_on_path()?,
        };
        Ok(Self { kind, linker })
    }

    /// What it is, in a few words.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Debian => "Debian's rustc-web",
            Kind::Nightly => "rustup's nightly, building `core` from its sources",
        }
    }

    /// All that decides which instructions come out, a line each.
    pub(super) fn description(&self) -> anyhow::Result<String> {
        let verbose = process::silent(self.kind.rustc().arg("-vV"))?;
        let rustc = verbose.lines().next().unwrap_or_default();
        let llvm = llvm_version(&verbose)?;
        let linker = process::silent(Command::new(self.linker.join("bpf-linker")).arg("--version"))?;
        Ok(format!("{rustc}\nLLVM {llvm}\n{}\n", linker.trim()))
    }

    /// Its cargo.
    pub(super) fn cargo(&self) -> anyhow::Result<Command> {
        let mut cargo = match self.kind {
            Kind::Debian => {
                let mut cargo = build::bare_cargo();
                cargo.env("RUSTC", DEBIAN_RUSTC);
                cargo
            }
            Kind::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", "nightly", "cargo", "-Zbuild-std=core"]);
                cargo
            }
        };
        super::with_first_on_path(&mut cargo, &self.linker)?;
        Ok(cargo)
    }
}

impl Kind {
    fn of_this_machine() -> Option<Self> {
        [Self::Debian, Self::Nightly].into_iter().find(|kind| kind.is_here())
    }

    fn is_here(self) -> bool {
        let print = |what| process::silent(self.rustc().args(["--print", what, "--target", TARGET])).ok();
        match self {
            Self::Debian => print("target-libdir").is_some_and(|folder| Path::new(folder.trim()).is_dir()),
            Self::Nightly => print("sysroot").is_some_and(|folder| {
                Path::new(folder.trim()).join("lib/rustlib/src/rust/library/core").is_dir()
            }),
        }
    }

    fn rustc(self) -> Command {
        match self {
            Self::Debian => Command::new(DEBIAN_RUSTC),
            Self::Nightly => {
                let mut rustc = Command::new("rustup");
                rustc.args(["run", "nightly", "rustc"]);
                rustc
            }
        }
    }
}

/// bpf-linker, built against the LLVM that Debian's compiler was built against: it reads that compiler's bitcode.
fn debian_linker(place: &Place) -> anyhow::Result<PathBuf> {
    let tools = place.tools();
    let folder = tools.join("bin");
    if is_linker(&folder.join("bpf-linker")) {
        return Ok(folder);
    }
    let verbose = process::silent(Kind::Debian.rustc().arg("-vV"))?;
    let major = llvm_version(&verbose)?.split('.').next().unwrap_or_default();
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{major}"));
    if !prefix.join("bin/llvm-config").is_file() {
        let package = format!("llvm-{major}-dev");
        setup::packages(&[&package], "bpf-linker is built against LLVM's libraries", ELSEWHERE)?;
    }
    println!("Building bpf-linker {LINKER_VERSION}; this takes a minute or two, once");
    let mut cargo = build::bare_cargo();
    cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{major}")]);
    // It links two small programs: to optimize it would take longer than all it ever does.
    cargo.arg("--debug").env("CARGO_PROFILE_DEV_DEBUG", "none");
    cargo.arg("--root").arg(&tools);
    let build = tools.join("bpf-linker");
    cargo.env("LLVM_PREFIX", prefix).env("CARGO_TARGET_DIR", &build);
    process::shown(&mut cargo)?;
    // Hundreds of megabytes that nobody needs again.
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    Ok(folder)
}

/// The bpf-linker of whoever built this nightly's LLVM: nothing we could build here.
fn linker_on_path() -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).find(|folder| is_linker(&folder.join("bpf-linker")));
    let Some(folder) = found else {
        bail!(
            "rustup's nightly is here, but bpf-linker {LINKER_VERSION} is not on the PATH: get its release for the LLVM \
             of that compiler (`rustc +nightly -vV`)"
        );
    };
    Ok(folder)
}

fn is_linker(program: &Path) -> bool {
    process::silent(Command::new(program).arg("--version")).is_ok_and(|said| said.contains(LINKER_VERSION))
}

/// The LLVM version in what `rustc -vV` says.
fn llvm_version(verbose: &str) -> anyhow::Result<&str> {
    verbose
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .context("rustc -vV tells no LLVM version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_version_is_read_from_what_rustc_says() {
        let verbose =
            "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_version(verbose).unwrap(), "22.1.8");
        assert!(llvm_version("rustc 1.0.0\n").is_err());
    }
}
