//! The scenes, in the order they are played.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::play::Play;
use super::screen::told;
use crate::clock::now;
use crate::lab::PRIVATE_LINK;
use crate::stage::{SOON, VIP};

/// One scene.
pub(super) struct Scene {
    /// What happens, in a few words; the summary's too.
    pub(super) title: &'static str,
    /// What there is to see.
    pub(super) about: &'static str,
    /// Does it. The gap is measured from its begin to its end, unless it says otherwise.
    pub(super) play: fn(&mut Play),
}

/// All of them.
pub(super) const SCENES: &[Scene] = &[
    Scene {
        title: "Three nodes come up",
        about: "The first claims the address; the others stand by.",
        play: three_nodes_come_up,
    },
    Scene {
        title: "A planned stop",
        about: "The owner hands the address over, and serves to its end what was opened before.",
        play: a_planned_stop,
    },
    Scene {
        title: "The agent is killed and started again",
        about: "Its right outlives it: the next agent resumes, and nobody else moves.",
        play: a_resumed_agent,
    },
    Scene {
        title: "The owner's machine dies",
        about: "Nobody says good-bye: the others wait until the dead one's right is surely over.",
        play: a_crash,
    },
    Scene {
        title: "The owner's agent is frozen",
        about: "Nothing of it runs, so it cannot let go: its kernel must fall silent when the right ends.",
        play: a_frozen_agent,
    },
    Scene {
        title: "Cut off from etcd",
        about: "The owner lives and its clients reach it, but it cannot renew: it must fall silent by itself.",
        play: cut_off_from_etcd,
    },
];

fn three_nodes_come_up(play: &mut Play) {
    let mut names = ["alpha", "bravo", "charlie"].into_iter();
    let first = names.next().expect("there are three");
    play.screen.meet(first);
    let started = now();
    play.act(format_args!("the agent on {first} starts"));
    play.add(first);
    let answered = play.until("the first answer", |play| {
        play.stage.client.look(|probes| probes.of(VIP).first_answer(first, started))
    });
    play.remark(format_args!("owner {} ms after its start", answered.since(started).as_millis()));
    play.count_from_now();
    for name in names {
        play.screen.meet(name);
        play.act(format_args!("the agent on {name} starts"));
        let at = play.add(name);
        play.until_stands_by(at);
    }
}

fn a_planned_stop(play: &mut Play) {
    let owner = play.the_owner();
    let mut open = play.connect();
    let told = format!("a connection to {VIP} opened before is served by {}", play.screen.node(&open.server));
    play.remark(&told);
    play.act(format_args!("SIGTERM to the agent on {}", play.name(owner)));
    play.stage.nodes[owner].agent.signal(Signal::SIGTERM);
    let next = play.until_another_answers(owner);
    for _ in 0..10 {
        open.ask();
        play.rest(Duration::from_millis(50));
    }
    let new = play.connect().server;
    play.remark(format_args!("{told} still, and a new one by {}", play.screen.node(&new)));
    assert_eq!(new, play.name(next), "new connections are the new owner's");
    play.act("the open connection ends");
    drop(open);
    let exit = play.stage.nodes[owner].agent.wait(SOON);
    assert!(exit.is_some_and(|exit| exit.success()), "the agent did not stop in order: {exit:?}");
    play.remark(format_args!("nothing was left for {} to serve: its agent has ended", play.node(owner)));
    play.act(format_args!("the agent on {} starts again", play.name(owner)));
    play.stage.restart(owner);
    play.until_stands_by(owner);
}

fn a_resumed_agent(play: &mut Play) {
    let owner = play.the_owner();
    play.act(format_args!("kill -9 to the agent on {}, and a new one", play.name(owner)));
    play.stage.nodes[owner].agent.kill9();
    play.stage.restart(owner);
    play.until("the session resumed", |play| {
        play.stage.nodes[owner].agent.log().contains("session of the previous agent resumed").then_some(())
    });
    play.remark("the new agent has resumed its predecessor's session");
    // Longer than the right: whatever goes on now does so by itself.
    play.rest(Duration::from_millis(1500));
}

fn a_crash(play: &mut Play) {
    let owner = play.the_owner();
    play.act(format_args!("{} loses power: cables dead, agent killed", play.name(owner)));
    play.stage.nodes[owner].host.unplug();
    play.stage.nodes[owner].agent.kill9();
    play.until_another_answers(owner);
    play.rest(Duration::from_millis(500));
    play.act(format_args!("{} is back", play.name(owner)));
    play.stage.nodes[owner].host.plug();
    play.stage.restart(owner);
    play.until_stands_by(owner);
}

fn a_frozen_agent(play: &mut Play) {
    let owner = play.the_owner();
    let name = play.name(owner);
    play.act(format_args!("SIGSTOP to the agent on {name}"));
    play.stage.nodes[owner].agent.freeze();
    let frozen = now();
    let next = play.until_another_answers(owner);
    play.rest(Duration::from_millis(500));
    let last = play.acted(owner).next_back().expect("it was owner");
    let first = play.acted(next).find(|at| *at > last).expect("it is owner");
    play.remark(format_args!(
        "wire: {}'s last frame for {VIP} came {} after the SIGSTOP; {} later {}'s first",
        play.node(owner),
        told(last.since(frozen)),
        told(first.since(last)),
        play.node(next)
    ));
    play.act(format_args!("SIGCONT to the agent on {name}"));
    play.stage.nodes[owner].agent.thaw();
    play.until_stands_by(owner);
    tell_fence(play, owner);
    play.rest(Duration::from_millis(1500));
    let since = play.acted(owner).filter(|at| *at > last).count();
    play.remark(format_args!("wire: {since} frames for {VIP} from {} since", play.node(owner)));
}

/// What fenced the VIP on a node that was owner when its right ended, and what came of it.
fn tell_fence(play: &mut Play, at: usize) {
    let name = play.node(at);
    let vip = play.until("the fence's word", |play| {
        let vip = play.stage.status(at)?["vips"][0].take();
        // The counts are read once a second.
        (vip["fence"] != "kernel" || vip["kernel"]["dropped"]["ip"].as_u64()? > 0).then_some(vip)
    });
    if vip["fence"] != "kernel" {
        return play
            .remark(format_args!("{name} has no kernel program: the address's lifetime was its fence"));
    }
    let dropped = &vip["kernel"]["dropped"];
    play.remark(format_args!(
        "{name}'s kernel program has dropped {} packets for {VIP}, {} ARP requests, and {} leaving frames",
        dropped["ip"], dropped["arp"], dropped["out"]
    ));
}

fn cut_off_from_etcd(play: &mut Play) {
    let owner = play.the_owner();
    play.act(format_args!("{}'s cable to etcd is pulled", play.name(owner)));
    play.stage.nodes[owner].host.port(PRIVATE_LINK).set_up(false);
    play.until_another_answers(owner);
    play.rest(Duration::from_millis(500));
    play.act(format_args!("{}'s cable to etcd is put back", play.name(owner)));
    play.stage.nodes[owner].host.port(PRIVATE_LINK).set_up(true);
    play.until_stands_by(owner);
}
