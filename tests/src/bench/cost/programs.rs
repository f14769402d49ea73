//! The programs, run by `BPF_PROG_TEST_RUN`: nothing is attached to anything.

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapError, ProgramArray};
use aya::programs::{Program, ProgramFd, TestRun as _, TestRunOptions};
use mantle_ebpf::layout::{Address, Filter, Right, State, Vip};
use mantle_ebpf::object;
use mantle_ebpf::wire::Mac;

use super::frames::{OWN, VIP4, VIP6};

/// Frames in a round: few enough that most rounds pass without an interruption.
const FRAMES: u32 = 10_000;
/// Of how many rounds the least counts, since whatever else the machine does only adds to it. Few: before each the kernel
/// waits for all processors to have passed by, if it is for XDP (`bpf_dispatcher_change_prog`).
const ROUNDS: u32 = 30;

/// One of the three programs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    Ingress,
    Egress,
    Xdp,
}

impl Hook {
    pub(super) const ALL: [Self; 3] = [Self::Ingress, Self::Egress, Self::Xdp];

    /// Those that see what arrives.
    pub(super) const ARRIVING: [Self; 2] = [Self::Ingress, Self::Xdp];

    fn program(self) -> &'static str {
        match self {
            Self::Ingress => object::INGRESS,
            Self::Egress => object::EGRESS,
            Self::Xdp => object::XDP,
        }
    }

    /// In the other object: the empty program, the one that puts the request back, and where that one goes on.
    fn baseline(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Ingress | Self::Egress => ("empty_tc", "again_tc", "TC_NEXT"),
            Self::Xdp => ("empty_xdp", "again_xdp", "XDP_NEXT"),
        }
    }
}

/// Both objects, loaded.
pub(super) struct Programs {
    mantle: Ebpf,
    baseline: Ebpf,
}

impl Programs {
    /// Loads them.
    pub(super) fn load() -> Self {
        let load = |object: &[u8]| {
            let mut ebpf = Ebpf::load(object).expect("root may load programs");
            for (name, program) in ebpf.programs_mut() {
                let loaded = match program {
                    Program::Xdp(program) => program.load(),
                    Program::SchedClassifier(program) => program.load(),
                    other => panic!("{name} is a {:?}", other.prog_type()),
                };
                loaded.unwrap_or_else(|error| panic!("cannot load {name}: {error}"));
            }
            ebpf
        };
        let baseline = aya::include_bytes_aligned!("../../../../ebpf/prebuilt/baseline.o");
        Self { mantle: load(object::OBJECT), baseline: load(baseline) }
    }

    /// Owns so many VIPs, of which two are asked for.
    pub(super) fn set_vips(&mut self, count: u32) {
        let addresses = (0..count - 2).map(|n| {
            let [_, high, middle, low] = (n + 1000).to_be_bytes();
            Address::v4([10, high, middle, low])
        });
        let addresses: Vec<_> = addresses.chain([Address::v4(VIP4), Address::v6(VIP6)]).collect();
        let mut map: HashMap<_, Address, Vip> = map_of(&mut self.mantle, object::VIPS);
        for (slot, address) in (0..).zip(&addresses) {
            let vip = Vip {
                mark: 1,
                link: 1,
                slot,
                state: State::Owner as u8,
                router: 0,
                own: OWN,
                peer: Mac::ZERO,
                reserved: [0; 2],
                turn: 1,
                announced: 0,
                asks_as: Address::NONE,
            };
            map.insert(address, vip, 0).expect("there is room for so many");
        }
        let filter: Filter = addresses.iter().collect();
        let mut map: Array<_, Filter> = map_of(&mut self.mantle, object::FILTER);
        map.set(0, filter, 0).expect("an array has its first element");
        let mut map: Array<_, Right> = map_of(&mut self.mantle, object::RIGHT);
        map.set(0, Right { mark: 1, until: u64::MAX }, 0).expect("an array has its first element");
    }

    /// What a frame costs that is passed, over an empty program, in nanoseconds.
    pub(super) fn passing(&self, hook: Hook, frame: &[u8]) -> f64 {
        let (empty, ..) = hook.baseline();
        let [mut with, mut without] = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            with = with.min(round(program(&self.mantle, hook.program()), frame));
            without = without.min(round(program(&self.baseline, empty), frame));
        }
        with - without
    }

    /// What a frame costs that is answered, over an empty program, in nanoseconds.
    pub(super) fn answered(&mut self, hook: Hook, frame: &[u8]) -> f64 {
        let (empty, again, next) = hook.baseline();
        let request: [u8; 86] = frame.try_into().expect("a frame as long as what is put back");
        let mut map: Array<_, [u8; 86]> = map_of(&mut self.baseline, "REQUEST");
        map.set(0, request, 0).expect("an array has its first element");
        let ours = fd(program(&self.mantle, hook.program()));
        let empty = fd(program(&self.baseline, empty));
        let [mut with, mut without] = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            for (next_program, best) in [(&ours, &mut with), (&empty, &mut without)] {
                let mut onward: ProgramArray<_> = map_of(&mut self.baseline, next);
                onward.set(0, next_program, 0).expect("an array has its first element");
                *best = best.min(round(program(&self.baseline, again), frame));
            }
        }
        with - without
    }
}

fn map_of<'a, M: TryFrom<&'a mut Map, Error = MapError>>(ebpf: &'a mut Ebpf, name: &str) -> M {
    let map = ebpf.map_mut(name).and_then(|map| map.try_into().ok());
    map.unwrap_or_else(|| panic!("the object has no such map as {name}"))
}

fn program<'a>(ebpf: &'a Ebpf, name: &str) -> &'a Program {
    ebpf.program(name).unwrap_or_else(|| panic!("the object has no program {name}"))
}

fn fd(program: &Program) -> ProgramFd {
    let fd = match program {
        Program::Xdp(program) => program.fd(),
        Program::SchedClassifier(program) => program.fd(),
        other => panic!("a {:?}", other.prog_type()),
    };
    fd.expect("it is loaded").try_clone().expect("there is room for one more descriptor")
}

/// Nanoseconds per run, as the kernel's own clock has it: around the system call there is more than the runs.
fn round(program: &Program, frame: &[u8]) -> f64 {
    let options = TestRunOptions { data_in: Some(frame), repeat: FRAMES, ..Default::default() };
    let result = match program {
        Program::Xdp(program) => program.test_run(options),
        Program::SchedClassifier(program) => program.test_run(options),
        other => panic!("a {:?}", other.prog_type()),
    };
    result.expect("the kernel runs programs on frames").duration.as_secs_f64() * 1e9
}
