//! The one bounds check.

use core::ptr;

/// The first `N` bytes from what `data` points to, if they all lie before what `end` points to.
///
/// # Safety
///
/// `data` and `end` are the fields of those names of a program's context.
#[inline(always)]
pub(crate) unsafe fn within<const N: usize>(data: *const u32, end: *const u32) -> Option<*mut [u8; N]> {
    // The context has pointers as words of 32 bits, and the verifier turns the loads of them into whole pointers:
    // volatile, so that the compiler neither keeps a word from before a helper moved the frame, nor extends one to 64
    // bits by an instruction of its own, which would make a number of the pointer.
    //
    // SAFETY: the fields are there while the program runs.
    let (data, end) = unsafe { (ptr::read_volatile(data) as usize, ptr::read_volatile(end) as usize) };
    if data + N > end { None } else { Some(ptr::with_exposed_provenance_mut(data)) }
}
