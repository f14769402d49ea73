//! The ribbon: who answered the client, cell by cell.

use std::time::Duration;

use mantle_protocol::Instant;

use super::screen::Screen;
use crate::probe::{Gap, VipProbes};

/// How many cells a ribbon has.
const CELLS: u32 = 60;

/// What a cell tells of the probes that were sent in its time.
#[derive(Debug, PartialEq, Eq)]
enum Cell<'a> {
    /// This node answered.
    Answered(&'a str),
    /// All were lost.
    Lost,
    /// None was sent.
    Nothing,
}

/// The time from `from` on, in cells of `cell` each.
pub(super) fn ribbon(probes: &VipProbes, from: Instant, cell: Duration, screen: &Screen) -> String {
    cells(probes, from, cell).iter().map(|cell| draw(cell, screen)).collect()
}

/// The last three seconds up to `end`.
pub(super) fn last_seconds(probes: &VipProbes, end: Instant, screen: &Screen) -> String {
    let cell = Duration::from_millis(50);
    ribbon(probes, end - cell * CELLS, cell, screen)
}

/// A ribbon around a gap, which takes up about half of it; and how long a cell is.
pub(super) fn around(probes: &VipProbes, gap: Gap, screen: &Screen) -> (String, Duration) {
    // Long enough that there is a probe in each.
    let cell = (gap.length() / (CELLS / 2)).max(Duration::from_millis(2));
    (ribbon(probes, gap.from - cell * (CELLS / 4), cell, screen), cell)
}

fn cells(probes: &VipProbes, from: Instant, cell: Duration) -> Vec<Cell<'_>> {
    let of = |number: u32| {
        let sent = probes.sent_in(from + cell * number, from + cell * (number + 1));
        match sent.iter().find_map(|probe| probe.answer.as_ref()) {
            Some(answer) => Cell::Answered(probes.node_of(answer)),
            None if sent.is_empty() => Cell::Nothing,
            None => Cell::Lost,
        }
    };
    (0..CELLS).map(of).collect()
}

fn draw(cell: &Cell<'_>, screen: &Screen) -> String {
    match cell {
        Cell::Answered(node) if screen.has_colours() => screen.of_node(node, '■'),
        Cell::Answered(node) => node.chars().take(1).collect(),
        Cell::Lost => screen.bad('·'),
        Cell::Nothing => " ".to_owned(),
    }
}
