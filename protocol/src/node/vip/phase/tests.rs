//! The whole table of phases and inputs, held against docs/protocol.md.

use mantle_ebpf::wire::Mac;

use super::*;

const PAGE: &str = include_str!("../../../../../docs/protocol.md");

fn at(millis: u64) -> Instant {
    Instant::from_boot(std::time::Duration::from_millis(millis))
}

fn handoff() -> Handoff {
    let offer = Offer { to: "b".parse().unwrap(), session: 7, number: 1, mac: Mac([2, 0, 0, 0, 0, 1]) };
    Handoff { offer, began: at(1) }
}

fn draining(opened: bool) -> Draining {
    Draining { handoff: handoff(), to: Mac([2, 0, 0, 0, 0, 2]), limits: limits(), opened }
}

fn limits() -> DrainLimits {
    DrainLimits { until: at(90), opens_by: at(50) }
}

fn yielding(in_doubt: bool) -> Phase {
    let (handoff, to, until) = (handoff(), Mac([2, 0, 0, 0, 0, 2]), at(20));
    Phase::Ours(Ownership::Yielding { handoff, to, until, in_doubt })
}

/// One of each phase, in the order of the page's columns.
fn phases() -> Vec<Phase> {
    vec![
        Phase::NotOurs,
        Phase::Ours(Ownership::Serving),
        Phase::Ours(Ownership::MustRewrite),
        Phase::Ours(Ownership::Offered { handoff: handoff(), until: at(10) }),
        yielding(false),
        yielding(true),
        Phase::Ours(Ownership::Releasing),
        Phase::Draining(draining(false)),
        Phase::Draining(draining(true)),
    ]
}

/// The page's name of a phase. A new phase does not compile before it has one.
fn name(phase: &Phase) -> &'static str {
    match phase {
        Phase::NotOurs => "NotOurs",
        Phase::Ours(Ownership::Serving) => "Serving",
        Phase::Ours(Ownership::MustRewrite) => "MustRewrite",
        Phase::Ours(Ownership::Offered { .. }) => "Offered",
        Phase::Ours(Ownership::Yielding { in_doubt: false, .. }) => "Yielding",
        Phase::Ours(Ownership::Yielding { in_doubt: true, .. }) => "InDoubt",
        Phase::Ours(Ownership::Releasing) => "Releasing",
        Phase::Draining(Draining { opened: false, .. }) => "Draining",
        Phase::Draining(Draining { opened: true, .. }) => "Forwarding",
    }
}

/// One of each input, in the order of the page's rows.
fn inputs() -> Vec<Input> {
    vec![
        Input::Record(Names::Us),
        Input::Record(Names::Successor { drain: Some(limits()) }),
        Input::Record(Names::Successor { drain: None }),
        Input::Record(Names::Another),
        Input::SessionLost,
        Input::SessionBack { must_rewrite: false },
        Input::SessionBack { must_rewrite: true },
        Input::Offer { handoff: handoff(), until: at(10) },
        Input::Prepared { to: Mac([2, 0, 0, 0, 0, 2]), until: at(20) },
        Input::Withdraw,
        Input::GiveUp,
        Input::HandoverUnknown,
        Input::SuccessorAnswers,
        Input::ConnectionsGone(at(30)),
        Input::DrainOver,
    ]
}

