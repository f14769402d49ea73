//! What the kernel has of a TCP connection.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::BPF_F_CURRENT_NETNS;
use aya_ebpf::helpers::{bpf_sk_release, bpf_skc_lookup_tcp};
use mantle_ebpf::verdict::{Flow, Socket};

/// `TCP_TIME_WAIT`.
const TIME_WAIT: u32 = 6;
/// `TCP_LISTEN`.
const LISTEN: u32 = 10;

/// Looks for the socket of a connection. A listener is what the kernel finds where there is no connection.
///
/// # Safety
///
/// `context` is that of the program that runs.
#[inline(always)]
pub(crate) unsafe fn find<const N: usize>(context: *mut c_void, flow: &Flow<N>) -> Socket {
    let Ok(size) = u32::try_from(N) else {
        return Socket::Unknown;
    };
    let tuple = ptr::from_ref(flow).cast_mut().cast();
    // SAFETY: the helper reads as many bytes as the flow has; what it gives is released below.
    let found = unsafe { bpf_skc_lookup_tcp(context, tuple, size, CURRENT, 0) };
    if found.is_null() {
        return Socket::Unknown;
    }
    // SAFETY: it is there until it is released. Volatile: the verifier knows this word as a whole only.
    let state = unsafe { ptr::read_volatile(&raw const (*found).state) };
    // SAFETY: it was found above, and nothing is read of it any more.
    unsafe { bpf_sk_release(found.cast()) };
    match state {
        LISTEN => Socket::Unknown,
        TIME_WAIT => Socket::Over,
        _ => Socket::Open,
    }
}

/// The network namespace that the frame is in. All bits: the kernel wants the constant's 32 extended with its sign.
const CURRENT: u64 = (BPF_F_CURRENT_NETNS as i64).cast_unsigned();
