//! The lab's own programs.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};

use crate::build::{self, Profile};
use crate::place::Place;
use crate::refusal;
use crate::setup::{self, Purpose};

/// A program of the crate `mantle-tests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Tells the story of a VIP.
    Demo,
    /// Has everything go wrong.
    Torment,
    /// Measures.
    Bench,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Torment => "torment",
            Self::Bench => "bench",
        }
    }

    fn profile(self) -> Profile {
        match self {
            // Its times are the protocol's, not the compiler's: what counts is how soon it starts.
            Self::Demo | Self::Torment => Profile::Dev,
            Self::Bench => Profile::Release,
        }
    }

    fn purpose(self) -> Purpose {
        match self {
            Self::Demo | Self::Torment => Purpose::Lab,
            Self::Bench => Purpose::Bench,
        }
    }
}

/// Prepares and builds, then becomes that program: it alone gets Ctrl-C then, and can clean up before the shell
/// returns.
pub(crate) fn program(place: &Place, program: Program, arguments: &[String]) -> anyhow::Result<Infallible> {
    refusal::unless_root("for the lab's network namespaces")?;
    setup::prepare(program.purpose(), place)?;
    build::everything(program.profile())?;
    let path = place.program(program.profile(), program.name());
    if !path.is_file() {
        bail!("cargo built no {}: is `{}` a program of mantle-tests?", path.display(), program.name());
    }
    let error = Command::new(&path).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", path.display()))
}
