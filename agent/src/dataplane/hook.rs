//! What the kernel says is at a TCX hook: aya asks for more, which takes `CAP_SYS_ADMIN`.

use std::io;

use nix::errno::Errno;
use nix::libc;

/// `BPF_TCX_INGRESS`.
pub(super) const TCX_INGRESS: u32 = 46;
/// `BPF_TCX_EGRESS`.
pub(super) const TCX_EGRESS: u32 = 47;

/// `BPF_PROG_QUERY`.
const QUERY: libc::c_int = 16;

/// The kernel lets no more programs on a hook (`BPF_MPROG_MAX`).
const MOST: u32 = 64;

/// What of `union bpf_attr` is for `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct Query {
    index: u32,
    hook: u32,
    flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    unused: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// The numbers of the links at a hook of an interface, in the order in which their programs run; zero for a program that is
/// there without a link.
pub(super) fn links(index: u32, hook: u32) -> io::Result<Vec<u32>> {
    let (mut programs, mut links) = ([0_u32; MOST as usize], [0_u32; MOST as usize]);
    let mut query = Query {
        index,
        hook,
        programs: programs.as_mut_ptr().expose_provenance() as u64,
        links: links.as_mut_ptr().expose_provenance() as u64,
        count: MOST,
        ..Query::default()
    };
    // SAFETY: the kernel writes into `query`, and as many numbers as `count` says to where it points.
    let done = unsafe { libc::syscall(libc::SYS_bpf, QUERY, &raw mut query, size_of::<Query>()) };
    match Errno::result(done) {
        Ok(_) => Ok(links.into_iter().take(query.count as usize).collect()),
        // Nothing was ever there.
        Err(Errno::ENOENT) => Ok(Vec::new()),
        Err(errno) => Err(errno.into()),
    }
}
