//! What is left when the curtain falls: the table, and the judge's word.

use std::time::Duration;

use super::screen::{Screen, told};
use crate::judge::Verdict;

/// What came of a scene.
pub(super) struct Outcome {
    /// The scene's title.
    pub(super) title: &'static str,
    /// Who answered before it.
    pub(super) before: Option<String>,
    /// Who answers after it.
    pub(super) after: Option<String>,
    /// The longest time the client went without an answer.
    pub(super) gap: Duration,
    /// How many probes were lost.
    pub(super) lost: usize,
    /// How many were sent.
    pub(super) sent: usize,
}

/// Prints a line for each scene.
pub(super) fn table(screen: &Screen, outcomes: &[Outcome]) {
    screen.line("");
    let head = format!("{:<40}{:<20}{:>12}{:>16}", "what happened", "owner", "longest gap", "lost probes");
    screen.line(screen.strong(head));
    for outcome in outcomes {
        let owner = moved(outcome);
        // Padded first: colours have a length, but no width.
        let padded = format!("{owner:<20}");
        let owner =
            outcome.after.as_deref().map_or_else(|| padded.clone(), |node| screen.of_node(node, &padded));
        let gap = format!("{:>12}", told(outcome.gap));
        let lost = format!("{:>16}", format!("{} of {}", outcome.lost, outcome.sent));
        let lost = if outcome.lost == 0 { screen.good(lost) } else { lost };
        screen.line(format_args!("{:<40}{owner}{gap}{lost}", outcome.title));
    }
}

fn moved(outcome: &Outcome) -> String {
    let name = |node: &Option<String>| node.clone().unwrap_or_else(|| "nobody".to_owned());
    match (&outcome.before, &outcome.after) {
        (Some(before), after) if Some(before) != after.as_ref() => format!("{before} → {}", name(after)),
        (_, after) => name(after),
    }
}

/// Prints the judge's word.
pub(super) fn verdict(screen: &Screen, verdict: &Verdict, frames: usize) {
    if verdict.is_in_order() {
        let word = format!(
            "The judge has seen {frames} frames on the wire: no two nodes ever acted as owner at once."
        );
        return screen.line(screen.good(word));
    }
    screen.line(screen.bad("The judge has seen what must never be:"));
    if verdict.drops > 0 {
        screen.line(format_args!("  {} frames were missed, so nothing is proven", verdict.drops));
    }
    for violation in &verdict.violations {
        screen.line(format_args!("  {violation}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_names_both() {
        let outcome = |before: Option<&str>, after: Option<&str>| Outcome {
            title: "",
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            gap: Duration::ZERO,
            lost: 0,
            sent: 0,
        };
        assert_eq!(moved(&outcome(Some("a"), Some("b"))), "a → b");
        assert_eq!(moved(&outcome(Some("a"), Some("a"))), "a");
        assert_eq!(moved(&outcome(None, Some("a"))), "a");
        assert_eq!(moved(&outcome(Some("a"), None)), "a → nobody");
    }
}
