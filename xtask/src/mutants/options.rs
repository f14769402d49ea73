//! What `cargo xtask mutants` is asked for.

use crate::refusal::Refusal;

/// Which mutants to judge, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The rules broken by hand.
    pub(super) rules: bool,
    /// Those that cargo-mutants makes.
    pub(super) generated: bool,
    /// Which part, counted from 0, of how many.
    pub(super) shard: (usize, usize),
    /// Forget what was judged before.
    pub(super) fresh: bool,
    /// How many are judged side by side.
    pub(super) jobs: usize,
    /// Only those whose names contain one of these.
    pub(super) names: Vec<String>,
}

impl Options {
    /// Whether every mutant is asked for.
    pub(super) fn is_everything(&self) -> bool {
        self.rules && self.generated && self.shard.1 == 1 && self.names.is_empty()
    }

    /// Reads the command line.
    pub(crate) fn parse(line: Vec<String>) -> Result<Self, Refusal> {
        let mut options =
            Self { rules: false, generated: false, shard: (0, 1), fresh: false, jobs: 1, names: Vec::new() };
        let mut words = line.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rules" => options.rules = true,
                "--generated" => options.generated = true,
                "--fresh" => options.fresh = true,
                "--jobs" => {
                    let jobs = words.next().and_then(|word| word.parse().ok()).filter(|jobs| *jobs > 0);
                    options.jobs =
                        jobs.ok_or_else(|| Refusal::Usage("`--jobs` wants a number above 0".to_owned()))?;
                }
                "--shard" => {
                    let shard = words.next().as_deref().and_then(shard);
                    options.shard =
                        shard.ok_or_else(|| Refusal::Usage("`--shard` wants I/N, as 1/3".to_owned()))?;
                }
                name if name.starts_with('-') => {
                    return Err(Refusal::Usage(format!("`mutants` does not take `{name}`")));
                }
                _ => options.names.push(word),
            }
        }
        if !options.rules && !options.generated {
            (options.rules, options.generated) = (true, true);
        }
        Ok(options)
    }
}

/// `1/3` is the first of three.
fn shard(word: &str) -> Option<(usize, usize)> {
    let (number, of) = word.split_once('/')?;
    let (number, of): (usize, usize) = (number.parse().ok()?, of.parse().ok()?);
    (1..=of).contains(&number).then(|| (number - 1, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Refusal> {
        Options::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn both_kinds_are_judged_unless_one_is_named() {
        let both = parse("").unwrap();
        assert!(both.rules && both.generated && !both.fresh);
        let rules = parse("--rules --fresh claim --shard 2/3 --jobs 2").unwrap();
        assert!(rules.rules && !rules.generated && rules.fresh);
        assert_eq!((rules.shard, rules.jobs, rules.names), ((1, 3), 2, vec!["claim".to_owned()]));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in ["--shard", "--shard 0/3", "--shard 4/3", "--shard x", "--jobs 0", "--deep"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
