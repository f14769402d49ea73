//! When a renewal that has no answer yet is sent to a second endpoint as well.

use std::time::Duration;

/// How long answers usually take, as TCP estimates it before it sends again (RFC 6298, section 2): a smoothed mean, and
/// how far answers stray from it. Mean and four times the straying together are seldom exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usual {
    known: Option<Spread>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spread {
    mean: Duration,
    stray: Duration,
}

impl Usual {
    /// Below this a second try would be sent for what is no more than the machine's own unrest.
    pub(super) const SOONEST: Duration = Duration::from_millis(20);

    /// Takes in how long an answer took.
    pub(super) fn took(&mut self, took: Duration) {
        self.known = Some(match self.known {
            None => Spread { mean: took, stray: took / 2 },
            Some(Spread { mean, stray }) => {
                Spread { mean: (7 * mean + took) / 8, stray: (3 * stray + mean.abs_diff(took)) / 4 }
            }
        });
    }

    /// How long to wait for an answer before another endpoint is asked as well: longer than answers usually take, since a
    /// slow etcd must not get twice the work; and `longest` at most.
    pub(super) fn patience(&self, longest: Duration) -> Duration {
        let usual = self.known.map_or(Duration::ZERO, |Spread { mean, stray }| mean + 4 * stray);
        usual.max(Self::SOONEST).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(150);

    fn after(times: impl IntoIterator<Item = u64>) -> u128 {
        let mut usual = Usual::default();
        times.into_iter().for_each(|millis| usual.took(Duration::from_millis(millis)));
        usual.patience(LONGEST).as_millis()
    }

    #[test]
    fn a_fast_etcd_is_waited_for_shortly() {
        assert_eq!(after([]), 20);
        assert_eq!(after([1; 50]), 20);
    }

    #[test]
    fn a_slow_etcd_is_waited_for_longer_than_it_usually_takes() {
        let patience = after((0..100).map(|turn| if turn % 2 == 0 { 30 } else { 50 }));
        assert!((60..=130).contains(&patience), "{patience} ms");
    }

    #[test]
    fn nothing_is_waited_for_longer_than_the_longest() {
        assert_eq!(after([900; 10]), 150);
    }

    #[test]
    fn one_late_answer_is_soon_forgotten() {
        assert_eq!(after([1; 50].into_iter().chain([400]).chain([1; 40])), 20);
    }
}
