//! A frame as XDP gives it: the driver's buffer.

use core::ptr;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use mantle_ebpf::verdict::{Flow, Frame, Socket};

use crate::bounds::within;
use crate::socket;

/// A frame in a driver's buffer; of a frame in several only the first is reached.
pub(crate) struct Xdp<const RELAYS: bool>(*mut xdp_md);

impl<const RELAYS: bool> From<XdpContext> for Xdp<RELAYS> {
    #[inline(always)]
    fn from(ctx: XdpContext) -> Self {
        Self(ctx.ctx)
    }
}

impl<const RELAYS: bool> Xdp<RELAYS> {
    #[inline(always)]
    fn linear<const N: usize>(&self) -> Option<*mut [u8; N]> {
        // SAFETY: the kernel gave the context, which outlives the program's run.
        unsafe { within(&raw const (*self.0).data, &raw const (*self.0).data_end) }
    }
}

impl<const RELAYS: bool> Frame for Xdp<RELAYS> {
    const RELAYS: bool = RELAYS;

    #[inline(always)]
    fn head<const N: usize>(&mut self) -> Option<&[u8; N]> {
        // SAFETY: `within` has seen all of it to be there, and it stays until a helper moves it, which takes
        // `&mut self`.
        self.linear().map(|head| unsafe { &*head })
    }

    #[inline(always)]
    fn copy<const N: usize>(&self, at: u32, into: &mut [u8; N]) -> bool {
        let Ok(len) = u32::try_from(N) else {
            return false;
        };
        // SAFETY: the kernel gave the context, and the helper writes `len` bytes into `into`, which has as many.
        unsafe { bpf_xdp_load_bytes(self.0, at, ptr::from_mut(into).cast(), len) == 0 }
    }

    #[inline(always)]
    fn size(&self) -> u32 {
        // SAFETY: the kernel gave the context.
        #[expect(clippy::cast_possible_truncation, reason = "the length of a frame")]
        unsafe {
            bpf_xdp_get_buff_len(self.0) as u32
        }
    }

    #[inline(always)]
    fn link(&self) -> u32 {
        // SAFETY: the kernel gave the context.
        unsafe { (*self.0).ingress_ifindex }
    }

    /// Drivers leave the tag in the frame for XDP. (Generic XDP does not, where the NIC takes tags off.)
    #[inline(always)]
    fn is_tagged(&self) -> bool {
        false
    }

    #[inline(always)]
    fn resize(&mut self, size: u32) -> bool {
        let by = size.cast_signed() - self.size().cast_signed();
        // SAFETY: the kernel gave the context, and no borrow of the frame is left.
        by == 0 || unsafe { bpf_xdp_adjust_tail(self.0, by) == 0 }
    }

    #[inline(always)]
    fn overwrite<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let Some(head) = self.linear::<N>() else {
            return false;
        };
        // SAFETY: as in `head`.
        unsafe { *head = *bytes };
        true
    }
    #[inline(always)]
    fn readdress<const N: usize>(&mut self, start: &[u8; N]) -> bool {
        self.overwrite(start)
    }

    #[inline(always)]
    fn socket<const N: usize>(&self, flow: &Flow<N>) -> Socket {
        // SAFETY: the kernel gave the context.
        unsafe { socket::find(self.0.cast(), flow) }
    }
}
