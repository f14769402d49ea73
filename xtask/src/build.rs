//! Building with cargo, always in the same two ways: another choice of packages would unify other features, and
//! compile the same crates once more.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

use crate::place::Place;
use crate::process;

/// What the code is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

impl Profile {
    /// The folder cargo builds it to.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }

    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Dev => None,
            Self::Release => Some("--release"),
        }
    }
}

/// The cargo that runs this task, on this workspace.
pub(crate) fn cargo(task: &str, profile: Profile) -> Command {
    let mut cargo = bare_cargo();
    cargo.current_dir(Place::workspace()).args([task, "--workspace"]).args(profile.flag());
    cargo
}

/// The cargo that runs this task, for something else.
pub(crate) fn bare_cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os().filter(|(name, _)| describes_a_package(name)) {
        cargo.env_remove(name);
    }
    cargo
}

/// `cargo run` describes xtask's package in the environment. ring's build script watches those very variables: handed
/// on, they would have ring and all that needs it built anew whenever a build by xtask follows one by hand.
fn describes_a_package(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_")
}

/// Builds every program.
pub(crate) fn everything(profile: Profile) -> anyhow::Result<()> {
    process::shown(cargo("build", profile).arg("--bins"))
}

/// Builds every program and every test. `cargo test` alone would leave out the agent that the scenarios run.
pub(crate) fn with_tests(profile: Profile) -> anyhow::Result<()> {
    process::shown(cargo("build", profile).args(["--bins", "--tests"]))
}
