//! What the kernel counts of the links of the calling thread's network namespace.

use std::fs;

/// How many frames have come in on a link.
pub(crate) fn received(link: &str) -> u32 {
    const FRAMES: usize = 1;
    let table = table();
    let found = links(&table).find(|(name, _)| *name == link);
    let (_, counts) = found.unwrap_or_else(|| panic!("the kernel counts nothing of {link}"));
    u32::try_from(counts[FRAMES]).expect("a lab lives too shortly for more")
}

/// How many frames the links have dropped, coming and going: mostly as a queue was full.
pub(crate) fn dropped() -> u64 {
    total_dropped(&table())
}

fn total_dropped(table: &str) -> u64 {
    const DROPS: [usize; 2] = [3, 11];
    links(table).map(|(_, counts)| DROPS.iter().map(|at| counts[*at]).sum::<u64>()).sum()
}

/// Each link's counts: of what came in and then of what went out, bytes, frames, errors, drops and four more.
fn links(table: &str) -> impl Iterator<Item = (&str, Vec<u64>)> {
    table.lines().filter_map(|line| {
        let (name, counts) = line.split_once(':')?;
        let counts = counts.split_whitespace().map(|count| count.parse().expect("the kernel writes numbers"));
        Some((name.trim(), counts.collect()))
    })
}

fn table() -> String {
    const PATH: &str = "/proc/thread-self/net/dev";
    fs::read_to_string(PATH).unwrap_or_else(|error| panic!("cannot read {PATH}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_every_link_count_both_ways() {
        let table = "Inter-|   Receive    |  Transmit\n face |bytes packets errs drop\n\
                     lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0\n  eth0: 9 9 9 5 9 9 9 9 9 9 9 7 9 9 9 9\n";
        assert_eq!(total_dropped(table), 12);
    }
}
