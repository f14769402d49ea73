//! What sends the flood: the driver of the link's other end, which is given the same frame again and again by the kernel
//! itself (`BPF_F_TEST_XDP_LIVE_FRAMES`), in buffers as a network card's driver has them.

use aya::Ebpf;
use aya::maps::{Array, Map, MapError, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use nix::net::if_::if_nametoindex;

static BASELINE: &[u8] = aya::include_bytes_aligned!("../../../../ebpf/prebuilt/baseline.o");

/// `XDP_DROP`.
const DROP: u8 = 1;
/// `XDP_TX`.
const SEND: u8 = 3;

/// As long as what the program puts back, which the receiver may have written its answer over.
const LEN: usize = 86;
/// As many frames as a driver is given at once.
const BATCH: u32 = 64;

/// `struct xdp_md`.
#[repr(C)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    link: u32,
    queue: u32,
    egress: u32,
}

/// Sends one frame, as often as it is told.
pub(super) struct Sender {
    ebpf: Ebpf,
    /// What it goes on with; it lives as long as the map that names it.
    _onward: Ebpf,
    request: [u8; LEN],
}

impl Sender {
    pub(super) fn of(frame: &[u8]) -> Self {
        let mut request = [0; LEN];
        request[..frame.len()].copy_from_slice(frame);
        let mut ebpf = Ebpf::load(BASELINE).expect("root may load programs");
        let mut sending = Ebpf::load(&always(SEND)).expect("root may load programs");
        let onward = xdp(&mut sending, "empty_xdp");
        let onward: ProgramFd = onward.fd().expect("it is loaded").try_clone().expect("a descriptor is left");
        let mut map: Array<_, [u8; LEN]> = map_of(&mut ebpf, "REQUEST");
        map.set(0, request, 0).expect("an array has its first element");
        let mut map: ProgramArray<_> = map_of(&mut ebpf, "XDP_NEXT");
        map.set(0, &onward, 0).expect("an array has its first element");
        xdp(&mut ebpf, "again_xdp");
        Self { ebpf, _onward: sending, request }
    }

    /// Sends it so many times out of a link of the calling thread's network namespace, whose other end is polled.
    pub(super) fn send(&mut self, link: &str, times: u32) {
        let index = if_nametoindex(link).unwrap_or_else(|errno| panic!("no link {link}: {errno}"));
        let length = u32::try_from(LEN).expect("86");
        let context = Context { data: 0, data_end: length, data_meta: 0, link: index, queue: 0, egress: 0 };
        // SAFETY: six words without gaps.
        let context: [u8; size_of::<Context>()] = unsafe { std::mem::transmute(context) };
        let options = TestRunOptions {
            data_in: Some(&self.request),
            ctx_in: Some(&context),
            repeat: times,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..Default::default()
        };
        let sent = xdp(&mut self.ebpf, "again_xdp").test_run(options);
        sent.unwrap_or_else(|error| panic!("cannot send by {link}: {error}"));
    }
}

/// Takes every answer off the cable at its end, for as long as what this gives lives: what becomes of it costs the owner
/// nothing.
pub(super) fn take_answers(link: &str) -> Ebpf {
    let mut ebpf = Ebpf::load(&always(DROP)).expect("root may load programs");
    let attached = xdp(&mut ebpf, "empty_xdp").attach(link, XdpMode::Driver);
    attached.unwrap_or_else(|error| panic!("cannot attach an XDP program to {link}: {error}"));
    ebpf
}

/// The baseline's empty program, made to do that to every frame.
fn always(action: u8) -> Vec<u8> {
    // `w0 = XDP_PASS; exit`
    const PASS: [u8; 9] = [0xb4, 0, 0, 0, 2, 0, 0, 0, 0x95];
    let mut object = BASELINE.to_vec();
    let ends: Vec<usize> = (0..object.len()).filter(|at| object[*at..].starts_with(&PASS)).collect();
    assert!(!ends.is_empty(), "the committed object has an empty program");
    for at in ends {
        object[at + 4] = action;
    }
    object
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    let program = ebpf.program_mut(name).and_then(|program| program.try_into().ok());
    let program: &mut Xdp = program.expect("the committed object has it");
    if program.fd().is_err() {
        program.load().unwrap_or_else(|error| panic!("cannot load {name}: {error}"));
    }
    program
}

fn map_of<'a, M: TryFrom<&'a mut Map, Error = MapError>>(ebpf: &'a mut Ebpf, name: &str) -> M {
    let map = ebpf.map_mut(name).and_then(|map| map.try_into().ok());
    map.unwrap_or_else(|| panic!("the object has no such map as {name}"))
}
