//! VIPs that move, by plan, by crash and by accident: each scenario a story of its own, judged by the wire.

#![expect(clippy::unwrap_used, reason = "a scenario's own functions fail where they stand, like its tests")]

mod access;
mod addresses;
mod by_systemd;
mod counted;
mod crash;
mod deaf;
mod etcd_trouble;
mod fence;
mod foreign;
mod garbage;
mod guardian;
mod handoff;
mod health;
mod hedged;
mod hushed;
mod life;
mod link_trouble;
mod loaded;
mod many;
mod multihomed;
mod online;
mod planned;
mod raw;
mod relayed;
mod seen;
mod slow_etcd;
mod source;
mod starved;
mod steps;
mod witness;
