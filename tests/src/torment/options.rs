//! What the command line asks for.

use std::time::Duration;

/// What `--help` prints.
pub(super) const USAGE: &str = "\
Usage: cargo xtask torment [--seed N] [--minutes M]

  --seed N      what goes wrong when is drawn from this number (from the clock)
  --minutes M   for about so long (3)
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// What the plan is drawn from, if it is said.
    pub(super) seed: Option<u64>,
    /// How long the plan is to take.
    pub(super) span: Duration,
}

impl Options {
    /// Reads the command line; nothing if only help is asked for.
    pub(super) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self { seed: None, span: Duration::from_mins(3) };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("`{argument}` wants a value"));
            match argument.as_str() {
                "--seed" => {
                    let seed = value()?;
                    options.seed = Some(seed.parse().map_err(|_| format!("`{seed}` is no seed"))?);
                }
                "--minutes" => {
                    let minutes = value()?;
                    let number = minutes.parse().ok().filter(|number| (1..=24 * 60).contains(number));
                    let number = number.ok_or_else(|| format!("`{minutes}` is no number of minutes"))?;
                    options.span = Duration::from_mins(number);
                }
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("what is `{argument}`?")),
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_seed_and_minutes_may_be_said() {
        let said = parse("--seed 7 --minutes 30").unwrap().unwrap();
        assert_eq!(said, Options { seed: Some(7), span: Duration::from_mins(30) });
        assert_eq!(parse("").unwrap().unwrap(), Options { seed: None, span: Duration::from_mins(3) });
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (line, named) in
            [("--seed x", "`x`"), ("--minutes 0", "`0`"), ("--minutes", "`--minutes`"), ("fast", "`fast`")]
        {
            let complaint = parse(line).unwrap_err();
            assert!(complaint.contains(named), "{line}: {complaint}");
        }
        assert_eq!(parse("--help"), Ok(None));
    }
}
