//! What a row of results makes of a check.

use crate::config::CheckPace;
use mantle_protocol::{Health, Instant};

/// A check's results so far, as far as they still matter.
///
/// ```text
///            1 success                    `fall` failures in a row
///  Unknown ────────────▶ Good ─────────────────────────────────────▶ Failing
///     │                   ▲                                             │ ▲
///     │                   └─────────────────────────────────────────────┘ │
///     │                     `rise` successes in a row, and `recovery`     │
///     │                     without a failure                             │
///     └───────────────────────────────────────────────────────────────────┘
///                           `fall` failures in a row
/// ```
///
/// A first success is enough, since nothing speaks against it and every start would be slower otherwise. A first failure is
/// not: an agent restarted in the midst of its right would give up what its predecessor would have kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pace: CheckPace,
    health: Health,
    successes: u32,
    failures: u32,
    /// The first of the successes in a row.
    good_since: Option<Instant>,
}

impl Judgement {
    pub(super) fn new(pace: CheckPace) -> Self {
        Self { pace, health: Health::Unknown, successes: 0, failures: 0, good_since: None }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    /// Takes in a result; says whether the verdict changed.
    pub(super) fn take(&mut self, now: Instant, succeeded: bool) -> bool {
        let before = self.health;
        if succeeded {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            let good_since = *self.good_since.get_or_insert(now);
            let has_recovered = self.successes >= self.pace.rise && now >= good_since + self.pace.recovery;
            if before == Health::Unknown || has_recovered {
                self.health = Health::Good;
            }
        } else {
            self.successes = 0;
            self.good_since = None;
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.pace.fall {
                self.health = Health::Failing;
            }
        }
        self.health != before
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The verdicts after a row of results, a second apart: `+` succeeds and `-` fails.
    fn verdicts(rise: u32, fall: u32, recovery: u64, results: &str) -> String {
        let pace = CheckPace { rise, fall, recovery: Duration::from_secs(recovery), ..CheckPace::default() };
        let mut judgement = Judgement::new(pace);
        let mut now = Instant::from_boot(Duration::from_secs(100));
        let verdict = |result| {
            let before = judgement.health();
            now = now + Duration::from_secs(1);
            assert_eq!(judgement.take(now, result == '+'), judgement.health() != before);
            match judgement.health() {
                Health::Unknown => '?',
                Health::Good => 'g',
                Health::Failing => 'f',
            }
        };
        results.chars().map(verdict).collect()
    }

    #[test]
    fn a_first_success_is_enough_and_a_first_failure_is_not() {
        assert_eq!(verdicts(3, 2, 9, "++"), "gg");
        assert_eq!(verdicts(3, 2, 9, "-+"), "?g");
        assert_eq!(verdicts(3, 2, 9, "--"), "?f");
    }

    #[test]
    fn only_failures_in_a_row_make_it_failing() {
        assert_eq!(verdicts(1, 3, 0, "+--+--+---"), "gggggggggf");
        assert_eq!(verdicts(1, 1, 0, "+-"), "gf");
    }

    #[test]
    fn only_successes_in_a_row_make_it_good_again() {
        assert_eq!(verdicts(3, 1, 0, "-++-+++"), "ffffffg");
    }

    #[test]
    fn it_must_have_been_good_for_a_while_too() {
        assert_eq!(verdicts(2, 1, 4, "-+++++"), "fffffg");
        assert_eq!(verdicts(2, 1, 4, "-++++-+++++"), "ffffffffffg");
    }

    #[test]
    fn what_comes_and_goes_stays_failing() {
        let flapping = "-".to_owned() + &"+++-".repeat(50);
        assert!(!verdicts(2, 2, 5, &("-".to_owned() + &flapping))[2..].contains('g'));
    }
}