/// The page's name of an input. A new input does not compile before it has one.
fn title(input: &Input) -> &'static str {
    match input {
        Input::Record(Names::Us) => "record names us",
        Input::Record(Names::Successor { drain: Some(_) }) => "record names successor",
        Input::Record(Names::Successor { drain: None }) => "record names successor, no drain",
        Input::Record(Names::Another) => "record names another",
        Input::SessionLost => "session lost",
        Input::SessionBack { must_rewrite: false } => "session back",
        Input::SessionBack { must_rewrite: true } => "session back, must rewrite",
        Input::Offer { .. } => "offer",
        Input::Prepared { .. } => "prepared",
        Input::Withdraw => "withdraw",
        Input::GiveUp => "give up",
        Input::HandoverUnknown => "handover unknown",
        Input::SuccessorAnswers => "successor answers",
        Input::ConnectionsGone(_) => "connections gone",
        Input::DrainOver => "drain over",
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_page_shows_every_phase_with_every_input_as_the_code_has_it() {
    let (_, rest) = PAGE.split_once("<!-- phases -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- /phases -->").unwrap();
    let mut lines = table.lines();
    let columns: Vec<_> = phases().iter().map(name).collect();
    assert_eq!(cells(lines.next().unwrap())[1..], columns);
    lines.next();
    let rows: Vec<_> = lines.map(cells).collect();
    assert_eq!(
        rows.iter().map(|row| row[0]).collect::<Vec<_>>(),
        inputs().iter().map(title).collect::<Vec<_>>()
    );
    for (row, input) in rows.iter().zip(inputs()) {
        assert_eq!(row.len(), columns.len() + 1, "{}", row[0]);
        for (cell, phase) in row[1..].iter().zip(phases()) {
            let before = name(&phase);
            let after = phase.after(input.clone());
            let expected = if *cell == "·" { before } else { *cell };
            assert_eq!(name(&after), expected, "{before}, {}", title(&input));
        }
    }
}

#[test]
fn a_dot_changes_nothing_of_a_phase_but_how_long_it_drains() {
    for phase in phases() {
        for input in inputs() {
            let after = phase.clone().after(input.clone());
            let shortens = matches!((&phase, &input), (Phase::Draining(_), Input::ConnectionsGone(_)));
            if name(&after) == name(&phase) && !shortens {
                assert_eq!(after, phase, "{}", title(&input));
            }
        }
    }
}

#[test]
fn a_handoff_is_the_same_from_its_offer_to_the_end_of_its_drain() {
    let mut phase = Phase::Ours(Ownership::Serving);
    let to = Mac([2, 0, 0, 0, 0, 2]);
    for input in [
        Input::Offer { handoff: handoff(), until: at(10) },
        Input::Prepared { to, until: at(20) },
        Input::HandoverUnknown,
        Input::Record(Names::Successor { drain: Some(limits()) }),
        Input::SuccessorAnswers,
    ] {
        phase = phase.after(input);
        assert_eq!(phase.handoff(), Some(&handoff()));
    }
    assert_eq!(phase, Phase::Draining(draining(true)));
}

#[test]
fn connections_that_are_gone_end_the_time_of_a_drain_and_not_the_wait_for_the_successor() {
    let after = Phase::Draining(draining(false)).after(Input::ConnectionsGone(at(30)));
    let limits = DrainLimits { until: at(30), ..limits() };
    assert_eq!(after, Phase::Draining(Draining { limits, ..draining(false) }));
}

#[test]
fn each_step_of_a_handoff_has_the_time_that_its_input_gives() {
    let offered = Phase::Ours(Ownership::Serving).after(Input::Offer { handoff: handoff(), until: at(11) });
    assert_eq!(offered, Phase::Ours(Ownership::Offered { handoff: handoff(), until: at(11) }));
    let to = Mac([2, 0, 0, 0, 0, 9]);
    let yields = offered.after(Input::Prepared { to, until: at(33) });
    let handoff = handoff();
    assert_eq!(yields, Phase::Ours(Ownership::Yielding { handoff, to, until: at(33), in_doubt: false }));
}

/// The transitions that a diagram draws: from, to, by what.
fn drawn(text: &str) -> Vec<(String, String, String)> {
    let edge = |line: &str| {
        let (from, rest) = line.trim_start_matches("//!").trim().split_once(" --> ")?;
        let (to, by) = rest.split_once(": ")?;
        Some((from.to_owned(), to.to_owned(), by.to_owned()))
    };
    text.lines().filter_map(edge).collect()
}

/// Where an input leads from almost everywhere: the diagrams say this in words.
fn undrawn(before: &Phase, input: &Input) -> Option<&'static str> {
    match input {
        Input::SessionLost | Input::Record(Names::Another | Names::Successor { .. }) => Some("NotOurs"),
        Input::Record(Names::Us) => Some("Serving"),
        Input::GiveUp if before.is_ours() => Some("Releasing"),
        _ => None,
    }
}

#[test]
fn the_diagrams_draw_every_transition_but_those_from_almost_everywhere() {
    let edges = drawn(PAGE);
    assert_eq!(edges, drawn(include_str!("../phase.rs")), "the page and the source draw different machines");
    for phase in phases() {
        for input in inputs() {
            let (from, by) = (name(&phase), title(&input));
            let after = phase.clone().after(input.clone());
            let to = name(&after);
            let edge = (from.to_owned(), to.to_owned(), by.to_owned());
            let is_drawn = edges.contains(&edge);
            let is_said = undrawn(&phase, &input) == Some(to);
            assert!(to == from || is_drawn || is_said, "{from} --> {to}: {by} is not drawn");
        }
    }
    for (from, to, by) in &edges {
        let phase = phases().into_iter().find(|phase| name(phase) == from);
        let input = inputs().into_iter().find(|input| title(input) == by);
        let (Some(phase), Some(input)) = (phase, input) else { panic!("{from}: {by} is neither") };
        assert_eq!(name(&phase.after(input)), to, "{from}: {by}");
    }
}
