//! The kernels that machines boot, as `cargo xtask machines` unpacked them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One kernel with its modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    release: String,
    tools: PathBuf,
}

impl Kernel {
    /// All that are there, by their releases.
    pub(super) fn all(tools: &Path) -> Vec<Self> {
        let names = fs::read_dir(tools.join("boot")).into_iter().flatten().flatten();
        let releases = names.filter_map(|entry| {
            Some(entry.file_name().into_string().ok()?.strip_prefix("vmlinuz-")?.to_owned())
        });
        let mut all: Vec<_> = releases.map(|release| Self { release, tools: tools.to_owned() }).collect();
        all.sort_by_key(Self::numbers);
        all
    }

    /// Whether it is of a line like `6.1`.
    pub(super) fn is_of(&self, line: &str) -> bool {
        self.release.strip_prefix(line).is_some_and(|rest| rest.starts_with(['.', '-', '+']))
    }

    pub(super) fn image(&self) -> PathBuf {
        self.tools.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.tools.join("lib/modules").join(&self.release)
    }

    fn numbers(&self) -> Vec<u32> {
        self.release.split(|c: char| !c.is_ascii_digit()).map_while(|word| word.parse().ok()).collect()
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_of_one_line() {
        let kernel = Kernel { release: "6.1.0-57-amd64".to_owned(), tools: PathBuf::new() };
        assert!(kernel.is_of("6.1"));
        assert!(!kernel.is_of("6.12") && !kernel.is_of("6.10") && !kernel.is_of("6.1.1"));
    }
}
