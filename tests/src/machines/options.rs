//! What the command line asks for.

use super::rows::Row;

pub(super) const USAGE: &str = "\
Usage: cargo xtask machines [--quick] [--kernel LINE] [--only NAME].. [--fresh]

  --quick        the quick set: the tests on each kernel, one cluster for each driver
  --kernel LINE  only rows that boot this kernel, like 6.1
  --only NAME    only rows whose names contain NAME
  --fresh        also rows that were green before";

/// Which rows are run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) names: Vec<String>,
    pub(super) kernel: Option<String>,
    pub(super) quick: bool,
    pub(super) fresh: bool,
}

impl Options {
    pub(super) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("`{word}` wants a value"));
            match word.as_str() {
                "--quick" => options.quick = true,
                "--fresh" => options.fresh = true,
                "--kernel" => options.kernel = Some(value()?),
                "--only" => options.names.push(value()?),
                _ => return Err(format!("`{word}` is not understood")),
            }
        }
        Ok(options)
    }

    pub(super) fn wants(&self, row: &Row) -> bool {
        (self.names.is_empty() || self.names.iter().any(|name| row.name.contains(name.as_str())))
            && self.kernel.as_ref().is_none_or(|line| row.kernels.contains(&line.as_str()))
            && (row.quick || !self.quick)
    }
}
