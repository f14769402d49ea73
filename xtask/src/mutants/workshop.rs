//! A copy of the protocol and of what proves it, in which mutants are built and judged.
//!
//! Only the few crates that are needed are copied, so that a mutant is built in seconds; the copy stays between mutants, so
//! that only what changed is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context, bail};

use super::mutant::{Kind, Mutant};
use super::results::Outcome;
use super::stage::Stage;
use crate::build;
use crate::place::Place;

/// What is copied. The protocol's tests compare it with a page of the documentation.
const COPIED: [&str; 5] = ["Cargo.lock", "docs/protocol.md", "ebpf", "protocol", "sim"];

/// The copy, as cargo is to build it: quickly, and the simulator and the model so that they run quickly.
const PROFILE: &str = "
[profile.dev]
opt-level = 1
debug = false
incremental = true

[profile.dev.package]
stateright.opt-level = 3
mantle-ebpf.opt-level = 0
mantle-protocol.opt-level = 1
mantle-sim.opt-level = 1
";

pub(super) struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// Makes the copy anew, but keeps what was built in it.
    pub(super) fn set_up(folder: &Path) -> anyhow::Result<Self> {
        for name in COPIED {
            let (from, to) = (Place::workspace().join(name), folder.join(name));
            if to.is_dir() {
                fs::remove_dir_all(&to).with_context(|| format!("cannot remove {}", to.display()))?;
            }
            copy(&from, &to).with_context(|| format!("cannot copy {name}"))?;
        }
        let manifest = fs::read_to_string(Place::workspace().join("Cargo.toml"))?;
        let (manifest, _) =
            manifest.split_once("[profile.release]").context("the workspace has no profiles")?;
        let members = manifest.lines().find(|line| line.starts_with("members = "));
        let members = members.context("the workspace has no members")?;
        let manifest = manifest.replace(members, r#"members = ["ebpf", "protocol", "sim"]"#) + PROFILE;
        fs::write(folder.join("Cargo.toml"), manifest)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Judges a mutant; or, without one, makes sure that nothing is red unbroken.
    pub(super) fn judge(&mut self, mutant: Option<&Mutant>) -> anyhow::Result<Outcome> {
        let Some(mutant) = mutant else {
            return match self.run(&Stage::ALL, |end| *end != End::Green)? {
                Outcome::Survived => Ok(Outcome::Survived),
                outcome => bail!("without any mutant: {outcome}; the log is {}", self.log().display()),
            };
        };
        let path = self.folder.join(&mutant.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        fs::write(&path, mutant.apply(&text)?)?;
        let outcome = match mutant.kind {
            Kind::Rule => self.run(&Stage::FROM_OUTSIDE, End::shows_a_violation),
            Kind::Generated => self.run(&Stage::ALL, |end| *end != End::Green),
        };
        fs::write(&path, text)?;
        match outcome? {
            // A rule that does not compile would be a rule that nobody puts to the test.
            Outcome::Unviable if mutant.kind == Kind::Rule => {
                bail!("{} does not compile; the log is {}", mutant.name, self.log().display())
            }
            outcome => Ok(outcome),
        }
    }

    /// Runs one stage after another until one notices, as `notices` judges how it ended.
    fn run(&self, stages: &[Stage], notices: fn(&End) -> bool) -> anyhow::Result<Outcome> {
        for stage in stages {
            let Some(program) = self.built(*stage)? else { return Ok(Outcome::Unviable) };
            if notices(&self.end_of(*stage, &program)?) {
                return Ok(Outcome::Caught(*stage));
            }
        }
        Ok(Outcome::Survived)
    }

    /// The stage's program; none if it does not compile.
    fn built(&self, stage: Stage) -> anyhow::Result<Option<PathBuf>> {
        match self.build(stage)? {
            // What the compiler kept of an earlier build sometimes does not fit: that says nothing of the mutant.
            Built::NotLinked => {
                fs::remove_dir_all(self.folder.join("target/debug")).context("cannot remove an old build")?;
                match self.build(stage)? {
                    Built::Program(program) => Ok(Some(program)),
                    Built::NotCompiled => Ok(None),
                    Built::NotLinked => {
                        bail!("what compiles does not link; the log is {}", self.log().display())
                    }
                }
            }
            Built::NotCompiled => Ok(None),
            Built::Program(program) => Ok(Some(program)),
        }
    }

    fn build(&self, stage: Stage) -> anyhow::Result<Built> {
        let (package, test) = stage.program();
        let mut cargo = build::bare_cargo();
        cargo.current_dir(&self.folder).env("CARGO_TARGET_DIR", self.folder.join("target"));
        // A warning is no reason not to judge a mutant.
        cargo.env("RUSTFLAGS", "--cap-lints=warn").args(["test", "--no-run", "--package", package]);
        match test {
            Some(test) => cargo.args(["--test", test]),
            None => cargo.arg("--lib"),
        };
        let output = cargo.stdin(Stdio::null()).output().context("cannot run cargo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            fs::write(self.log(), said.as_bytes())?;
            // Anything else, a full disk or a package that cannot be had, says nothing of the mutant.
            if !said.contains("could not compile") {
                bail!("cargo failed, and not for the mutant; the log is {}", self.log().display());
            }
            let linked = !said.contains("error: linking with");
            return Ok(if linked { Built::NotCompiled } else { Built::NotLinked });
        }
        let program = said.lines().find_map(|line| line.trim().strip_prefix("Executable ")?.rsplit_once('('));
        let (_, program) = program.with_context(|| format!("cargo names no program: {said}"))?;
        Ok(Built::Program(self.folder.join(program.trim_end_matches(')'))))
    }

    /// How the stage ends.
    fn end_of(&self, stage: Stage, program: &Path) -> anyhow::Result<End> {
        let log = fs::File::create(self.log())?;
        let package = stage.program().0.trim_start_matches("mantle-");
        let mut child = Command::new(program)
            .args(stage.filters())
            .env("MANTLE_SEEDS", stage.seeds())
            .env("RUST_BACKTRACE", "0")
            .current_dir(self.folder.join(package))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let until = Instant::now() + stage.limit();
        loop {
            if let Some(status) = child.try_wait()? {
                let said = fs::read_to_string(self.log()).context("cannot read what a test said")?;
                return Ok(if status.success() { End::Green } else { End::Red { said } });
            }
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                return Ok(End::TimedOut);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the last build or test said.
    fn log(&self) -> PathBuf {
        self.folder.join("log.txt")
    }
}

/// What came of a build.
enum Built {
    Program(PathBuf),
    NotCompiled,
    NotLinked,
}

/// How a stage ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Green,
    Red { said: String },
    TimedOut,
}

impl End {
    /// Whether an invariant was violated, as the simulator's story or the model says. Not a time-out, which may be the machine's
    /// fault; nor that something was done too seldom to prove much, which judges the worlds and not the protocol.
    fn shows_a_violation(&self) -> bool {
        match self {
            Self::Red { said } => said.contains(" ** ") || said.contains(" does not hold:"),
            Self::Green | Self::TimedOut => false,
        }
    }
}

/// Copies a file or a folder, without what was built in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_name() != "target" {
                copy(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_invariant_that_is_violated_notices_a_broken_rule() {
        let red = |said: &str| End::Red { said: said.to_owned() };
        assert!(red("seed 7:\n    5.448328 ** I1: 2 nodes answer for 10.0.0.1").shows_a_violation());
        assert!(red("I1: one node at most answers does not hold:\n").shows_a_violation());
        assert!(!red("too seldom done to prove much: [(\"End\", 3)]").shows_a_violation());
        assert!(!red("thread panicked at sim/src/world.rs").shows_a_violation());
        assert!(!End::TimedOut.shows_a_violation() && !End::Green.shows_a_violation());
    }
}
