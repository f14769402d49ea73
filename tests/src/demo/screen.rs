//! What the demo prints: plain text, or with colours and a living last line on a terminal.

use std::env;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

/// The colours of the nodes, in the order in which they are met: cyan, magenta, yellow; then again.
const COLOURS: [u8; 3] = [36, 35, 33];

/// Where the demo is told.
pub(super) struct Screen {
    colours: bool,
    living: bool,
    nodes: Vec<String>,
}

impl Screen {
    /// Standard output, as whatever it is.
    pub(super) fn on_stdout() -> Self {
        let terminal = stdout().is_terminal();
        Self { colours: terminal && env::var_os("NO_COLOR").is_none(), living: terminal, nodes: Vec::new() }
    }

    /// Makes a node known, which gives it its colour.
    pub(super) fn meet(&mut self, node: &str) {
        self.nodes.push(node.to_owned());
    }

    /// A line.
    pub(super) fn line(&self, text: impl Display) {
        put(&format!("{}{text}\n", self.fresh()));
    }

    /// What all is about.
    pub(super) fn title(&self, text: &str) {
        self.line(self.strong(text));
    }

    /// A line of less importance.
    pub(super) fn faint(&self, text: &str) {
        self.line(self.paint(2, text));
    }

    /// A line of the timeline.
    pub(super) fn event(&self, at: Duration, sign: char, text: impl Display) {
        self.line(format_args!("{}  {sign} {text}", self.paint(2, format_args!("{:8.3}", at.as_secs_f64()))));
    }

    /// The last line, which is drawn anew as often as one likes; there is none but on a terminal.
    pub(super) fn living(&self, text: impl Display) {
        if self.living {
            put(&format!("{}{text}", self.fresh()));
        }
    }

    /// Whether there is a living line.
    pub(super) fn is_living(&self) -> bool {
        self.living
    }

    /// Whether nodes can be told apart by colour.
    pub(super) fn has_colours(&self) -> bool {
        self.colours
    }

    /// A text that stands out.
    pub(super) fn strong(&self, text: impl Display) -> String {
        self.paint(1, text)
    }

    /// A text in a node's colour.
    pub(super) fn of_node(&self, node: &str, text: impl Display) -> String {
        let place = self.nodes.iter().position(|known| known == node);
        self.paint(place.map_or(37, |place| COLOURS[place % COLOURS.len()]), text)
    }

    /// A node's name, in its colour.
    pub(super) fn node(&self, name: &str) -> String {
        self.of_node(name, name)
    }

    /// What is well.
    pub(super) fn good(&self, text: impl Display) -> String {
        self.paint(32, text)
    }

    /// What is not.
    pub(super) fn bad(&self, text: impl Display) -> String {
        self.paint(31, text)
    }

    fn paint(&self, code: u8, text: impl Display) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// What takes the living line away.
    fn fresh(&self) -> &'static str {
        if self.living { "\r\x1b[K" } else { "" }
    }
}

/// A reader that has gone (`demo | head`) is no reason to stop before the lab is taken down.
fn put(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A duration as a person likes it: two or three digits that matter.
pub(super) fn told(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    if millis < 9.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.2} s", millis / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_digits_that_matter() {
        let told = |micros| told(Duration::from_micros(micros));
        assert_eq!(
            [told(1234), told(9960), told(123_400), told(2_912_000)],
            ["1.2 ms", "10 ms", "123 ms", "2.91 s"]
        );
    }

    #[test]
    fn a_pipe_gets_plain_text() {
        let mut screen = Screen { colours: false, living: false, nodes: Vec::new() };
        screen.meet("a");
        assert_eq!(screen.node("a") + &screen.strong("b"), "ab");
        screen.colours = true;
        assert_eq!(screen.node("a"), "\x1b[36ma\x1b[0m");
    }
}
