//! What a mutant is judged by, cheapest first.

use std::fmt;
use std::time::Duration;

/// A test program of the copy, with what is run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stage {
    /// The protocol's own tests.
    Tables,
    /// A few hundred worlds.
    FewSeeds,
    /// Single courses, step by step.
    Stories,
    /// Some thousand worlds.
    Seeds,
    /// The model within its bounds.
    Model,
    /// As many worlds as the tests run.
    ManySeeds,
}

impl Stage {
    /// Those that a generated mutant is judged by, cheapest first.
    pub(super) const ALL: [Self; 5] = [Self::Tables, Self::FewSeeds, Self::Stories, Self::Seeds, Self::Model];
    /// Those that judge the protocol from outside.
    pub(super) const FROM_OUTSIDE: [Self; 3] = [Self::FewSeeds, Self::Model, Self::ManySeeds];

    /// Its name, in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tables => "tables",
            Self::Stories => "stories",
            Self::FewSeeds => "few-seeds",
            Self::Seeds => "seeds",
            Self::Model => "model",
            Self::ManySeeds => "many-seeds",
        }
    }

    /// The package and the test program in it; none is the library's.
    pub(super) fn program(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Tables => ("mantle-protocol", None),
            Self::Stories => ("mantle-sim", Some("stories")),
            Self::FewSeeds | Self::Seeds | Self::ManySeeds => ("mantle-sim", Some("simulator")),
            Self::Model => ("mantle-sim", Some("model")),
        }
    }

    /// What is run of the program.
    pub(super) fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Tables | Self::Stories => &[],
            Self::FewSeeds | Self::Seeds | Self::ManySeeds => {
                &["whatever_goes_wrong", "what_happens_to_one_vip"]
            }
            Self::Model => &["within_bounds"],
        }
    }

    /// How many worlds are run.
    pub(super) fn seeds(self) -> &'static str {
        match self {
            Self::FewSeeds => "300",
            Self::ManySeeds => "10000",
            _ => "2500",
        }
    }

    /// How long it may take: a mutant that turns in circles is caught by that.
    pub(super) fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Tables => 30,
            Self::Stories => 90,
            Self::FewSeeds => 60,
            Self::Seeds | Self::Model => 300,
            Self::ManySeeds => 900,
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
