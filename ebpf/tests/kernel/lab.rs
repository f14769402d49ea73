//! The committed programs, loaded but attached to nothing, and run by `BPF_PROG_TEST_RUN` on frames of ours.

use aya::maps::{Array, HashMap, PerCpuArray, RingBuf};
use aya::programs::{Program, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use mantle_ebpf::layout::{Address, Counters, Event, Filter, Limits, Right, State, Vip};
use mantle_ebpf::object;
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

/// E of this node's session.
pub(crate) const MARK: u64 = 4711;
/// The interface `BPF_PROG_TEST_RUN` says the frame is on: the namespace's loopback.
pub(crate) const LINK: u32 = 1;

/// This node.
pub(crate) const OWN: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
/// The other node of a handoff.
pub(crate) const PEER: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
/// Somebody else.
pub(crate) const ASKER: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Ingress,
    Egress,
    Xdp,
    Generic,
}

impl Hook {
    /// Those that see what arrives.
    pub(crate) const ARRIVING: [Self; 3] = [Self::Ingress, Self::Xdp, Self::Generic];
    pub(crate) const ALL: [Self; 4] = [Self::Ingress, Self::Egress, Self::Xdp, Self::Generic];

    /// Whether what arrives is sent on to another node from there.
    pub(crate) fn relays(self) -> bool {
        matches!(self, Self::Ingress | Self::Generic)
    }

    fn is_xdp(self) -> bool {
        matches!(self, Self::Xdp | Self::Generic)
    }

    /// Whether `BPF_PROG_TEST_RUN` takes the frame: it makes no socket buffer of one that ends within its IP header.
    pub(crate) fn takes(self, frame: &[u8]) -> bool {
        let least = match frame.get(12..14) {
            Some([0x08, 0x00]) => 34,
            Some([0x86, 0xdd]) => 54,
            _ => 15,
        };
        self.is_xdp() || frame.len() >= least
    }

    fn program(self) -> &'static str {
        match self {
            Self::Ingress => object::INGRESS,
            Self::Egress => object::EGRESS,
            Self::Xdp => object::XDP,
            Self::Generic => object::XDP_GENERIC,
        }
    }

    /// What the action means. A frame that is sent on has the same packet as before, one that answers another.
    fn verdict(self, action: u32, frame: &[u8], sent: &[u8]) -> Verdict {
        let is_same = || frame.get(26..) == sent.get(26..);
        match (self.is_xdp(), action.cast_signed()) {
            (true, 2) | (false, -1) => Verdict::Pass,
            (true, 1) | (false, 2) => Verdict::Drop,
            (true, 3) | (false, 7) if self != Self::Egress => {
                if is_same() {
                    Verdict::Relay
                } else {
                    Verdict::Reply
                }
            }
            (_, other) => panic!("{self:?} gave the action {other}"),
        }
    }
}

/// The loaded programs and their maps.
pub(crate) struct Lab {
    ebpf: Ebpf,
}

impl Lab {
    /// Loads the programs. `None` only if the one who runs the tests said that there is no privilege for it: a test
    /// that skips itself looks like one that passes.
    #[expect(clippy::print_stdout, reason = "what a test says")]
    pub(crate) fn new() -> Option<Self> {
        if std::env::var_os("MANTLE_UNPRIVILEGED").is_some_and(|value| value == "1") {
            println!("not run: MANTLE_UNPRIVILEGED=1");
            return None;
        }
        Some(Self { ebpf: load() })
    }

    /// Sets this node's VIPs, and the filter to them.
    pub(crate) fn set_vips<'a>(&mut self, vips: impl IntoIterator<Item = &'a (Address, Vip)>) {
        let mut filter = Filter::EMPTY;
        let mut map: HashMap<_, Address, Vip> = self.map(object::VIPS).try_into().unwrap();
        for old in map.keys().collect::<Result<Vec<_>, _>>().unwrap() {
            map.remove(&old).unwrap();
        }
        for (address, vip) in vips {
            map.insert(address, vip, 0).unwrap();
            filter.insert(address);
        }
        let mut map: Array<_, Filter> = self.map(object::FILTER).try_into().unwrap();
        map.set(0, filter, 0).unwrap();
    }

    /// Sets the right of this node's session.
    pub(crate) fn set_right(&mut self, right: Right) {
        let mut map: Array<_, Right> = self.map(object::RIGHT).try_into().unwrap();
        map.set(0, right, 0).unwrap();
    }

    /// Forgets what was told a moment ago.
    pub(crate) fn forget_limits(&mut self, slot: u32) {
        let mut map: Array<_, Limits> = self.map(object::LIMITS).try_into().unwrap();
        map.set(slot, Limits::default(), 0).unwrap();
    }

    /// What a program makes of a frame.
    pub(crate) fn run(&self, hook: Hook, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut out = vec![0; frame.len() + 64];
        let program = self.ebpf.program(hook.program()).unwrap();
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..Default::default() };
        let result = match hook {
            Hook::Ingress | Hook::Egress => <&SchedClassifier>::try_from(program).unwrap().test_run(options),
            Hook::Xdp | Hook::Generic => <&Xdp>::try_from(program).unwrap().test_run(options),
        }
        .unwrap();
        out.truncate(result.data_size_out.try_into().unwrap());
        (hook.verdict(result.return_value, frame, &out), out)
    }

    /// The counters of a slot, over all CPUs.
    pub(crate) fn counters(&mut self, slot: u32) -> Counters {
        let map: PerCpuArray<_, Counters> = self.map(object::COUNTERS).try_into().unwrap();
        let mut sum = Counters::default();
        for cpu in map.get(&slot, 0).unwrap().iter() {
            for (sum, count) in sum.0.iter_mut().zip(cpu.0) {
                *sum += count;
            }
        }
        sum
    }

    /// The events that came since the last call.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        let mut map = RingBuf::try_from(self.map(object::EVENTS)).unwrap();
        let mut events = Vec::new();
        while let Some(entry) = map.next() {
            events.push(Event::read(&entry).unwrap());
        }
        events
    }

    fn map(&mut self, name: &str) -> &mut aya::maps::Map {
        self.ebpf.map_mut(name).unwrap()
    }
}

/// Loads the object and its programs.
fn load() -> Ebpf {
    let needs = "these tests need root (CAP_BPF, CAP_NET_ADMIN); MANTLE_UNPRIVILEGED=1 leaves them out";
    let mut ebpf =
        EbpfLoader::new().load(object::OBJECT).unwrap_or_else(|error| panic!("{needs}: {error:?}"));
    for hook in Hook::ALL {
        let loaded = match ebpf.program_mut(hook.program()).unwrap() {
            Program::Xdp(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            other => panic!("{hook:?} is a {:?}", other.prog_type()),
        };
        loaded.unwrap_or_else(|error| panic!("{hook:?}: {needs}: {error}"));
    }
    ebpf
}

/// A VIP of this node's session on the frames' link; there is another node in it unless this one is owner.
pub(crate) fn vip(state: State, slot: u32) -> Vip {
    Vip {
        mark: MARK,
        link: LINK,
        slot,
        state: state as u8,
        router: 0,
        own: OWN,
        peer: if state == State::Owner { Mac::ZERO } else { PEER },
        reserved: [0; 2],
        turn: slot + 1,
        announced: 0,
        asks_as: Address::NONE,
    }
}

/// The right that lasts.
pub(crate) const LASTING: Right = Right { mark: MARK, until: u64::MAX };
/// The right that is over.
pub(crate) const OVER: Right = Right { mark: MARK, until: 1 };
