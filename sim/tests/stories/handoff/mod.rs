//! Planned moves, told as stories.

mod course;
mod doubt;
mod early;
mod faults;
mod occasion;
mod refused;

use std::net::IpAddr;

use super::world::{World, ip, ms, settings};
use super::{node, vip};
use mantle_protocol::{Event, NoHandoff, NodeName, Notice, Role};

/// So many nodes for these VIPs, all fenced by the kernel program; the first is owner.
fn fenced(names: &[&str], vips: &[IpAddr]) -> World {
    let mut world = World::new();
    world.fenced = true;
    for name in names {
        world.start(settings(name, vips), &[]);
    }
    assert!(vips.iter().all(|vip| world.owner(*vip) == Some(0)));
    world.pass(ms(1_000));
    for host in &mut world.hosts {
        host.ordered.clear();
        host.committed.clear();
        host.told.clear();
    }
    world
}

fn name(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn hand_off(world: &mut World, at: usize, to: Option<&str>) {
    world.give(at, Event::HandOff { vip: ip(1), to: to.map(name) });
}

/// Why a node says that it does not hand a VIP over.
fn refusals(world: &World, at: usize) -> Vec<NoHandoff> {
    let refusal = |told: &Notice| match told {
        Notice::NotHandedOver { why, .. } => Some(why.clone()),
        _ => None,
    };
    world.hosts[at].told.iter().filter_map(refusal).collect()
}

fn role(world: &World, at: usize) -> Role {
    world.hosts[at].roles.get(&ip(1)).copied().unwrap_or(Role::Off)
}

fn epoch(world: &World) -> i64 {
    world.store.keys[&vip(1)].modified
}
