//! Where the committed objects come from: `ebpf/prebuilt/origin.txt`, written with them.
//!
//! It names the toolchain, for `--check` to know whether the same instructions can be expected; and digests of the
//! sources and of the objects. Those need no toolchain to be compared: an ordinary test does it, so that sources changed
//! without a build, or an object committed without its sources, are found on every machine.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{FLAGS, OBJECTS};
use crate::place::Place;

const FILE: &str = "origin.txt";

/// What made the objects, out of what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The compiler, its LLVM, the linker: a line each.
    pub(super) toolchain: String,
    /// The digest of the sources and of how they are built.
    pub(super) sources: String,
    /// The digest of each of [`OBJECTS`].
    pub(super) objects: Vec<String>,
}

impl Origin {
    /// That of the objects in `prebuilt`, if that toolchain has just made them.
    pub(super) fn now(toolchain: String, prebuilt: &Path) -> anyhow::Result<Self> {
        Ok(Self { toolchain, sources: sources()?, objects: objects(prebuilt)? })
    }

    /// That of the committed objects.
    pub(super) fn read(prebuilt: &Path) -> anyhow::Result<Self> {
        let path = prebuilt.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not what `build-ebpf` writes", path.display()))
    }

    pub(super) fn write(&self, prebuilt: &Path) -> anyhow::Result<()> {
        let path = prebuilt.join(FILE);
        fs::write(&path, self.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (toolchain, digests) = text.split_once("\n\n")?;
        let mut lines = digests.lines();
        let mut digest_of = |name| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let sources = digest_of("sources")?;
        let objects = OBJECTS.iter().map(|(_, object)| digest_of(object)).collect::<Option<_>>()?;
        Some(Self { toolchain: format!("{toolchain}\n"), sources, objects })
    }

    /// Refuses objects and sources of which one was committed without the other.
    pub(super) fn verify(&self, prebuilt: &Path) -> anyhow::Result<()> {
        for ((digest, is), (_, object)) in self.objects.iter().zip(objects(prebuilt)?).zip(OBJECTS) {
            if *digest != is {
                bail!("{object} is not the object that {FILE} was written with: {REMEDY}");
            }
        }
        if self.sources != sources()? {
            bail!(
                "the sources of the kernel programs are not those the committed objects were built from: {REMEDY}"
            );
        }
        Ok(())
    }
}

/// What to do about it.
pub(super) const REMEDY: &str =
    "run `cargo xtask build-ebpf`, test the result, and commit ebpf/prebuilt/ whole";

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nsources {}", self.toolchain, self.sources)?;
        OBJECTS
            .iter()
            .zip(&self.objects)
            .try_for_each(|((_, object), digest)| writeln!(f, "{object} {digest}"))
    }
}

fn objects(prebuilt: &Path) -> anyhow::Result<Vec<String>> {
    let digest = |object: &str| -> anyhow::Result<String> {
        let path = prebuilt.join(object);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Digest::default().of(&bytes).to_string())
    };
    OBJECTS.iter().map(|(_, object)| digest(object)).collect()
}

/// The digest of everything that decides about the instructions, beside the toolchain: the code (comments and tests
/// are not), the crates it uses, the flags.
fn sources() -> anyhow::Result<String> {
    let ebpf = Place::workspace().join("ebpf");
    let mut files = Vec::new();
    list(&ebpf.join("src"), &mut files)?;
    files.sort();
    let mut digest = Digest::default();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(&ebpf).unwrap_or(&file);
        digest = digest.of(name.as_os_str().as_encoded_bytes()).of(b"\n");
        digest = code(&text).fold(digest, |digest, line| digest.of(line.as_bytes()).of(b"\n"));
    }
    let lock = Place::workspace().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    digest = crates(&lock).fold(digest, |digest, krate| digest.of(krate.as_bytes()));
    digest = FLAGS.iter().fold(digest, |digest, flag| digest.of(flag.as_bytes()).of(b"\n"));
    Ok(digest.to_string())
}

/// Every file of the programs' own.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The lines that are compiled into a program: tests stand at a file's end.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    lines.filter(|line| !line.is_empty() && !line.starts_with("//"))
}

/// What the lock file says of the crates that are compiled into a program.
fn crates(lock: &str) -> impl Iterator<Item = &str> {
    lock.split("\n\n").filter(|entry| entry.contains("\nname = \"aya-ebpf"))
}

/// FNV-1a over 128 bits: it tells what was forgotten, not what was forged, and needs no crate.
#[derive(Clone, Copy)]
struct Digest(u128);

impl Default for Digest {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Digest {
    fn of(self, bytes: &[u8]) -> Self {
        let step =
            |sum: u128, byte: &u8| (sum ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        Self(bytes.iter().fold(self.0, step))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_objects_are_those_of_the_sources() {
        let prebuilt = Place::workspace().join("ebpf/prebuilt");
        Origin::read(&prebuilt).unwrap().verify(&prebuilt).unwrap();
    }

    #[test]
    fn what_is_written_is_read_back() {
        let objects = vec!["1".to_owned(); OBJECTS.len()];
        let origin = Origin { toolchain: "rustc 1\nLLVM 2\n".to_owned(), sources: "0".to_owned(), objects };
        assert_eq!(Origin::parse(&origin.to_string()), Some(origin));
        assert_eq!(Origin::parse("rustc 1\nLLVM 2\n"), None);
    }

    #[test]
    fn comments_and_tests_are_not_what_a_program_is_made_of() {
        let text = "//! A room.\n\nfn one() {\n    // Why.\n    two()\n}\n\n#[cfg(test)]\nmod tests {\n";
        assert_eq!(code(text).collect::<Vec<_>>(), ["fn one() {", "two()", "}"]);
    }

    #[test]
    fn the_digest_is_fnv_s() {
        // From the algorithm's own test vectors: nothing, and "a".
        assert_eq!(Digest::default().to_string(), "6c62272e07bb014262b821756295c58d");
        assert_eq!(Digest::default().of(b"a").to_string(), "d228cb696f1a8caf78912b704e4a8964");
    }

    #[test]
    fn the_lock_file_names_the_crates_of_the_programs() {
        let lock = fs::read_to_string(Place::workspace().join("Cargo.lock")).unwrap();
        assert!(crates(&lock).count() >= 3, "aya-ebpf, its bindings, its macros");
    }
}
