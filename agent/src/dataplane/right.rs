//! The right, where the kernel program reads it.

use std::fmt;
use std::io;
use std::mem::offset_of;
use std::num::NonZero;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mantle_ebpf::layout;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use mantle_protocol::Instant;

/// A handle on the right of the node's session, as the kernel program sees it.
///
/// Moving it is a store to memory: no system call that could wait for anything. One thread grants; any may revoke or
/// read.
#[derive(Clone)]
pub struct RightCell(Arc<Page>);

/// The right that the kernel program goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// E of the session whose entries are alive.
    pub session: i64,
    /// Until when.
    pub until: Instant,
}

impl RightCell {
    /// Maps the one slot of `RIGHT`.
    pub(super) fn map(right: impl AsFd) -> io::Result<Self> {
        Ok(Self(Arc::new(Page::map(right)?)))
    }

    /// A right that only this process goes by, where there is no kernel program.
    pub(super) fn alone() -> io::Result<Self> {
        Ok(Self(Arc::new(Page::alone()?)))
    }

    /// Lets the entries of a session be acted on until then.
    ///
    /// For the same session one store; with another the old right ends first, so that at no moment a session has the
    /// other's.
    pub fn grant(&self, session: i64, until: Instant) {
        let (mark, end) = (self.0.mark(), self.0.until());
        if mark.load(Ordering::Relaxed) != session.cast_unsigned() {
            end.store(0, Ordering::SeqCst);
            mark.store(session.cast_unsigned(), Ordering::SeqCst);
        }
        end.store(nanoseconds(until), Ordering::SeqCst);
    }

    /// Ends the right: from now on the program drops what it would have answered.
    pub fn revoke(&self) {
        self.0.until().store(0, Ordering::SeqCst);
    }

    /// The right as it stands, a predecessor's at first.
    pub fn read(&self) -> Right {
        let mark = self.0.mark().load(Ordering::SeqCst);
        layout::Right { mark, until: self.0.until().load(Ordering::SeqCst) }.into()
    }
}

impl From<layout::Right> for Right {
    fn from(layout::Right { mark, until }: layout::Right) -> Self {
        Self { session: mark.cast_signed(), until: Instant::from_boot(Duration::from_nanos(until)) }
    }
}

impl fmt::Debug for RightCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

/// An instant as `bpf_ktime_get_boot_ns` counts.
pub(super) fn nanoseconds(instant: Instant) -> u64 {
    u64::try_from(instant.since_boot().as_nanos()).unwrap_or(u64::MAX)
}

/// The memory that the map's slot is in.
struct Page(NonNull<u8>);

/// As much as is mapped: the kernel makes whole pages of it.
const LENGTH: NonZero<usize> = NonZero::new(size_of::<layout::Right>()).expect("a right is not empty");

// SAFETY: the memory stays mapped until the drop, and is touched through atomics alone.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    fn map(right: impl AsFd) -> io::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let page = unsafe { mmap(None, LENGTH, protection, MapFlags::MAP_SHARED, right, 0) }?;
        Ok(Self(page.cast()))
    }

    fn alone() -> io::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: as above; the kernel fills it with zeros.
        let page = unsafe { mmap_anonymous(None, LENGTH, protection, MapFlags::MAP_PRIVATE) }?;
        Ok(Self(page.cast()))
    }

    fn mark(&self) -> &AtomicU64 {
        self.word(offset_of!(layout::Right, mark))
    }

    fn until(&self) -> &AtomicU64 {
        self.word(offset_of!(layout::Right, until))
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: a word of the mapped slot, at a multiple of eight from a page's beginning. It lives as long as `self`.
        unsafe { self.0.add(offset).cast().as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped when this was made, and with the last handle no reference into it is left.
        let unmapped = unsafe { munmap(self.0.cast(), LENGTH.get()) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    /// A file in the map's place: what is stored is what is read there.
    fn cell() -> (RightCell, impl FnMut() -> [u64; 2]) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LENGTH.get() as u64).unwrap();
        let cell = RightCell::map(file.as_file()).unwrap();
        let read = move || {
            let mut bytes = [0; LENGTH.get()];
            File::open(file.path()).unwrap().read_exact(&mut bytes).unwrap();
            let (words, _) = bytes.as_chunks();
            [0, 1].map(|word| u64::from_ne_bytes(words[word]))
        };
        (cell, read)
    }

    #[test]
    fn it_is_stored_as_the_program_reads_it() {
        let (cell, mut stored) = cell();
        let until = Instant::from_boot(Duration::from_millis(1500));
        cell.grant(7, until);
        assert_eq!(stored(), [7, 1_500_000_000]);
        assert_eq!(cell.read(), Right { session: 7, until });
        cell.clone().revoke();
        assert_eq!(stored(), [7, 0]);
        cell.grant(9, Instant::from_boot(Duration::MAX));
        assert_eq!(stored(), [9, u64::MAX]);
    }
}
