//! An etcd that has lost its leader, and with it what it was asked: who owns when it is back, and how soon.

use super::*;
use mantle_protocol::{Timing, retry_for};
use std::time::Duration;

/// An owner and a standby with these timings, some time after they began: outages meet them in different moments.
fn pair(owner: Timing, standby: Timing, later: Duration) -> (World, usize, usize) {
    let mut world = World::new();
    let [a, b] = [("a", owner), ("b", standby)]
        .map(|(name, timing)| world.start(Settings { timing, ..settings(name, &[ip(1)]) }, &[]));
    assert_eq!(world.owner(ip(1)), Some(a));
    world.pass(ms(2_000) + later);
    (world, a, b)
}

/// Outages around the silence and far longer, in different moments.
fn outages(silence: Duration) -> impl Iterator<Item = (Duration, Duration)> {
    let lengths = (0..40_u32).map(move |step| silence * (step + 10) / 16);
    lengths.flat_map(|length| (0..23).map(move |step| (length, ms(step * 47))))
}

const PAIRS: [(Timing, Timing); 6] = [
    (Timing::DEFAULT, Timing::DEFAULT),
    (Timing::FASTEST, Timing::FASTEST),
    (Timing::STEADY, Timing::STEADY),
    (Timing::STEADY, Timing::FAST),
    (Timing::FAST, Timing::STEADY),
    (Timing::DEFAULT, Timing { renew: ms(20), lease: ms(1_000), silence: ms(1_300) }),
];

#[test]
fn an_outage_of_any_length_ends_with_the_owner_it_began_with() {
    for (owner, standby) in PAIRS {
        for (length, later) in outages(standby.silence_for(owner.lease)) {
            let (mut world, a, b) = pair(owner, standby, later);
            world.loses = true;
            world.pass(length);
            world.loses = false;
            world.pass(ms(5_000));
            let course = format!("{owner:?}, {standby:?}, {length:?} of outage after {later:?}");
            assert_eq!(world.owner(ip(1)), Some(a), "{course}");
            assert!(!world.hosts[b].committed.contains(&Purpose::TakeOver), "{course}");
        }
    }
}

#[test]
fn an_owner_that_died_in_an_outage_is_replaced_soon_after_it() {
    for timing in [Timing::DEFAULT, Timing::FAST, Timing::FASTEST, Timing::STEADY] {
        let mut worst = Duration::ZERO;
        for (length, later) in outages(timing.silence) {
            let (mut world, a, b) = pair(timing, timing, later);
            let died = world.now;
            world.hosts[a].runs = false;
            world.loses = true;
            world.pass(length);
            world.loses = false;
            let due = world.now.max(died + timing.silence);
            while world.owner(ip(1)) != Some(b) {
                world.pass(ms(1));
                assert!(world.now.since(due) < ms(5_000), "nobody took over");
            }
            worst = worst.max(world.now.since(due));
        }
        // The first acknowledgement, the owner's chance, and the step in which it is looked for.
        let bound = 3 * retry_for(timing.lease) + ms(2);
        assert!(worst <= bound, "{timing:?}: {worst:?} after S and the outage, not within {bound:?}");
    }
}
