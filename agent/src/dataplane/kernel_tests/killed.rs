//! An agent that is killed: nothing of it is left but what it pinned.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio::time::sleep;

use super::super::{Dataplane, Right, State};
use super::ground::{Lab, NAME, SESSION, VIP4, VIP6, after, entry, in_lab, link};
use crate::clock;
use crate::config::Mode;
use mantle_protocol::Instant;

/// Tells the test, run once more as a process of its own, that it is the agent, and of which link.
const PLAYS_AGENT: &str = "MANTLE_TEST_PLAYS_AGENT_OF";

/// How long the killed agent's right lasts.
const RIGHT: Duration = Duration::from_secs(4);

/// What it says before the end of its right.
const UNTIL: &str = "right until ";

/// A question that is asked that long before the end has to be answered, on a machine that is busy too.
const MARGIN: Duration = Duration::from_secs(1);

#[test]
fn the_program_of_a_killed_agent_answers_until_the_end_of_its_right_and_never_after_it() {
    if let Ok(index) = env::var(PLAYS_AGENT) {
        play_agent(index.parse().unwrap());
    }
    in_lab(async |mut lab| {
        let until = kill_an_agent(&lab);
        let mut asked = 0;
        while clock::now() + MARGIN < until {
            lab.assert_answered();
            asked += 1;
        }
        assert!(asked > 0, "the agent took too long to begin with");
        while clock::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..10 {
            lab.assert_silent();
        }

        let (dataplane, _) = lab.start(Mode::Tc);
        assert_eq!(dataplane.right().read(), Right { session: SESSION, until });
        assert_eq!(dataplane.entries().into_keys().collect::<Vec<_>>(), [VIP4, VIP6]);
        lab.assert_silent();
        dataplane.right().grant(SESSION, after(3_600_000));
        lab.assert_answered();
    });
}

/// Has an agent own both VIPs, in a process of its own, and kills it by SIGKILL; gives the end of its right.
fn kill_an_agent(lab: &Lab) -> Instant {
    let (_, room) = module_path!().split_once("::").unwrap();
    let test = "the_program_of_a_killed_agent_answers_until_the_end_of_its_right_and_never_after_it";
    // It has this thread's namespaces.
    let mut agent = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &format!("{room}::{test}")])
        .env(PLAYS_AGENT, lab.link.index.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(agent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let until = lines.find_map(|line| line.split_once(UNTIL)?.1.parse().ok());
    agent.kill().unwrap();
    agent.wait().unwrap();
    Instant::from_boot(Duration::from_nanos(until.expect("the agent owns the VIPs")))
}

/// The agent: owns, says until when, and waits to be killed.
fn play_agent(index: u32) -> ! {
    let link = link(index);
    let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
    dataplane.attach(&link).unwrap();
    for vip in [VIP4, VIP6] {
        dataplane.set(vip, &entry(&link, State::Owner)).unwrap();
    }
    let until = clock::now() + RIGHT;
    dataplane.right().grant(SESSION, until);
    println!("{UNTIL}{}", until.since_boot().as_nanos());
    // Not for ever, should the test be killed itself.
    thread::sleep(Duration::from_mins(1));
    panic!("nobody killed the agent");
}
