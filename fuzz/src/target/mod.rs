//! The targets.

mod config;
mod frames;
mod http;
mod snapshot;
mod values;
mod world;

/// One way into the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Keys and values in etcd, and what the protocol makes of them.
    Values,
    /// Frames from the link.
    Frames,
    /// Config documents.
    Config,
    /// What is sent to the HTTP port.
    Http,
    /// What is sent to the control socket.
    Control,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Values, Self::Frames, Self::Config, Self::Http, Self::Control];

    /// Its name: that of its corpus too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Frames => "frames",
            Self::Config => "config",
            Self::Http => "http",
            Self::Control => "control",
        }
    }

    /// What inputs are made of beside bytes: words that mean something there.
    pub const fn words(self) -> &'static [&'static [u8]] {
        match self {
            Self::Values => values::WORDS,
            Self::Frames => frames::WORDS,
            Self::Config => config::WORDS,
            Self::Http | Self::Control => http::WORDS,
        }
    }

    /// Takes the input in.
    ///
    /// # Panics
    /// If what is promised doesn't hold: that is a finding.
    pub fn run(self, input: &[u8]) {
        match self {
            Self::Values => values::run(input),
            Self::Frames => frames::run(input),
            Self::Config => config::run(input),
            Self::Http => http::run(input, mantle::observe::http::public),
            Self::Control => http::run(input, mantle::observe::http::control),
        }
    }
}
