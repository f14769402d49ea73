use super::*;
use crate::link::Fitness;

const START: Instant = Instant::from_boot(Duration::from_secs(100));

fn machine(text: &str) -> Vec<Candidate> {
    let candidate = |ip: &str| Candidate {
        ip: ip.parse().unwrap(),
        prefix: 24,
        link: "eth0".to_owned(),
        up: true,
        fitness: Fitness::Good,
        ours: false,
    };
    text.split_whitespace().map(candidate).collect()
}

fn keeper(earlier: &[&str], patience: Patience) -> Keeper {
    let earlier: Vec<IpAddr> = earlier.iter().map(|ip| ip.parse().unwrap()).collect();
    let earlier = BTreeMap::from([(Purpose::EtcdAdvertised, earlier.clone()), (Purpose::Kubelet, earlier)]);
    Keeper::new(&Wishes::default(), &earlier, patience, START)
}

/// What stands for etcd so many seconds after the start: addresses, whether stale, whether just changed.
fn at(keeper: &mut Keeper, seconds: u64, there: &str) -> (String, bool, bool) {
    let all = keeper.look(START + Duration::from_secs(seconds), &machine(there), &BTreeSet::new());
    let kept = &all[0];
    assert_eq!(kept.purpose, Purpose::EtcdAdvertised);
    let addresses: Vec<_> = kept.choice.addresses.iter().map(ToString::to_string).collect();
    (addresses.join(" "), kept.choice.stale, kept.changed_from.is_some())
}

fn due(keeper: &Keeper) -> Option<u64> {
    keeper.deadline().map(|at| at.since(START).as_secs())
}

#[test]
fn a_first_choice_waits_until_no_better_address_comes() {
    let mut keeper = keeper(&[], Patience::AGENT);
    assert_eq!(at(&mut keeper, 0, ""), (String::new(), false, false));
    assert_eq!(due(&keeper), None);
    assert_eq!(at(&mut keeper, 5, "10.0.0.9"), (String::new(), false, false));
    assert_eq!(due(&keeper), Some(8));
    assert_eq!(at(&mut keeper, 6, "10.0.0.9 10.0.0.5"), (String::new(), false, false));
    assert_eq!(due(&keeper), Some(9));
    assert_eq!(at(&mut keeper, 8, "10.0.0.9 10.0.0.5 10.0.0.7"), (String::new(), false, false));
    assert_eq!(due(&keeper), Some(9), "what would not be chosen is not waited for");
    assert_eq!(at(&mut keeper, 9, "10.0.0.9 10.0.0.5"), ("10.0.0.5".into(), false, true));
    assert_eq!(due(&keeper), None);
    assert_eq!(at(&mut keeper, 10, "10.0.0.1 10.0.0.9 10.0.0.5"), ("10.0.0.5".into(), false, false));
}

#[test]
fn a_first_choice_is_made_on_a_restless_machine_too() {
    let mut keeper = keeper(&[], Patience::AGENT);
    for second in 0..30 {
        let there = format!("10.0.0.{}", 200 - second);
        assert_eq!(at(&mut keeper, second, &there), (String::new(), false, false), "{second}");
    }
    assert_eq!(at(&mut keeper, 30, "10.0.0.9"), ("10.0.0.9".into(), false, true));
}

#[test]
fn what_was_chosen_before_the_boot_is_waited_for() {
    let mut keeper = keeper(&["10.0.0.5"], Patience::AGENT);
    assert_eq!(at(&mut keeper, 0, "10.0.0.9"), ("10.0.0.5".into(), true, false));
    assert_eq!(due(&keeper), Some(30));
    assert_eq!(at(&mut keeper, 29, "10.0.0.9"), ("10.0.0.5".into(), true, false));
    assert_eq!(at(&mut keeper, 29, "10.0.0.9 10.0.0.5"), ("10.0.0.5".into(), false, false));
}

#[test]
fn a_loss_is_one_when_it_lasts_and_the_next_choice_is_made_once() {
    let mut keeper = keeper(&["10.0.0.5"], Patience::AGENT);
    assert_eq!(at(&mut keeper, 0, "10.0.0.5 10.0.0.9"), ("10.0.0.5".into(), false, false));
    assert_eq!(at(&mut keeper, 60, "10.0.0.9"), ("10.0.0.5".into(), true, false));
    assert_eq!(due(&keeper), Some(70));
    // Back for a moment: what was missing before counts no more.
    assert_eq!(at(&mut keeper, 65, "10.0.0.5 10.0.0.9"), ("10.0.0.5".into(), false, false));
    assert_eq!(at(&mut keeper, 66, "10.0.0.9"), ("10.0.0.5".into(), true, false));
    assert_eq!(at(&mut keeper, 75, "10.0.0.9"), ("10.0.0.5".into(), true, false));
    assert_eq!(at(&mut keeper, 76, "10.0.0.9"), ("10.0.0.9".into(), false, true));
    assert_eq!(at(&mut keeper, 77, "10.0.0.9 10.0.0.5"), ("10.0.0.9".into(), false, false), "and stays");
}

#[test]
fn when_nothing_is_left_the_choice_stands_as_stale() {
    let mut keeper = keeper(&["10.0.0.5"], Patience::NONE);
    assert_eq!(at(&mut keeper, 0, ""), ("10.0.0.5".into(), true, false));
    assert_eq!(due(&keeper), None);
    assert_eq!(at(&mut keeper, 1, "10.0.0.7"), ("10.0.0.7".into(), false, true));
    assert_eq!(keeper.choices()[&Purpose::EtcdAdvertised], [IpAddr::from([10, 0, 0, 7])]);
}
