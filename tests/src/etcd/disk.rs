//! Disks that can be made slow: whatever a member wants to know to be written takes so much longer.
//!
//! A seccomp filter hands each `fdatasync` and `fsync` of the member to a thread of the lab (`seccomp_unotify(2)`), which lets
//! it go on when the delay is over. etcd makes its system calls without libc, so a preloaded library would not do.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mantle_protocol::Instant;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::now;

nix::ioctl_readwrite!(receive_notice, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(answer_notice, b'!', 1, libc::seccomp_notif_resp);

/// How much slower the disks of a cluster are.
#[derive(Clone, Debug, Default)]
pub(super) struct Disks {
    micros: Arc<AtomicU64>,
}

/// Where the member's notices will come from, once it runs.
pub(super) struct Gate {
    disks: Disks,
    notices: UnixDatagram,
    /// Open until the member has it.
    _member: UnixDatagram,
}

impl Disks {
    /// From now on.
    pub(super) fn delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).expect("no disk is that slow");
        self.micros.store(micros, Ordering::Relaxed);
    }

    /// Puts the process of a command, not started yet, on these disks.
    pub(super) fn under(&self, command: &mut Command) -> Gate {
        let (notices, member) =
            UnixDatagram::pair().unwrap_or_else(|error| panic!("cannot make a socket pair: {error}"));
        let socket = member.as_raw_fd();
        // SAFETY: between fork and exec only two system calls run, which allocate nothing and take no lock.
        unsafe {
            command.pre_exec(move || hand_over(install()?, socket));
        }
        Gate { disks: self.clone(), notices, _member: member }
    }

    fn due(&self) -> Instant {
        now() + Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}

impl Gate {
    /// Attends to the process, which has been started, until it ends.
    pub(super) fn attend(self) {
        let listener = receive(&self.notices)
            .unwrap_or_else(|error| panic!("cannot get the notices of a member's disk: {error}"));
        let disks = self.disks;
        let attendant = thread::Builder::new().name("disk".to_owned());
        let started = attendant.spawn(move || attend(&listener, &disks));
        started.unwrap_or_else(|error| panic!("cannot start a thread for a disk: {error}"));
    }
}

/// Has the kernel give notice of what the calling process wants written; where the notices can be read.
fn install() -> io::Result<RawFd> {
    let (load, jump, end) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET,
    );
    let step = |code: u32, k: u32, jt: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf: 0,
        k,
    };
    let call = |number: i64| u32::try_from(number).unwrap_or_default();
    let mut steps = [
        // The number of the system call is the first field of seccomp_data.
        step(load, 0, 0),
        step(jump, call(libc::SYS_fdatasync), 2),
        step(jump, call(libc::SYS_fsync), 1),
        step(end, libc::SECCOMP_RET_ALLOW, 0),
        step(end, libc::SECCOMP_RET_USER_NOTIF, 0),
    ];
    let program = libc::sock_fprog { len: 5, filter: steps.as_mut_ptr() };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: the kernel copies the program, which outlives the call.
    let listener = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    if listener < 0 { Err(io::Error::last_os_error()) } else { Ok(RawFd::try_from(listener).unwrap_or(-1)) }
}

/// A message's room for one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 24]);

/// Calls `act` with a message of one byte that has room for one descriptor.
fn with_message<T>(control: &mut Control, act: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = 0_u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: a message of zeros is one without parts, address or control.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    act(&mut message)
}

/// Sends a descriptor to the lab: its own copy goes with the exec.
fn hand_over(listener: RawFd, socket: RawFd) -> io::Result<()> {
    let mut control = Control([0; 24]);
    let sent = with_message(&mut control, |message| {
        // SAFETY: the control has room for one header and one descriptor, CMSG_SPACE(4) = 24.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = 20;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(listener);
            libc::sendmsg(socket, message, 0)
        }
    });
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn receive(socket: &UnixDatagram) -> io::Result<OwnedFd> {
    let mut control = Control([0; 24]);
    with_message(&mut control, |message| {
        // SAFETY: the kernel writes no more than there is room for, and a header is there if it gave one.
        unsafe {
            if libc::recvmsg(socket.as_raw_fd(), message, libc::MSG_CMSG_CLOEXEC) < 0 {
                return Err(io::Error::last_os_error());
            }
            let header = libc::CMSG_FIRSTHDR(message);
            if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
                return Err(io::Error::other("no descriptor came"));
            }
            let listener = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
            Ok(OwnedFd::from_raw_fd(listener))
        }
    })
}

/// Lets each write go on when its time has come, until nobody is left who could write.
fn attend(listener: &OwnedFd, disks: &Disks) {
    let mut waiting: BTreeSet<(Instant, u64)> = BTreeSet::new();
    loop {
        let next = waiting.first().map(|(due, _)| due.since(now()));
        // A poll counts whole milliseconds; a microsecond too many is none too few.
        let limit = next.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
        });
        let mut looked = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is one that found nothing.
        let _ = poll(&mut looked, limit);
        let seen = looked[0].revents().unwrap_or(PollFlags::empty());
        if seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return;
        }
        if seen.contains(PollFlags::POLLIN) {
            // SAFETY: the kernel wants zeros, and fills in what the type has room for.
            let notice = unsafe {
                let mut notice: libc::seccomp_notif = std::mem::zeroed();
                receive_notice(listener.as_raw_fd(), &raw mut notice).map(|_| notice)
            };
            // None if its asker was killed or stopped meanwhile.
            if let Ok(notice) = notice {
                waiting.insert((disks.due(), notice.id));
            }
        }
        let later = waiting.split_off(&(now() + Duration::from_nanos(1), 0));
        for (_, id) in std::mem::replace(&mut waiting, later) {
            let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).expect("it is 1");
            let mut answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
            // SAFETY: a sound answer; one that comes too late for its asker is refused.
            let _ = unsafe { answer_notice(listener.as_raw_fd(), &raw mut answer) };
        }
    }
}
