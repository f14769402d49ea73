//! The programs in the kernel: the library's logic, each verdict turned into each hook's action.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![expect(
    clippy::inline_always,
    reason = "between eBPF functions pass five registers and one back: no structs"
)]

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use mantle_ebpf::verdict::{Verdict, arriving, leaving};

use crate::maps::Maps;
use crate::skb::Skb;
use crate::xdp::Xdp;

mod bounds;
mod maps;
mod object;
mod skb;
mod socket;
mod xdp;

/// TC, for what arrives.
#[classifier]
fn mantle_ingress(ctx: TcContext) -> i32 {
    let mut frame = Skb::from(ctx);
    match arriving(&mut frame, &Maps) {
        // Not OK, which would end the matter: other programs at the hook have their say too.
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::Drop => TC_ACT_SHOT,
        Verdict::Reply | Verdict::Relay => frame.send_back(),
    }
}

/// TC, for what leaves.
#[classifier]
fn mantle_egress(ctx: TcContext) -> i32 {
    match leaving(&mut Skb::from(ctx), &Maps) {
        Verdict::Pass => TC_ACT_UNSPEC,
        // There are no replies to what leaves, and none of it is another node's.
        Verdict::Drop | Verdict::Reply | Verdict::Relay => TC_ACT_SHOT,
    }
}

/// XDP, for what arrives. `frags`: without it drivers refuse an MTU of 9000.
///
/// What is to be relayed goes on to TC: there it leaves in whatever form it came, a checksum that is still to be filled in
/// included, which a veth forgets of what is sent back from XDP.
#[xdp(frags)]
fn mantle_xdp(ctx: XdpContext) -> u32 {
    act(&mut Xdp::<false>::from(ctx))
}

/// Generic XDP, for what arrives: a socket buffer all the same, which nothing is forgotten of.
#[xdp(frags)]
fn mantle_xdp_generic(ctx: XdpContext) -> u32 {
    act(&mut Xdp::<true>::from(ctx))
}

#[inline(always)]
fn act<const RELAYS: bool>(frame: &mut Xdp<RELAYS>) -> u32 {
    match arriving(frame, &Maps) {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop => xdp_action::XDP_DROP,
        Verdict::Reply | Verdict::Relay => xdp_action::XDP_TX,
    }
}

/// Only for the host's compiler, when it checks all features: the programs live in the kernel.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
