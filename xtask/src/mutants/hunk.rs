//! One hunk of a unified diff.

use anyhow::{Context, bail};

/// Lines that are there, and what they become, from a line on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hunk {
    /// The first line, counted from 0.
    from: usize,
    old: Vec<String>,
    new: Vec<String>,
}

impl Hunk {
    /// Begins a hunk with its head, `@@ -19,17 +19,17 @@`.
    pub(super) fn begin(head: &str) -> anyhow::Result<Self> {
        let from = head.strip_prefix("@@ -").and_then(|rest| rest.split([',', ' ']).next());
        let from: usize =
            from.and_then(|from| from.parse().ok()).with_context(|| format!("no head of a hunk: {head}"))?;
        Ok(Self { from: from.saturating_sub(1), old: Vec::new(), new: Vec::new() })
    }

    /// Takes in a line of it.
    pub(super) fn line(&mut self, line: &str) -> anyhow::Result<()> {
        let (sign, text) = line.split_at(line.len().min(1));
        match sign {
            " " | "" => {
                self.old.push(text.to_owned());
                self.new.push(text.to_owned());
            }
            "-" => self.old.push(text.to_owned()),
            "+" => self.new.push(text.to_owned()),
            _ => bail!("no line of a hunk: {line}"),
        }
        Ok(())
    }

    /// The text with the hunk applied.
    pub(super) fn apply(&self, text: &str) -> anyhow::Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let to = self.from + self.old.len();
        let there = lines.get(self.from..to).context("the file is shorter")?;
        if there != self.old {
            bail!("line {} and those after it are others", self.from + 1);
        }
        let new = self.new.iter().map(String::as_str);
        let lines = lines[..self.from].iter().copied().chain(new).chain(lines[to..].iter().copied());
        Ok(lines.flat_map(|line| [line, "\n"]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunk(text: &str) -> Hunk {
        let mut lines = text.lines();
        let mut hunk = Hunk::begin(lines.next().unwrap()).unwrap();
        lines.for_each(|line| hunk.line(line).unwrap());
        hunk
    }

    #[test]
    fn a_hunk_changes_its_lines_and_no_others() {
        let hunk = hunk("@@ -2,3 +2,2 @@\n b\n-c\n-d\n+C\n");
        assert_eq!(hunk.apply("a\nb\nc\nd\ne\n").unwrap(), "a\nb\nC\ne\n");
        assert!(hunk.apply("a\nb\nc\nX\ne\n").is_err(), "another file");
        assert!(hunk.apply("a\n").is_err());
        assert!(Hunk::begin("nonsense").is_err());
    }
}
