//! Fields of a frame, at offsets the compiler checks.

/// The `N` bytes at `AT`; an offset beyond the frame does not compile.
#[inline(always)]
pub(crate) fn get<const AT: usize, const N: usize, const LEN: usize>(frame: &[u8; LEN]) -> [u8; N] {
    const { assert!(AT + N <= LEN, "the field lies within the frame") };
    frame.split_at(AT).1.first_chunk().copied().unwrap_or([0; N])
}

/// The bytes that `write` leaves of a frame of zeros.
#[inline(always)]
pub(crate) fn written<const LEN: usize>(write: impl FnOnce(&mut [u8; LEN])) -> [u8; LEN] {
    let mut frame = [0; LEN];
    write(&mut frame);
    frame
}

/// Writes the `N` bytes at `AT`; an offset beyond the frame does not compile.
#[inline(always)]
pub(crate) fn put<const AT: usize, const N: usize, const LEN: usize>(frame: &mut [u8; LEN], field: [u8; N]) {
    const { assert!(AT + N <= LEN, "the field lies within the frame") };
    if let Some(to) = frame.split_at_mut(AT).1.first_chunk_mut() {
        *to = field;
    }
}
