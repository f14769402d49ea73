//! What the programs cost per frame, over an empty program: `cargo bench -p mantle-ebpf`, as root.
//!
//! By `BPF_PROG_TEST_RUN`: nothing is attached to anything. Each figure is the least of many rounds, since whatever
//! else the machine does only adds to it.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, HashMap, ProgramArray};
use aya::programs::{Program, ProgramFd, TestRun as _, TestRunOptions};
use mantle_ebpf::layout::{Address, Filter, MOST_VIPS, Right, State, Vip};
use mantle_ebpf::object;
use mantle_ebpf::wire::{Arp, Mac, Operation};

/// Frames in a round: few enough that most rounds pass without an interruption.
const FRAMES: u32 = 10_000;
const ROUNDS: u32 = 300;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const ASKER: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const VIP4: [u8; 4] = [10, 0, 0, 15];
const VIP6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16];

/// Asked for `VIP6` as Linux asks.
const SOLICITATION: [u8; 86] = *b"\x33\x33\xff\x00\x00\x16\x02\x00\x00\x00\x00\x0a\x86\xdd\
    \x60\x00\x00\x00\x00\x20\x3a\xff\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
    \xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\x00\x00\x16\x87\x00\x7d\x66\x00\x00\x00\x00\
    \xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x16\x01\x01\x02\x00\x00\x00\x00\x0a";

fn main() -> Result<()> {
    // `cargo test --benches` runs this too; figures from there would be worth nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let mut bench = Bench::new()?;
    for vips in [2, MOST_VIPS] {
        bench.set_vips(vips)?;
        println!("{vips} VIPs: ns over an empty program");
        for (what, limit, frame) in passing() {
            for hook in Hook::ALL {
                let cost = bench.passing(hook, &frame)?;
                print_row(what, hook, cost, limit);
            }
        }
        for (what, limit, frame) in answered() {
            for hook in [Hook::Ingress, Hook::Xdp] {
                let cost = bench.answered(hook, &frame)?;
                print_row(what, hook, cost, limit);
            }
        }
    }
    Ok(())
}

fn print_row(what: &str, hook: Hook, cost: f64, limit: f64) {
    println!("  {what:<30} {:<8} {cost:>5.0}   (at most {limit})", format!("{hook:?}"));
}

/// What is passed, and its limit.
fn passing() -> Vec<(&'static str, f64, Vec<u8>)> {
    let other = |from: [u8; 4], to: [u8; 4]| ipv4(from, to);
    vec![
        ("neither IP nor ARP", 5.0, ethernet([0x88, 0xcc], &[0; 80])),
        ("IPv4 of another address", 12.0, other([10, 0, 0, 9], [10, 0, 200, 7])),
        ("IPv6 of another address", 12.0, ipv6(9, 7)),
        ("IPv4 to or from the VIP", 90.0, other(VIP4, VIP4)),
        ("IPv6 to or from the VIP", 90.0, ipv6(0x16, 0x16)),
    ]
}

/// What is answered, and its limit.
fn answered() -> Vec<(&'static str, f64, Vec<u8>)> {
    let request = Arp {
        destination: Mac::BROADCAST,
        source: ASKER,
        operation: Operation::Request,
        sender_mac: ASKER,
        sender_ip: [10, 0, 0, 9].into(),
        target_mac: Mac::ZERO,
        target_ip: VIP4.into(),
    };
    // As long as what is put back.
    let mut padded = request.frame().to_vec();
    padded.resize(SOLICITATION.len(), 0);
    vec![("ARP request answered", 130.0, padded), ("solicitation answered", 350.0, SOLICITATION.to_vec())]
}

fn ethernet(ethertype: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&OWN.0[..], &ASKER.0, &ethertype, payload].concat()
}

fn ipv4(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let header = [0x45, 0, 0, 100, 0, 0, 0, 0, 64, 17, 0, 0];
    ethernet([8, 0], &[&header[..], &from, &to, &[0; 80]].concat())
}

fn ipv6(from: u8, to: u8) -> Vec<u8> {
    let address = |last: u8| [&VIP6[..15], &[last]].concat();
    let header = [0x60, 0, 0, 0, 0, 80, 17, 64];
    ethernet([0x86, 0xdd], &[&header[..], &address(from), &address(to), &[0; 80]].concat())
}

