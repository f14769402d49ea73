//! Answers probes in a host: from the address they were sent to, with the node's name.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::packet::{LONGEST, PORT, answer};
use super::socket::UdpSocket;
use crate::host::Host;

/// A thread in a host that answers every probe sent to any of the host's addresses, until this is dropped.
#[derive(Debug)]
pub(crate) struct Responder {
    /// Its other end is the thread's; closing it ends the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    pub(crate) fn start(host: &Host) -> Self {
        let sockets = host.run(bind);
        let (stopped, stop) = io::pipe().unwrap_or_else(|error| panic!("cannot make a pipe: {error}"));
        let node = host.name().to_owned();
        let thread = host.on_thread(move || serve(sockets, &stopped, &node));
        Self { stop: Some(stop.into()), thread: Some(thread) }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; the probes that went unanswered tell the rest.
            let _ = thread.join();
        }
    }
}

/// Answers every probe that is sent to any address of the calling thread's network, for good.
pub(crate) fn answer_here(node: &str) {
    let (sockets, node) = (bind(), node.to_owned());
    thread::spawn(move || {
        let (stopped, _stop) = io::pipe().unwrap_or_else(|error| panic!("cannot make a pipe: {error}"));
        serve(sockets, &stopped, &node);
    });
}

fn bind() -> [UdpSocket; 2] {
    [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(|any| {
        UdpSocket::bind(any, PORT)
            .unwrap_or_else(|errno| panic!("cannot answer probes on [{any}]:{PORT}: {errno}"))
    })
}

fn serve(mut sockets: [UdpSocket; 2], stopped: &impl AsFd, node: &str) {
    let mut buffer = [0; LONGEST];
    loop {
        let [v4, v6] = &sockets;
        let mut waiting = [
            PollFd::new(stopped.as_fd(), PollFlags::empty()),
            PollFd::new(v4.as_fd(), PollFlags::POLLIN),
            PollFd::new(v6.as_fd(), PollFlags::POLLIN),
        ];
        // An interrupted wait is one that found nothing.
        let _ = poll(&mut waiting, PollTimeout::NONE);
        if waiting[0].any().unwrap_or(true) {
            return;
        }
        for socket in &mut sockets {
            while let Ok(Some(probe)) = socket.receive(&mut buffer) {
                if let Some(answer) = answer(&buffer[..probe.length], node) {
                    // The VIP may just have gone, and the kernel then refuses to send from it: rightly unanswered.
                    let _ = socket.send_from(&answer, probe.to, probe.from);
                }
            }
        }
    }
}
