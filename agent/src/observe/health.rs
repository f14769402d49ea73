//! Whether the agent is alive, and whether its node could wear every VIP: what `/healthz` and `/readyz` answer.

use std::time::Duration;

use super::Status;
use super::status::SessionState;

/// A core thread that has not moved for this long is stuck: it turns at least once a second.
pub const STALE: Duration = Duration::from_secs(5);

/// Why the agent counts as stuck; nothing if it doesn't.
pub fn not_alive(status: &Status) -> Option<String> {
    let age = Duration::from_millis(status.node.heartbeat_age_ms);
    (age > STALE).then(|| format!("the core thread has not moved for {:.1} s", age.as_secs_f64()))
}

/// Why the node is not ready, a line for each reason; none if it is.
pub fn not_ready(status: &Status) -> Vec<String> {
    let stuck = not_alive(status);
    let reason = status.session.reason.as_deref();
    // A session lives on while etcd is out of reach, but its node could wear nothing.
    let session = (status.session.state != SessionState::Live || reason.is_some())
        .then(|| format!("session: {}", reason.unwrap_or("etcd has not acknowledged it")));
    let vips = status.vips.iter().filter(|vip| !vip.ready).map(|vip| {
        let waits_for = vip.waits_for.as_deref().unwrap_or("not ready");
        format!("VIP {} on {}: {waits_for}", vip.vip, vip.link)
    });
    stuck.into_iter().chain(session).chain(vips).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn every_reason_has_a_line() {
        let mut status = sample::status();
        status.node.heartbeat_age_ms = 6_500;
        status.session.state = SessionState::Refused;
        status.session.reason = Some("the name cp-1 is in use by machine 77".to_owned());
        assert_eq!(
            not_ready(&status),
            [
                "the core thread has not moved for 6.5 s",
                "session: the name cp-1 is in use by machine 77",
                "VIP 192.168.7.1 on enp0s9: link enp0s9 does not exist",
            ]
        );
    }

    #[test]
    fn a_live_session_and_ready_vips_are_enough() {
        let mut status = sample::status();
        status.vips.retain(|vip| vip.ready);
        assert!(not_ready(&status).is_empty());
    }

    #[test]
    fn a_session_whose_renewals_fail_is_not_ready_though_it_lives() {
        let mut status = sample::status();
        status.vips.retain(|vip| vip.ready);
        status.session.reason = Some("cannot write to etcd".to_owned());
        assert_eq!(not_ready(&status), ["session: cannot write to etcd"]);
    }

    #[test]
    fn a_core_is_stuck_only_past_the_limit() {
        let mut status = sample::status();
        status.node.heartbeat_age_ms = 5_000;
        assert_eq!(not_alive(&status), None);
        status.node.heartbeat_age_ms = 5_001;
        assert!(not_alive(&status).is_some());
    }
}
