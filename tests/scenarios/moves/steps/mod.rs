//! Whatever goes wrong with either node at any step of a handoff. Each step is brought about and held, by keeping from the node that takes
//! the next one what etcd's watch would show it; and that it was that step is asserted when the fault begins, with both agents standing
//! still.

mod case;
mod scene;
mod step;

use case::Case;
use scene::Scene;
use step::Step;

fn whatever_goes_wrong_at(step: Step, name: &str) {
    let mut scene = Scene::set(name);
    for case in Case::all_at(step) {
        scene.play(case);
    }
    scene.end();
}

#[test]
fn whatever_goes_wrong_when_a_vip_is_offered_somebody_serves_it_and_one_in_the_end() {
    whatever_goes_wrong_at(Step::Offered, "steps-offered");
}

#[test]
fn whatever_goes_wrong_when_the_successor_is_prepared_somebody_serves_the_vip_and_one_in_the_end() {
    whatever_goes_wrong_at(Step::Prepared, "steps-prepared");
}

#[test]
fn whatever_goes_wrong_when_a_vip_is_handed_over_somebody_serves_it_and_one_in_the_end() {
    whatever_goes_wrong_at(Step::Handed, "steps-handed");
}

#[test]
fn whatever_goes_wrong_while_a_vip_drains_somebody_serves_it_and_one_in_the_end() {
    whatever_goes_wrong_at(Step::Draining, "steps-draining");
}
