//! Two objects, instruction by instruction.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

/// How two objects differ in what the kernel and the loader see: instructions, relocations, maps. None if they
/// do not.
pub(super) fn instructions(committed: &Path, built: &Path) -> anyhow::Result<Option<String>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    if read(committed)? == read(built)? {
        return Ok(None);
    }
    let texts = |object| Ok::<_, anyhow::Error>([code(object)?, data(object)?].join("\n"));
    Ok(first_difference(&texts(committed)?, &texts(built)?))
}

/// How two objects differ in what no compiler decides: the sections that programs are in, the helpers they call, the
/// maps, the license.
pub(super) fn outlines(committed: &Path, built: &Path) -> anyhow::Result<Option<String>> {
    let texts = |object| Ok::<_, anyhow::Error>([outline(&code(object)?), data(object)?].join("\n"));
    Ok(first_difference(&texts(committed)?, &texts(built)?))
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

/// The instructions and relocations of all programs, as text.
fn code(object: &Path) -> anyhow::Result<String> {
    let code = objdump(object, &["--disassemble", "--reloc"])?;
    // Else two objects that it cannot read would be the same.
    if !code.contains("call") {
        bail!("llvm-objdump disassembles {} to nothing", object.display());
    }
    Ok(code)
}

/// The maps and the license, as text.
fn data(object: &Path) -> anyhow::Result<String> {
    objdump(object, &["--full-contents", "--section=maps", "--section=license"])
}

/// The sections in a disassembly, and the helpers that are called anywhere.
fn outline(code: &str) -> String {
    let sections = code.lines().filter(|line| line.starts_with("Disassembly of section"));
    // A call of a helper; one of another function has a 1 for its source register.
    let helpers = code.lines().filter_map(|line| line.split_once("85 00 00 00 ")?.1.split_once("call"));
    let helpers: BTreeSet<_> = helpers.map(|(_, helper)| format!("helper {}", helper.trim())).collect();
    sections.map(str::to_owned).chain(helpers).collect::<Vec<_>>().join("\n")
}

fn objdump(object: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let text = process::silent(Command::new(find_objdump()?).args(arguments).arg(object))?;
    // The first lines name the file, which is another.
    Ok(text.lines().skip_while(|line| !line.ends_with(':')).collect::<Vec<_>>().join("\n"))
}

/// Any llvm-objdump: both objects are shown by the same one.
fn find_objdump() -> anyhow::Result<PathBuf> {
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

    #[test]
    fn an_outline_has_the_sections_and_each_helper_once() {
        let code = "Disassembly of section xdp.frags:\n\n0000000000000000 <mantle_xdp>:\n\
            \x20      0:\t85 00 00 00 7d 00 00 00\tcall 0x7d\n\
            \x20      1:\t85 10 00 00 02 00 00 00\tcall 0x2\n\
            \x20      2:\t85 00 00 00 7d 00 00 00\tcall 0x7d\n";
        assert_eq!(outline(code), "Disassembly of section xdp.frags:\nhelper 0x7d");
    }
}
