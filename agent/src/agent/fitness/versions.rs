//! What is known to be wrong with versions of etcd.

/// What is wrong with a version, and what to do; nothing if nothing is known.
pub(super) fn trouble(version: &str) -> Option<(&'static str, &'static str)> {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) =
        (numbers.next(), numbers.next(), numbers.next())
    else {
        return Some(("is no version that can be judged", "see that it is 3.4.36, 3.5.18 or newer"));
    };
    match (major, minor, patch) {
        (0..=2, _, _) | (3, 0..=3, _) => {
            Some(("is older than anything Mantle is tested with", "upgrade to 3.5.18 or newer"))
        }
        (3, 4, ..36) => Some((WATCH_TROUBLE, "upgrade to 3.4.36 or newer")),
        (3, 5, ..3) => Some((CORRUPTION, "upgrade to 3.5.18 or newer")),
        (3, 5, ..18) => Some((WATCH_TROUBLE, "upgrade to 3.5.18 or newer")),
        _ => None,
    }
}

/// Mantle bears it (a mark of revisions per key, a new list when in doubt); whatever else uses this etcd may not.
const WATCH_TROUBLE: &str = "may deliver watch events twice, go back in time after a snapshot, or lose events around a \
                             compaction: never unsafe for a VIP, but a takeover may come late";

/// etcd's own advice of March 2022: 3.5.0 to 3.5.2 are not for production.
const CORRUPTION: &str =
    "may corrupt its data when a member is killed under load: two members could then tell two owners";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_troublesome_until_the_one_that_mended_it() {
        for (version, word) in [
            ("3.3.27", Some("older")),
            ("2.3.8", Some("older")),
            ("3.4.0", Some("watch events")),
            ("3.4.35", Some("watch events")),
            ("3.4.36", None),
            ("3.5.2", Some("corrupt")),
            ("3.5.3", Some("watch events")),
            ("3.5.17", Some("watch events")),
            ("3.5.18", None),
            ("3.6.0", None),
            ("3.6.0-rc.1", None),
            ("4.0.0", None),
            ("", Some("no version")),
            ("3.5", Some("no version")),
            ("three", Some("no version")),
        ] {
            match (trouble(version), word) {
                (None, None) => {}
                (Some((what, _)), Some(word)) => assert!(what.contains(word), "{version}: {what}"),
                (found, expected) => panic!("{version}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
