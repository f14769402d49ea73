//! An agent that may do less than everything.

use std::io;

use nix::libc;

use super::super::{Dataplane, Unavailable, bpffs, hook};
use super::ground::{Lab, NAME, in_lab};
use crate::config::Mode;

const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Leaves this thread, which ends with the test, these capabilities and no others in force.
fn keep(capabilities: &[u32]) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: both are as the kernel has them in this version, and outlive the calls.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, &raw mut header, &raw mut data), 0);
        for (word, half) in data.iter_mut().zip([0..32, 32..64]) {
            let kept = capabilities.iter().filter(|number| half.contains(*number));
            word.effective = kept.fold(0, |mask, number| mask | 1 << (number % 32));
        }
        let changed = libc::syscall(libc::SYS_capset, &raw mut header, &raw const data);
        assert_eq!(changed, 0, "{}", io::Error::last_os_error());
    }
}

#[test]
fn an_agent_with_no_more_than_it_needs_attaches_and_takes_over_in_place() {
    for enough in [[BPF, PERFMON, NET_ADMIN].as_slice(), &[SYS_ADMIN, NET_ADMIN]] {
        in_lab(async move |mut lab| {
            // systemd does, on every machine that has it.
            bpffs::mounted().unwrap();
            keep(enough);
            for tcx in [true, false] {
                let start = |lab: &Lab| {
                    let mut dataplane = Dataplane::open(NAME, Mode::Tc).unwrap();
                    dataplane.tcx = tcx;
                    dataplane.attach(&lab.link).unwrap();
                    dataplane
                };
                let links = |lab: &Lab| hook::links(lab.link.index, hook::TCX_INGRESS).unwrap();
                let mut dataplane = start(&lab);
                lab.own(&mut dataplane);
                let attached = links(&lab);
                assert_eq!(attached.len(), usize::from(tcx));
                drop(dataplane);
                let dataplane = start(&lab);
                assert_eq!(links(&lab), attached);
                lab.assert_answered();
                assert_eq!(dataplane.look().unwrap().vips().unwrap().len(), 2);
                dataplane.close().unwrap();
            }
        });
    }
}

#[test]
fn a_capability_that_lacks_is_named() {
    for (kept, named) in [
        ([PERFMON, NET_ADMIN, NET_RAW].as_slice(), "give the agent CAP_BPF, which"),
        (&[BPF, NET_ADMIN, NET_RAW], "give the agent CAP_PERFMON, which"),
        (&[BPF, PERFMON, NET_RAW], "give the agent CAP_NET_ADMIN, which"),
        (&[NET_RAW], "give the agent CAP_BPF and CAP_PERFMON and CAP_NET_ADMIN, which"),
    ] {
        in_lab(async move |_| {
            keep(kept);
            let Err(error) = Dataplane::open(NAME, Mode::Tc) else { panic!("opened with {kept:?}") };
            assert!(matches!(error, Unavailable::Denied { .. }), "{error:?}");
            assert!(error.to_string().contains(named), "{error}");
        });
    }
}

#[test]
fn a_bpffs_that_cannot_be_mounted_is_told_with_what_to_do() {
    in_lab(async |_| {
        keep(&[BPF, PERFMON, NET_ADMIN]);
        let Err(error) = Dataplane::open(NAME, Mode::Tc) else { panic!("mounted without CAP_SYS_ADMIN") };
        assert!(matches!(error, Unavailable::Bpffs(_)), "{error:?}");
        assert!(error.to_string().contains("`mount -t bpf bpf /sys/fs/bpf`"), "{error}");
        // And what goes on without the program has nothing to discard.
        Dataplane::discard(NAME).unwrap();
    });
}
