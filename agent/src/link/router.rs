//! Whether this node is a router, as its neighbour advertisements must say.

use std::fs;

/// Whether the node forwards IPv6 that comes in on the link of that name: the R flag of its neighbour advertisements.
///
/// Where the kernel doesn't say (no such link, no IPv6) it is no router.
pub fn forwards_ipv6(link: &str) -> bool {
    fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{link}/forwarding"))
        .is_ok_and(|setting| !matches!(setting.trim(), "0" | ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_not_there_routes_nothing() {
        assert!(!forwards_ipv6("no-such-link"));
    }
}
