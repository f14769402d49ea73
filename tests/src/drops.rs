//! What links dropped by themselves: a loss in the lab that is not Mantle's.

use std::fs;

/// How many frames the links of the calling thread's network namespace have dropped, coming and going: mostly as a queue was full.
pub(crate) fn dropped() -> u64 {
    const PATH: &str = "/proc/thread-self/net/dev";
    let text = fs::read_to_string(PATH).unwrap_or_else(|error| panic!("cannot read {PATH}: {error}"));
    total(&text)
}

fn total(table: &str) -> u64 {
    // Of what comes in, and of what goes out: bytes, packets, errors, drops and four more.
    const DROPS: [usize; 2] = [3, 11];
    let of_link = |line: &str| {
        let (_, counts) = line.split_once(':')?;
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|count| count.parse().ok()).collect();
        Some(DROPS.iter().filter_map(|at| counts.get(*at)).sum::<u64>())
    };
    table.lines().filter_map(of_link).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_every_link_count_both_ways() {
        let table = "Inter-|   Receive    |  Transmit\n face |bytes packets errs drop\n\
                     lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0\n  eth0: 9 9 9 5 9 9 9 9 9 9 9 7 9 9 9 9\n";
        assert_eq!(total(table), 12);
    }
}
