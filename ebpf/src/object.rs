//! The committed object, and what the agent needs to speak with its maps.

use aya::Pod;

use crate::layout::{Address, Counters, Event, Filter, Limits, Right, Vip};

/// The object with the programs: `cargo xtask build-ebpf` makes it, and `--check` compares.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../prebuilt/mantle.o");

/// The TC program for what arrives.
pub const INGRESS: &str = "mantle_ingress";
/// The TC program for what leaves.
pub const EGRESS: &str = "mantle_egress";
/// The XDP program for drivers: the same as [`INGRESS`], earlier; what is to be relayed it leaves to that one.
pub const XDP: &str = "mantle_xdp";
/// The XDP program for the generic form, behind which [`INGRESS`] cannot rely on seeing anything (`skb_pp_cow_data`
/// loses `mac_len`): it relays by itself.
pub const XDP_GENERIC: &str = "mantle_xdp_generic";

/// Hash of [`Address`] to [`Vip`].
pub const VIPS: &str = "VIPS";
/// Array of one [`Filter`].
pub const FILTER: &str = "FILTER";
/// Array of one [`Right`], which can be mapped.
pub const RIGHT: &str = "RIGHT";
/// Per-CPU array of [`Counters`].
pub const COUNTERS: &str = "COUNTERS";
/// Array of [`Limits`].
pub const LIMITS: &str = "LIMITS";
/// Ring buffer of [`Event`].
pub const EVENTS: &str = "EVENTS";

macro_rules! pod {
    ($($type:ty)*) => {$(
        // SAFETY: `repr(C)`, without padding, and made of integers for which every pattern of bits is a value.
        unsafe impl Pod for $type {}
    )*};
}

pod! { Address Counters Event Filter Limits Right Vip }
