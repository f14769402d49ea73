//! Which endpoint to ask first.

/// What is known of an endpoint when it comes to ranking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// There is a connection to it that answered when it was made.
    pub(super) connected: bool,
    /// It failed, and its wait is not over.
    pub(super) waiting: bool,
}

/// The endpoints' numbers in the order to ask them, all of them: those that failed lately last, since when nothing
/// else is left they are better than nothing; connected ones before others; and among equals `favourite`, who
/// answered last, then the order of the configuration.
pub(super) fn order(standings: &[Standing], favourite: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..standings.len()).collect();
    order.sort_by_key(|&i| (standings[i].waiting, !standings[i].connected, i != favourite, i));
    order
}

/// The same order with `avoid` at its end.
pub(super) fn order_avoiding(standings: &[Standing], favourite: usize, avoid: Option<usize>) -> Vec<usize> {
    let mut order = order(standings, favourite);
    order.sort_by_key(|&i| Some(i) == avoid);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Standing = Standing { connected: true, waiting: false };
    const NEW: Standing = Standing { connected: false, waiting: false };
    const SLOW: Standing = Standing { connected: true, waiting: true };
    const DOWN: Standing = Standing { connected: false, waiting: true };

    #[test]
    fn at_first_the_order_is_that_of_the_configuration() {
        assert_eq!(order(&[NEW, NEW, NEW], 0), [0, 1, 2]);
        assert_eq!(order(&[], 0), [0; 0]);
    }

    #[test]
    fn who_answered_last_stays_first() {
        assert_eq!(order(&[UP, UP, UP], 2), [2, 0, 1]);
    }

    #[test]
    fn who_failed_goes_to_the_back_but_is_not_given_up() {
        assert_eq!(order(&[SLOW, UP, UP], 0), [1, 2, 0]);
        assert_eq!(order(&[DOWN, SLOW, UP], 0), [2, 1, 0]);
        assert_eq!(order(&[DOWN, DOWN], 1), [1, 0]);
    }

    #[test]
    fn a_connection_there_is_beats_one_to_be_made() {
        assert_eq!(order(&[NEW, UP], 0), [1, 0]);
        assert_eq!(order(&[SLOW, NEW], 0), [1, 0]);
    }

    #[test]
    fn a_watch_that_broke_starts_anew_elsewhere() {
        assert_eq!(order_avoiding(&[UP, UP, DOWN], 0, Some(0)), [1, 2, 0]);
        assert_eq!(order_avoiding(&[UP], 0, Some(0)), [0]);
        assert_eq!(order_avoiding(&[UP, UP], 1, None), [1, 0]);
    }
}
