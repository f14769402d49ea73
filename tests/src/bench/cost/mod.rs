//! What the programs cost per frame, over an empty program, at whichever of their hooks costs most.

mod frames;
mod programs;

use mantle_ebpf::layout::MOST_VIPS;

use self::programs::{Hook, Programs};
use super::figures::{COSTS, COSTS_OF_MANY, Figure};
use super::series::Series;

/// A kind of frame, and whether it is answered.
type Kind = (fn() -> Vec<u8>, bool);

const KINDS: [Kind; 7] = [
    (frames::other, false),
    (frames::other_v4, false),
    (frames::other_v6, false),
    (frames::vip_v4, false),
    (frames::vip_v6, false),
    (frames::request, true),
    (frames::solicitation, true),
];

/// With two VIPs in nanoseconds, and with as many as there can be as a multiple of that.
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let mut programs = Programs::load();
    let (mut few, mut many) = ([const { Vec::new() }; KINDS.len()], [const { Vec::new() }; KINDS.len()]);
    for _ in 0..runs {
        programs.set_vips(2);
        let costs_of_few = costs(&mut programs);
        programs.set_vips(MOST_VIPS);
        let costs_of_many = costs(&mut programs);
        for (at, (few_cost, many_cost)) in costs_of_few.into_iter().zip(costs_of_many).enumerate() {
            few[at].push(few_cost);
            many[at].push(many_cost / few_cost);
        }
    }
    let series = |(figure, values): (&'static Figure, Vec<f64>)| Series::new(figure, values);
    COSTS.iter().zip(few).chain(COSTS_OF_MANY.iter().zip(many)).map(series).collect()
}

/// What each kind of frame costs.
fn costs(programs: &mut Programs) -> [f64; KINDS.len()] {
    KINDS.map(|(frame, is_answered)| {
        let frame = frame();
        let at_hooks: Vec<f64> = if is_answered {
            Hook::ARRIVING.into_iter().map(|hook| programs.answered(hook, &frame)).collect()
        } else {
            Hook::ALL.into_iter().map(|hook| programs.passing(hook, &frame)).collect()
        };
        // Below one the clock tells nothing.
        at_hooks.into_iter().fold(1.0, f64::max)
    })
}
