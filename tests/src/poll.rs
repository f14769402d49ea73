//! How a link's frames are taken in: on whatever processor brings them, or by a kernel thread of the link's own.

use std::fs;
use std::mem;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// What ethtool can set of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offload {
    /// A veth without a program at XDP is polled only for this (`veth_xmit`)...
    Gro = 0x2c,
    /// ... and only if its other end leaves it to others to cut up what is too long.
    Tso = 0x1f,
}

/// Sets an offload of a link of the calling thread's network namespace.
pub(crate) fn set_offload(link: &str, offload: Offload, on: bool) {
    let mut value = [offload as u32, u32::from(on)];
    // SAFETY: all zero is an interface request.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(link.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.unwrap_or_else(|errno| panic!("cannot make a socket: {errno}"));
    // SAFETY: the kernel reads the request and the two words that it points to.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    Errno::result(done).unwrap_or_else(|errno| panic!("cannot set {offload:?} of {link}: {errno}"));
}

/// Has a link of the calling thread's sysfs polled by a kernel thread of its own, if it is polled.
pub(crate) fn poll_by_thread(link: &str) {
    let path = format!("/sys/class/net/{link}/threaded");
    fs::write(&path, "1").unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
}
