//! What the cost of the programs is measured against: for tests and benches, never attached to anything.
//!
//! `BPF_PROG_TEST_RUN` gives a program the same frame again and again, so that the second round sees the first one's
//! answer. `again_*` puts the request back before each round and then goes on to the program in slot 0: the cost of an
//! answer is the difference between going on to that program and to an empty one.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![expect(clippy::needless_pass_by_value, reason = "the macros hand over the context")]

use aya_ebpf::bindings::{TC_ACT_UNSPEC, xdp_action};
use aya_ebpf::helpers::{bpf_skb_store_bytes, bpf_xdp_store_bytes};
use aya_ebpf::macros::{classifier, map, xdp};
use aya_ebpf::maps::{Array, ProgramArray};
use aya_ebpf::programs::{TcContext, XdpContext};

mod object;

/// How many bytes are put back: the longest answer.
const LEN: u32 = 86;

/// What is put back.
#[map]
static REQUEST: Array<[u8; LEN as usize]> = Array::with_max_entries(1, 0);

/// Where `again_tc` goes on.
#[map]
static TC_NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Where `again_xdp` goes on.
#[map]
static XDP_NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Does nothing, at TC.
#[classifier]
fn empty_tc(_: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// Does nothing, at XDP.
#[xdp(frags)]
fn empty_xdp(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Puts the request back and goes on to the program in `TC_NEXT`.
#[classifier]
fn again_tc(ctx: TcContext) -> i32 {
    if let Some(request) = REQUEST.get_ptr(0) {
        // SAFETY: the helper reads as many bytes as the map's value has.
        unsafe { bpf_skb_store_bytes(ctx.skb.skb, 0, request.cast(), LEN, 0) };
        // SAFETY: comes back only if there is no program.
        unsafe { TC_NEXT.tail_call(&ctx, 0) };
    }
    TC_ACT_UNSPEC
}

/// Puts the request back and goes on to the program in `XDP_NEXT`.
#[xdp(frags)]
fn again_xdp(ctx: XdpContext) -> u32 {
    if let Some(request) = REQUEST.get_ptr(0) {
        // SAFETY: the helper reads as many bytes as the map's value has.
        unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, request.cast_mut().cast(), LEN) };
        // SAFETY: comes back only if there is no program.
        unsafe { XDP_NEXT.tail_call(&ctx, 0) };
    }
    xdp_action::XDP_ABORTED
}

/// Only for the host's compiler, when it checks all features: the programs live in the kernel.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
