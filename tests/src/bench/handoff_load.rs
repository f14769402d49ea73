//! Moves by command under the load that is promised to bear them: in tc and native xdp mode, with an IPv4 and an IPv6 VIP.

use std::net::IpAddr;
use std::thread::{scope, sleep};
use std::time::Duration;

use super::figures::{
    HANDOFF_BULK, HANDOFF_LOAD_FAILED, HANDOFF_LOAD_GAP, HANDOFF_LOAD_LOST, HANDOFF_LOAD_RATE,
    HANDOFF_LOAD_REFUSED, HANDOFF_LOAD_RESET, HANDOFF_LOAD_STALL,
};
use super::series::Series;
use super::settle::counted;
use crate::clock::now;
use crate::echo::{Connection, Echo};
use crate::load::{Handoffs, Moved, Rates, Tally};
use crate::stage::{VIP, VIP6};

const RATES: Rates =
    Rates { datagrams: 10_000, connections: 1000, pause: Duration::from_millis(100), new_connections: 500 };
/// So many moves for each run.
const MOVES: usize = 10;
/// Less than so much of any rate is another load than the one that was promised.
const LEAST: f64 = 0.9;

/// What is downloaded while the VIP moves.
const BULK: u64 = 256 << 20;
const GIGABIT: f64 = 1e9 / 8.0;

/// In each mode and with each family so many moves; a value for each of the four, but for each move a gap.
#[expect(clippy::print_stderr, reason = "a loss is told beside the figures")]
pub(super) fn measure(runs: usize) -> Vec<Series> {
    let (mut moved, mut refused, mut bulk) = (Vec::new(), Vec::new(), Vec::new());
    for mode in ["tc", "xdp"] {
        for vip in [VIP, VIP6] {
            let name = format!("bench-handoff-load-{mode}");
            let mut handoffs = Handoffs::set(&name, mode, &[vip]);
            moved.extend(handoffs.under(RATES, runs * MOVES));
            refused.push(counted(handoffs.refused()));
            bulk.push(download(&mut handoffs, vip));
            handoffs.end();
        }
    }
    for moved in &moved {
        let borne = &moved.borne;
        assert!(borne.reached >= LEAST, "{}: too little of the load was there: {borne:#?}", moved.vip);
    }
    for moved in moved.iter().filter(|moved| lost(moved) > 0) {
        let [datagrams, probes] = moved.lost_after_moves(RATES.datagrams);
        eprintln!(
            "{}: lost datagrams sent {datagrams:?} and probes sent {probes:?} after a move was asked for; \
             the lab's links dropped {} frames",
            moved.vip, moved.dropped
        );
    }
    let each = |figure, value: fn(&Moved) -> f64| Series::new(figure, moved.iter().map(value).collect());
    let failed = |tally: &Tally| f64::from(tally.failed.values().sum::<u32>());
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    vec![
        each(&HANDOFF_LOAD_RATE, |moved| 1.0 / moved.borne.reached),
        each(&HANDOFF_LOAD_LOST, |moved| counted(lost(moved))),
        Series::new(&HANDOFF_LOAD_REFUSED, refused),
        Series::new(&HANDOFF_LOAD_RESET, moved.iter().map(|moved| failed(&moved.borne.asked.old)).collect()),
        Series::new(&HANDOFF_LOAD_FAILED, moved.iter().map(|moved| failed(&moved.borne.asked.new)).collect()),
        Series::new(
            &HANDOFF_LOAD_STALL,
            moved.iter().map(|moved| ms(moved.borne.asked.old.longest)).collect(),
        ),
        Series::new(&HANDOFF_LOAD_GAP, moved.iter().flat_map(|moved| &moved.gaps).copied().map(ms).collect()),
        Series::new(&HANDOFF_BULK, bulk),
    ]
}

/// Of the stream and of the probes.
fn lost(moved: &Moved) -> usize {
    moved.borne.stream.lost.len() + moved.lost_probes.len()
}

/// Downloads much while the VIP moves, and checks every byte: seconds for each gigabit.
fn download(handoffs: &mut Handoffs, vip: IpAddr) -> f64 {
    let services: Vec<Echo> = handoffs.stage.nodes.iter().map(|node| Echo::start(&node.host)).collect();
    let client = handoffs.stage.lab.host("downloader");
    let mut connection = Connection::open(&client, vip);
    let begun = now();
    let (moved, ended) = scope(|scope| {
        let download = scope.spawn(|| {
            connection.download(BULK);
            now()
        });
        sleep(Duration::from_millis(20));
        handoffs.hand_over();
        (now(), download.join().expect("what came was what was sent"))
    });
    assert!(ended > moved, "too little was on its way when the VIP moved");
    drop(connection);
    drop(services);
    #[expect(clippy::cast_precision_loss, reason = "far less than 2^52")]
    let gigabits = BULK as f64 / GIGABIT;
    ended.since(begun).as_secs_f64() / gigabits
}
