//! The figures as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::machine::Machine;
use super::series::Series;

/// A line for each figure, and the notes of those that missed their bound.
pub(super) fn table(all: &[Series]) -> String {
    let mut text = String::new();
    let width = all.iter().map(|series| series.figure().what.len()).max().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<width$}  {:>8}  {:>8}  {:>8}  {:>8}  {:<6}  met?",
        "figure", "median", "p99", "worst", "bound", "unit"
    );
    for series in all {
        let figure = series.figure();
        let _ = writeln!(
            text,
            "{:<width$}  {:>8.2}  {:>8.2}  {:>8.2}  {:>8.2}  {:<6}  {}",
            figure.what,
            series.median(),
            series.p99(),
            series.worst(),
            figure.bound,
            figure.unit,
            if series.is_met() { "yes" } else { "MISSED" }
        );
    }
    for figure in all.iter().filter(|series| !series.is_met()).map(Series::figure) {
        if !figure.note.is_empty() {
            let _ = writeln!(text, "  {}: {}", figure.name, figure.note);
        }
    }
    text
}

/// Everything, with each single value.
pub(super) fn json(machine: &Machine, all: &[Series], failed: &[&str]) -> Value {
    let figure = |series: &Series| {
        let figure = series.figure();
        json!({
            "name": figure.name,
            "what": figure.what,
            "unit": figure.unit,
            "bound": figure.bound,
            "median": series.median(),
            "p99": series.p99(),
            "worst": series.worst(),
            "met": series.is_met(),
            "values": series.values(),
        })
    };
    json!({
        "machine": machine.json(),
        "figures": all.iter().map(figure).collect::<Vec<_>>(),
        "failed": failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::{Figure, PLANNED_STOP};

    #[test]
    fn a_missed_bound_is_said_with_what_is_to_be_known() {
        const MISSED: Figure =
            Figure { name: "missed", what: "what is late", unit: "s", bound: 2.5, note: "why it is late" };
        let all = [Series::new(&PLANNED_STOP, vec![4.25]), Series::new(&MISSED, vec![2.8])];
        let table = table(&all);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].contains("4.25") && lines[1].ends_with("yes"), "{table}");
        assert!(lines[2].contains("2.80") && lines[2].ends_with("MISSED"), "{table}");
        assert!(lines[3].contains("why it is late"), "{table}");
        assert_eq!(lines.len(), 4, "{table}");
    }
}
