//! The lab stays open: how to play in it, and what comes of that.

use std::time::Duration;

use super::play::Play;
use crate::binaries;
use crate::interrupt::Interrupt;
use crate::lab::PRIVATE_LINK;
use crate::stage::VIP;

/// Says how to play in the lab, and tells the news until Ctrl-C.
pub(super) fn open(play: &mut Play, interrupt: &Interrupt) {
    interrupt.await_it();
    explain(play);
    while !interrupt.has_come() {
        play.rest(Duration::from_millis(100));
    }
    play.tell(true);
}

fn explain(play: &Play) {
    let (screen, lab) = (&play.screen, &play.stage.lab);
    screen.line("");
    screen.title("The lab is open: play in it, and watch here what comes of it. Ctrl-C ends it.");
    screen.line("");
    screen.line("A root shell in a host, from another terminal (close it before you end the lab):");
    for host in lab.hosts() {
        screen.line(format_args!("  {:<12}{}", host.name(), host.shell_line()));
    }
    screen.line("");
    screen.line("The agents:");
    for node in &play.stage.nodes {
        screen.line(format_args!("  {:<12}process {}", node.host.name(), node.agent.pid()));
    }
    let Some(node) = play.stage.nodes.first() else { return };
    let (mantle, config) = (binaries::mantle(), lab.config_path(&node.host));
    let (mantle, config) = (mantle.display(), config.display());
    screen.line("");
    screen.line(format_args!("For example, in the shell of {}:", node.host.name()));
    for (command, what) in [
        (format!("{mantle} status -c {config}"), "what its agent says"),
        ("ip -brief address".to_owned(), "who wears the VIP"),
        (format!("kill {}", node.agent.pid()), "a planned stop; -9 is a crash, -STOP freezes, -CONT thaws"),
        (format!("{mantle} run -c {config}"), "its agent again"),
        (format!("ip link set {PRIVATE_LINK} down"), "cut off from etcd; `up` mends it"),
        (format!("ip address del {VIP}/32 dev eth0"), "the VIP taken off by a foreign hand"),
    ] {
        screen.line(format_args!("  {command}"));
        screen.faint(&format!("      {what}"));
    }
    screen.line("");
}
