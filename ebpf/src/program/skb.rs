//! A frame as TC gives it: a socket buffer.

use core::ptr;

use aya_ebpf::bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM};
use aya_ebpf::helpers::{
    bpf_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_store_bytes,
};
use aya_ebpf::programs::TcContext;
use mantle_ebpf::verdict::{Flow, Frame, Socket};

use crate::bounds::within;
use crate::socket;

/// A frame in a socket buffer.
///
/// It is read in place but written through a helper: a program that also wrote in place would have the kernel copy the
/// head of every cloned buffer before each run (`bpf_unclone_prologue`), and all TCP over veth is cloned.
pub(crate) struct Skb(*mut __sk_buff);

impl From<TcContext> for Skb {
    #[inline(always)]
    fn from(ctx: TcContext) -> Self {
        Self(ctx.skb.skb)
    }
}

impl Skb {
    /// Sends the frame out by the link it arrived on; gives the action that says so.
    #[inline(always)]
    pub(crate) fn send_back(&self) -> i32 {
        // SAFETY: the helper takes no pointer.
        #[expect(clippy::cast_possible_truncation, reason = "an action: the helper gives a small integer")]
        unsafe {
            bpf_redirect(self.link(), 0) as i32
        }
    }

    #[inline(always)]
    fn linear<const N: usize>(&self) -> Option<*mut [u8; N]> {
        // SAFETY: the kernel gave the context, which outlives the program's run.
        unsafe { within(&raw const (*self.0).data, &raw const (*self.0).data_end) }
    }

    /// Brings the first `len` bytes into the linear part, from the pages that follow it.
    #[inline(always)]
    fn pull(&self, len: u32) -> bool {
        // SAFETY: the kernel gave the context. Pointers into the frame that this makes invalid are all behind borrows
        // of `self`, which have ended.
        self.size() >= len && unsafe { bpf_skb_pull_data(self.0, len) } == 0
    }
}

impl Frame for Skb {
    const RELAYS: bool = true;

    #[inline(always)]
    fn head<const N: usize>(&mut self) -> Option<&[u8; N]> {
        let head = match self.linear() {
            Some(head) => head,
            None if self.pull(u32::try_from(N).ok()?) => self.linear()?,
            None => return None,
        };
        // SAFETY: `within` has seen all of it to be there, and it stays until a helper moves it, which takes
        // `&mut self`.
        Some(unsafe { &*head })
    }

    #[inline(always)]
    fn copy<const N: usize>(&self, at: u32, into: &mut [u8; N]) -> bool {
        let Ok(len) = u32::try_from(N) else {
            return false;
        };
        // SAFETY: the kernel gave the context, and the helper writes `len` bytes into `into`, which has as many.
        unsafe { bpf_skb_load_bytes(self.0.cast(), at, ptr::from_mut(into).cast(), len) == 0 }
    }

    #[inline(always)]
    fn size(&self) -> u32 {
        // SAFETY: the kernel gave the context.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn link(&self) -> u32 {
        // SAFETY: the kernel gave the context.
        unsafe { (*self.0).ifindex }
    }

    #[inline(always)]
    fn is_tagged(&self) -> bool {
        // SAFETY: the kernel gave the context.
        unsafe { (*self.0).vlan_present != 0 }
    }

    #[inline(always)]
    fn resize(&mut self, size: u32) -> bool {
        // SAFETY: the kernel gave the context, and no borrow of the frame is left.
        self.size() == size || unsafe { bpf_skb_change_tail(self.0, size, 0) == 0 }
    }

    #[inline(always)]
    fn overwrite<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let Ok(len) = u32::try_from(N) else {
            return false;
        };
        // The flag keeps the sum over the frame right that some NICs leave beside it.
        let flags = u64::from(BPF_F_RECOMPUTE_CSUM);
        // SAFETY: the helper reads `len` bytes from `bytes`, which has as many, and no borrow of the frame is left.
        unsafe { bpf_skb_store_bytes(self.0, 0, ptr::from_ref(bytes).cast(), len, flags) == 0 }
    }
    #[inline(always)]
    fn readdress<const N: usize>(&mut self, start: &[u8; N]) -> bool {
        const { assert!(N > ETHER as usize, "there is a packet") };
        let (Ok(len), packet) = (u32::try_from(N), start.split_at(ETHER as usize).1) else {
            return false;
        };
        // The sum that some NICs leave beside a frame covers the packet alone.
        let flags = u64::from(BPF_F_RECOMPUTE_CSUM);
        // SAFETY: the helper reads as many bytes as either part has, and no borrow of the frame is left.
        unsafe {
            bpf_skb_store_bytes(self.0, 0, start.as_ptr().cast(), ETHER, 0) == 0
                && bpf_skb_store_bytes(self.0, ETHER, packet.as_ptr().cast(), len - ETHER, flags) == 0
        }
    }

    #[inline(always)]
    fn socket<const N: usize>(&self, flow: &Flow<N>) -> Socket {
        // SAFETY: the kernel gave the context.
        unsafe { socket::find(self.0.cast(), flow) }
    }
}

/// The length of the Ethernet header.
const ETHER: u32 = 14;
