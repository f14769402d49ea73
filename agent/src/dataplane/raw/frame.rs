//! A received frame, as the shared logic reads it and turns it into the answer.

use mantle_ebpf::verdict::{Flow, Frame, Socket};

/// Room for every frame that is answered, and for what tells of a conflict; of a longer one the rest is cut off.
const ROOM: usize = 256;

/// A frame that came in on a link.
pub(super) struct Received {
    bytes: [u8; ROOM],
    length: usize,
    link: u32,
}

impl Received {
    pub(super) const fn on(link: u32) -> Self {
        Self { bytes: [0; ROOM], length: 0, link }
    }

    /// Where the next frame is put.
    pub(super) const fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// So much of it is a frame now.
    pub(super) const fn filled(&mut self, length: usize) {
        self.length = if length < ROOM { length } else { ROOM };
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Frame for Received {
    /// IP is the kernel's own business here, and goes on to it whatever is decided.
    const RELAYS: bool = false;

    fn head<const N: usize>(&mut self) -> Option<&[u8; N]> {
        self.bytes().first_chunk()
    }

    fn copy<const N: usize>(&self, at: u32, into: &mut [u8; N]) -> bool {
        let from = usize::try_from(at).ok().and_then(|at| self.bytes().get(at..));
        from.and_then(<[u8]>::first_chunk).is_some_and(|bytes| {
            *into = *bytes;
            true
        })
    }

    fn size(&self) -> u32 {
        u32::try_from(self.length).unwrap_or(u32::MAX)
    }

    fn link(&self) -> u32 {
        self.link
    }

    /// The kernel marks a frame of a VLAN that the node is not in as another host's, and those are not read.
    fn is_tagged(&self) -> bool {
        false
    }

    fn resize(&mut self, size: u32) -> bool {
        let fits = usize::try_from(size).ok().filter(|size| *size <= ROOM);
        self.length = fits.unwrap_or(self.length);
        fits.is_some()
    }

    fn overwrite<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let Some(head) = self.bytes[..self.length].first_chunk_mut() else { return false };
        *head = *bytes;
        true
    }

    fn readdress<const N: usize>(&mut self, start: &[u8; N]) -> bool {
        self.overwrite(start)
    }

    fn socket<const N: usize>(&self, _: &Flow<N>) -> Socket {
        Socket::Unknown
    }
}