#[derive(Clone, Copy, Debug)]
enum Hook {
    Ingress,
    Egress,
    Xdp,
}

impl Hook {
    const ALL: [Self; 3] = [Self::Ingress, Self::Egress, Self::Xdp];

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

struct Bench {
    mantle: Ebpf,
    baseline: Ebpf,
}

impl Bench {
    fn new() -> Result<Self> {
        let load = |object: &[u8]| {
            let mut ebpf = Ebpf::load(object).context("loading needs root")?;
            for (name, program) in ebpf.programs_mut() {
                match program {
                    Program::Xdp(program) => program.load(),
                    Program::SchedClassifier(program) => program.load(),
                    other => bail!("{name} is a {:?}", other.prog_type()),
                }
                .with_context(|| format!("loading {name} needs root"))?;
            }
            Ok(ebpf)
        };
        Ok(Self {
            mantle: load(object::OBJECT)?,
            baseline: load(aya::include_bytes_aligned!("../prebuilt/baseline.o"))?,
        })
    }

    /// Owns so many VIPs, of which two are asked for.
    fn set_vips(&mut self, count: u32) -> Result<()> {
        let addresses = (0..count - 2).map(|n| {
            let [_, high, middle, low] = (n + 1000).to_be_bytes();
            Address::v4([10, high, middle, low])
        });
        let addresses: Vec<_> = addresses.chain([Address::v4(VIP4), Address::v6(VIP6)]).collect();
        let mut map: HashMap<_, Address, Vip> = map_of(&mut self.mantle, object::VIPS)?.try_into()?;
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
            };
            map.insert(address, vip, 0)?;
        }
        let filter: Filter = addresses.iter().collect();
        let mut map: Array<_, Filter> = map_of(&mut self.mantle, object::FILTER)?.try_into()?;
        map.set(0, filter, 0)?;
        let mut map: Array<_, Right> = map_of(&mut self.mantle, object::RIGHT)?.try_into()?;
        map.set(0, Right { mark: 1, until: u64::MAX }, 0)?;
        Ok(())
    }

    fn passing(&self, hook: Hook, frame: &[u8]) -> Result<f64> {
        let (empty, ..) = hook.baseline();
        let [mut with, mut without] = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            with = with.min(round(program(&self.mantle, hook.program())?, frame)?);
            without = without.min(round(program(&self.baseline, empty)?, frame)?);
        }
        Ok(with - without)
    }

    fn answered(&mut self, hook: Hook, frame: &[u8]) -> Result<f64> {
        let (empty, again, next) = hook.baseline();
        let request: [u8; 86] = frame.try_into()?;
        let mut map: Array<_, [u8; 86]> = map_of(&mut self.baseline, "REQUEST")?.try_into()?;
        map.set(0, request, 0)?;
        let ours = fd(program(&self.mantle, hook.program())?)?;
        let empty = fd(program(&self.baseline, empty)?)?;
        let [mut with, mut without] = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            for (next_program, best) in [(&ours, &mut with), (&empty, &mut without)] {
                ProgramArray::try_from(map_of(&mut self.baseline, next)?)?.set(0, next_program, 0)?;
                *best = best.min(round(program(&self.baseline, again)?, frame)?);
            }
        }
        Ok(with - without)
    }
}

fn map_of<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map> {
    ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
}

fn program<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Program> {
    ebpf.program(name).with_context(|| format!("the object has no program {name}"))
}

fn fd(program: &Program) -> Result<ProgramFd> {
    Ok(match program {
        Program::Xdp(program) => program.fd()?.try_clone()?,
        Program::SchedClassifier(program) => program.fd()?.try_clone()?,
        other => bail!("a {:?}", other.prog_type()),
    })
}

/// Nanoseconds per run, as the kernel's own clock has it: around the system call there is more than the runs.
fn round(program: &Program, frame: &[u8]) -> Result<f64> {
    let options = TestRunOptions { data_in: Some(frame), repeat: FRAMES, ..Default::default() };
    let result = match program {
        Program::Xdp(program) => program.test_run(options)?,
        Program::SchedClassifier(program) => program.test_run(options)?,
        other => bail!("a {:?}", other.prog_type()),
    };
    Ok(result.duration.as_secs_f64() * 1e9)
}
