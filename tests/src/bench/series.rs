//! What was measured of one figure.

use super::figures::Figure;

/// The values of one figure, one for each run.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    figure: &'static Figure,
    values: Vec<f64>,
}

impl Series {
    /// What was measured.
    pub(super) fn new(figure: &'static Figure, values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "{} was measured at least once", figure.name);
        Self { figure, values }
    }

    /// What this is.
    pub(super) fn figure(&self) -> &'static Figure {
        self.figure
    }

    /// In the order they were measured.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The middle one; between the middle two.
    pub(super) fn median(&self) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
    }

    /// What 99 of 100 do not exceed: with fewer than that, the worst.
    pub(super) fn p99(&self) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values[(values.len() * 99).div_ceil(100) - 1]
    }

    /// The largest: no figure is better for being larger.
    pub(super) fn worst(&self) -> f64 {
        self.values.iter().copied().fold(f64::MIN, f64::max)
    }

    /// Whether the median is within the bound, as precisely as it is shown; where there is to be none of it, every value.
    pub(super) fn is_met(&self) -> bool {
        let judged = if self.figure.bound > 0.0 { self.median() } else { self.worst() };
        (judged * 100.0).round() <= (self.figure.bound * 100.0).round()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::{PLANNED_STOP, RESUME};

    #[test]
    fn the_median_decides() {
        let series = Series::new(&PLANNED_STOP, vec![3.0, 90.0, 5.0, 4.0, 6.0]);
        assert_eq!((series.median(), series.worst(), series.is_met()), (5.0, 90.0, true));
        let between = Series::new(&PLANNED_STOP, vec![10.0, 40.0]).median();
        assert!((between - 25.0).abs() < 1e-9, "{between}");
        assert!(!Series::new(&PLANNED_STOP, vec![10.0, 40.0]).is_met());
    }

    #[test]
    fn one_of_a_hundred_may_be_worse_than_the_99th_percentile() {
        for (count, expected) in [(1, 1.0), (30, 30.0), (100, 99.0), (200, 198.0)] {
            let values = (1..=count).map(f64::from).collect();
            let p99: f64 = Series::new(&PLANNED_STOP, values).p99();
            assert!((p99 - expected).abs() < 1e-9, "{p99} of {count}");
        }
    }

    #[test]
    fn a_bound_of_nothing_is_met_by_nothing_only() {
        assert!(Series::new(&RESUME, vec![0.0]).is_met());
        assert!(!Series::new(&RESUME, vec![1.0]).is_met());
        assert!(!Series::new(&RESUME, vec![0.0, 0.0, 1.0]).is_met(), "one is lost");
    }
}
