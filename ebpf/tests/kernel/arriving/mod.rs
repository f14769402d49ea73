//! What arrives, at each program that sees it.

mod asking;
mod claims;
mod passed;
mod relayed;

use mantle_ebpf::layout::{Counter, Right, State, Vip};
use mantle_ebpf::verdict::Verdict;
use mantle_ebpf::wire::Mac;

use crate::frames::*;
use crate::lab::{Hook, LASTING, Lab, MARK, OVER, PEER, vip};

/// A row of the table: how it is brought about.
#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    state: State,
    right: Right,
    peer: Mac,
}

const fn row(name: &'static str, state: State, right: Right, peer: Mac) -> Row {
    Row { name, state, right, peer }
}

const OWNER: Row = row("owner", State::Owner, LASTING, Mac::ZERO);
/// Owner, while the node before it drains.
const DRAINING: Row = row("draining", State::Owner, LASTING, PEER);
const FENCED: Row = row("right over", State::Owner, OVER, PEER);
const FOREIGN: Row =
    row("another session's", State::Owner, Right { mark: MARK + 1, until: u64::MAX }, Mac::ZERO);
const PREPARED: Row = row("prepared", State::Prepared, LASTING, PEER);
const YIELDING: Row = row("yielding", State::Yielding, LASTING, PEER);
const FORWARDING: Row = row("forwarding", State::Forwarding, LASTING, PEER);
const ROWS: [Row; 7] = [OWNER, DRAINING, FENCED, FOREIGN, PREPARED, YIELDING, FORWARDING];

impl Row {
    fn is_owner(self) -> bool {
        self.state == State::Owner && !self.is_fence()
    }

    fn is_fence(self) -> bool {
        self.right != LASTING
    }
}

/// Both VIPs stand in that row; the IPv6 one has slot 1 and is a router's.
fn stand(lab: &mut Lab, row: Row) {
    let at = |slot| Vip { peer: row.peer, ..vip(row.state, slot) };
    lab.set_vips(&[(VIP4.into(), at(0)), (VIP6.into(), Vip { router: 1, ..at(1) })]);
    lab.set_right(row.right);
}

/// Runs the frame and checks the verdict and that exactly this was counted.
fn judged(
    lab: &mut Lab,
    hook: Hook,
    what: &str,
    frame: &[u8],
    verdict: Verdict,
    counted: &[Counter],
) -> Vec<u8> {
    let before = [0, 1].map(|slot| lab.counters(slot));
    let (given, bytes) = lab.run(hook, frame);
    assert_eq!(given, verdict, "{hook:?}: {what}");
    if matches!(verdict, Verdict::Pass | Verdict::Drop) {
        assert_eq!(bytes, frame, "{hook:?}: {what}: must be left as it is");
    }
    let after = [0, 1].map(|slot| lab.counters(slot));
    for counter in Counter::ALL {
        let rise: u64 = (0..2).map(|slot| after[slot].of(counter) - before[slot].of(counter)).sum();
        assert_eq!(rise, u64::from(counted.contains(&counter)), "{hook:?}: {what}: {counter:?}");
    }
    bytes
}
