//! A tap: what is written to its file arrives at the link, and what the link sends can be read.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pnet::datalink::{DataLinkReceiver, DataLinkSender, NetworkInterface};

mod request {
    nix::ioctl_write_ptr_bad!(set_interface, nix::libc::TUNSETIFF, nix::libc::ifreq);
}

/// Makes a tap of that name; gives its two ends, of which the link lives as long as both.
pub(super) fn make(name: &str) -> (Sender, Receiver) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
        .expect("the kernel has taps");
    // SAFETY: integers and pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap();
    // SAFETY: the request outlives the call, which reads it.
    unsafe { request::set_interface(file.as_raw_fd(), &raw const request) }.unwrap();
    (Sender(file.try_clone().unwrap()), Receiver(file, [0; 2048]))
}

pub(super) struct Sender(File);

pub(super) struct Receiver(File, [u8; 2048]);

impl DataLinkSender for Sender {
    fn build_and_send(&mut self, _: usize, _: usize, _: &mut dyn FnMut(&mut [u8])) -> Option<io::Result<()>> {
        None
    }

    fn send_to(&mut self, frame: &[u8], _: Option<NetworkInterface>) -> Option<io::Result<()>> {
        Some(self.0.write_all(frame))
    }
}

impl DataLinkReceiver for Receiver {
    fn next(&mut self) -> io::Result<&[u8]> {
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(10_u8))? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        let length = self.0.read(&mut self.1)?;
        Ok(&self.1[..length])
    }
}
