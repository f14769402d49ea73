//! Kernel programs of others, which let everything pass.

use aya::Ebpf;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode};

static PASSES: &[u8] = aya::include_bytes_aligned!("../../ebpf/prebuilt/baseline.o");

/// Attaches one to a link of the calling thread's namespace at XDP in the driver, for as long as what this gives lives.
pub(crate) fn pass_by_xdp(link: &str) -> Ebpf {
    let mut ebpf = load();
    let program = ebpf.program_mut("empty_xdp").and_then(|program| program.try_into().ok());
    let program: &mut Xdp = program.expect("the committed object has it");
    let attached = program.load().and_then(|()| program.attach(link, XdpMode::Driver));
    attached.unwrap_or_else(|error| panic!("cannot attach an XDP program to {link}: {error}"));
    ebpf
}

/// Attaches one to a link of the calling thread's namespace at TC ingress, before all that are there, for as long as what
/// this gives lives.
pub(crate) fn pass_first_by_tc(link: &str) -> Ebpf {
    let mut ebpf = load();
    let program = ebpf.program_mut("empty_tc").and_then(|program| program.try_into().ok());
    let program: &mut SchedClassifier = program.expect("the committed object has it");
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let attached =
        program.load().and_then(|()| program.attach_with_options(link, TcAttachType::Ingress, first));
    attached.unwrap_or_else(|error| panic!("cannot attach a program to TC on {link}: {error}"));
    ebpf
}

fn load() -> Ebpf {
    Ebpf::load(PASSES).unwrap_or_else(|error| panic!("cannot load a program: {error}"))
}
