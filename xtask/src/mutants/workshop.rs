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
mantle-protocol.opt-level = 2
mantle-sim.opt-level = 2
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
            return match self.run(&Stage::ALL)? {
                Outcome::Survived => Ok(Outcome::Survived),
                outcome => bail!("without any mutant: {outcome}; the log is {}", self.log().display()),
            };
        };
        let path = self.folder.join(&mutant.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        fs::write(&path, mutant.apply(&text)?)?;
        let stages: &[Stage] = if mutant.kind == Kind::Rule { &Stage::FROM_OUTSIDE } else { &Stage::ALL };
        let outcome = self.run(stages);
        fs::write(&path, text)?;
        outcome
    }

    fn run(&self, stages: &[Stage]) -> anyhow::Result<Outcome> {
        for stage in stages {
            let Some(program) = self.built(*stage)? else { return Ok(Outcome::Unviable) };
            if !self.passes(*stage, &program)? {
                return Ok(Outcome::Caught(*stage));
            }
        }
        Ok(Outcome::Survived)
    }

    /// The stage's program; none if it does not compile.
    fn built(&self, stage: Stage) -> anyhow::Result<Option<PathBuf>> {
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
            return Ok(None);
        }
        let program = said.lines().find_map(|line| line.trim().strip_prefix("Executable ")?.rsplit_once('('));
        let (_, program) = program.with_context(|| format!("cargo names no program: {said}"))?;
        Ok(Some(self.folder.join(program.trim_end_matches(')'))))
    }

    /// Whether everything is green, within the stage's time.
    fn passes(&self, stage: Stage, program: &Path) -> anyhow::Result<bool> {
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
                return Ok(status.success());
            }
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the last build or test said.
    fn log(&self) -> PathBuf {
        self.folder.join("log.txt")
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
