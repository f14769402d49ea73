//! What the command line asks for.

use std::path::PathBuf;

use crate::binaries;

/// What `--help` prints.
pub(super) const USAGE: &str = "\
Usage: cargo xtask bench [--only NAME].. [--runs N] [--json FILE] [--strict]

  --only NAME   measure only this; may be given more than once. What takes ten minutes is measured only so
  --runs N      measure each figure N times (5)
  --json FILE   write the figures there (bench.json in cargo's target folder)
  --strict      a missed bound is a failure
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    only: Vec<String>,
    /// How many times each figure is measured.
    pub(super) runs: usize,
    /// Where the figures are written.
    pub(super) json: PathBuf,
    /// Whether a missed bound is a failure.
    pub(super) strict: bool,
}

impl Options {
    /// Reads the command line; nothing if only help is asked for. `names` are the benches there are.
    pub(super) fn parse(
        mut arguments: impl Iterator<Item = String>,
        names: &[&str],
    ) -> Result<Option<Self>, String> {
        let mut options =
            Self { only: Vec::new(), runs: 5, json: binaries::target().join("bench.json"), strict: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("`{argument}` wants a value"));
            match argument.as_str() {
                "--only" => {
                    let name = value()?;
                    if !names.contains(&name.as_str()) {
                        return Err(format!("there is no bench `{name}`, only {}", names.join(", ")));
                    }
                    options.only.push(name);
                }
                "--runs" => {
                    let runs = value()?;
                    let number = runs.parse().ok().filter(|runs| *runs > 0);
                    options.runs = number.ok_or_else(|| format!("`{runs}` is no number of runs"))?;
                }
                "--json" => options.json = value()?.into(),
                "--strict" => options.strict = true,
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("what is `{argument}`?")),
            }
        }
        Ok(Some(options))
    }

    /// Whether a bench is to be measured; a long one only by name.
    pub(super) fn wants(&self, name: &str, is_long: bool) -> bool {
        (self.only.is_empty() && !is_long) || self.only.iter().any(|only| only == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned), &["crash", "idle"])
    }

    #[test]
    fn everything_is_measured_unless_something_is_named() {
        let all = parse("").unwrap().unwrap();
        assert!(all.wants("crash", false) && !all.wants("idle", true) && all.runs == 5 && !all.strict);
        let one = parse("--only idle --runs 7 --strict").unwrap().unwrap();
        assert!(!one.wants("crash", false) && one.wants("idle", true) && one.runs == 7 && one.strict);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (line, named) in
            [("--only fog", "`fog`"), ("--runs 0", "`0`"), ("--runs", "`--runs`"), ("--fast", "`--fast`")]
        {
            let complaint = parse(line).unwrap_err();
            assert!(complaint.contains(named), "{line}: {complaint}");
        }
        assert_eq!(parse("--help"), Ok(None));
    }
}
