//! Fields of a frame, at offsets the compiler checks.

/// The `N` bytes at `AT`; an offset beyond the frame does not compile.
#[inline(always)]
pub(crate) fn get<const AT: usize, const N: usize, const LEN: usize>(frame: &[u8; LEN]) -> [u8; N] {
    const { assert!(AT + N <= LEN, "the field lies within the frame") };
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(frame.iter().skip(AT)) {
        *to = *from;
    }
    field
}

/// Writes the `N` bytes at `AT`; an offset beyond the frame does not compile.
#[inline(always)]
pub(crate) fn put<const AT: usize, const N: usize, const LEN: usize>(frame: &mut [u8; LEN], field: [u8; N]) {
    const { assert!(AT + N <= LEN, "the field lies within the frame") };
    for (to, from) in frame.iter_mut().skip(AT).zip(field) {
        *to = from;
    }
}
