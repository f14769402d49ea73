//! Two objects, instruction by instruction.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

/// How two objects differ in what the kernel and the loader see: instructions, relocations, maps. None if they
/// do not.
pub(super) fn objects(committed: &Path, built: &Path) -> anyhow::Result<Option<String>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    if read(committed)? == read(built)? {
        return Ok(None);
    }
    let objdump = objdump()?;
    let [committed, built] = [disassemble(&objdump, committed)?, disassemble(&objdump, built)?];
    Ok(first_difference(&committed, &built))
}

/// The first line that differs, as a person would want to see it.
fn first_difference(committed: &str, built: &str) -> Option<String> {
    let (mut committed, mut built) = (committed.lines(), built.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (committed.next(), built.next()) {
            (None, None) => return None,
            (was, is) if was == is => {}
            (was, is) => {
                let [was, is] = [was, is].map(|line| line.unwrap_or("(nothing more)").trim());
                return Some(format!(
                    "line {number} of the disassembly\n  committed: {was}\n  built:     {is}"
                ));
            }
        }
    }
}

/// Everything that is loaded, as text.
fn disassemble(objdump: &Path, object: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(objdump);
    command.args(["--disassemble", "--reloc"]).arg(object);
    let code = process::silent(&mut command)?;
    let mut command = Command::new(objdump);
    command.args(["--full-contents", "--section=maps", "--section=license"]).arg(object);
    let data = process::silent(&mut command)?;
    // The first lines name the file, which is another.
    let without_name =
        |text: &str| text.lines().skip_while(|line| !line.ends_with(':')).collect::<Vec<_>>().join("\n");
    let text = [without_name(&code), without_name(&data)].join("\n");
    if !code.contains("call") {
        bail!("{} disassembles {} to nothing", objdump.display(), object.display());
    }
    Ok(text.replace(&object.display().to_string(), ""))
}

/// Any llvm-objdump: both objects are shown by the same one.
fn objdump() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Debian's packages keep theirs apart, by version.
    if let Ok(entries) = fs::read_dir("/usr/lib") {
        let versions = entries.flatten().map(|entry| entry.path());
        folders.extend(
            versions.filter(|path| path.to_string_lossy().contains("/llvm-")).map(|path| path.join("bin")),
        );
    }
    let found =
        folders.into_iter().map(|folder| folder.join("llvm-objdump")).find(|program| program.is_file());
    found.context("the objects differ, and there is no llvm-objdump to tell in what: install LLVM's tools")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_no_difference() {
        assert_eq!(first_difference("r0 = 0\nexit\n", "r0 = 0\nexit"), None);
    }

    #[test]
    fn the_first_difference_is_shown() {
        let difference = first_difference("r0 = 0\nexit\n", "r0 = 1\nexit\n").unwrap();
        assert!(difference.contains("line 1") && difference.contains("committed: r0 = 0"), "{difference}");
        let difference = first_difference("exit\n", "exit\nexit\n").unwrap();
        assert!(difference.contains("committed: (nothing more)"), "{difference}");
    }
}
