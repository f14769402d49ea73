//! The owner's agent is killed and started again within its right: what the client notices.

use std::time::Duration;

use super::figures::RESUME;
use super::series::Series;
use super::settle::{look_on, wait_stands_by};
use crate::clock::{now, wait_for};
use crate::stage::{SOON, Setting, Stage, VIP};

/// Two nodes and three members; the standby looks on.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let mut stage = Stage::set("bench-resume", &Setting { members: 3, ..Setting::default() });
    wait_stands_by(&stage, 1);
    let lost = (0..runs).map(|_| {
        let session = session(&stage);
        let killed = now();
        stage.nodes[0].agent.kill9();
        stage.restart(0);
        wait_for("the agent's session", SOON, || stage.status(0).filter(|it| it["session"]["id"].is_i64()));
        // Longer than the right and the address's lifetime: what goes on now does so by the new agent's doing.
        std::thread::sleep(Duration::from_secs(3));
        let end = look_on();
        assert_eq!(self::session(&stage), session, "the agent did not resume its predecessor's session");
        let lost = stage.client.look(|probes| probes.of(VIP).lost_in(killed..end));
        f64::from(u32::try_from(lost).expect("a thousand a second for some seconds"))
    });
    let series = Series::new(&RESUME, lost.collect());
    stage.end();
    vec![series]
}

fn session(stage: &Stage) -> i64 {
    let id = stage.status(0).and_then(|status| status["session"]["id"].as_i64());
    id.expect("the owner's session is live")
}
