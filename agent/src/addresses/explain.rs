//! Why a choice is what it is, for a person.

use std::fmt::Write;

use super::keeper::Kept;

/// What is wrong with a choice, if anything: with every address of the node and why it was left out.
pub fn trouble(kept: &Kept) -> Option<String> {
    let choice = &kept.choice;
    if !choice.addresses.is_empty() && !choice.stale {
        return None;
    }
    let mut text = match kept.rule.subnets() {
        Some(subnets) if subnets.only_takes_away() => format!(
            "no address for {}: {subnets} only takes away; begin the list with what it takes from, such as 0.0.0.0/0 or ::/0",
            kept.purpose
        ),
        Some(subnets) => format!("no address for {} by {subnets}", kept.purpose),
        None => format!("no address for {}", kept.purpose),
    };
    if choice.stale {
        let addresses: Vec<String> = choice.addresses.iter().map(ToString::to_string).collect();
        let made =
            format!("{} as it should be; stale, and still in force: {}", kept.purpose, addresses.join(" "));
        text = match kept.rule.subnets() {
            Some(subnets) => format!("not everything is there for {made} (by {subnets})"),
            None => format!("not everything is there for {made}"),
        };
    }
    if choice.left_out.is_empty() {
        text.push_str("; this node has no address at all");
    }
    for left_out in &choice.left_out {
        let link = left_out.link.as_ref().map(|link| format!(" on {link}")).unwrap_or_default();
        let written = write!(text, "\n  {}{link}: {}", left_out.ip, left_out.reason);
        written.expect("a string takes all that is written");
    }
    Some(text)
}
