//! Who owned what, and who renewed when, as etcd tells it: every change of a VIP's record and of a node's session, and
//! when the lab learned of it.
//!
//! Every member is watched at once and the earliest news counts: a member that is stopped, frozen or cut off delays
//! nothing that another one has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use etcd_client::{Client, Error, Event, EventType, WatchOptions};
use mantle_protocol::{Instant, Revision};
use tokio::sync::oneshot;

use crate::clock::{now, wait_for};
use crate::etcd::EtcdCluster;

/// How long a watch may lag behind what a read shows.
const LAG: Duration = Duration::from_secs(10);

/// One change of a VIP's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When the lab knew of it: it was made no later than this.
    pub at: Instant,
    /// Its revision.
    pub revision: Revision,
    /// The node it names; nobody after a release or a deletion, or if the record cannot be read.
    pub owner: Option<String>,
    /// Whether the owner before it handed the VIP over: the same transaction renewed its session.
    pub handed: bool,
}

/// The changes of each VIP's record, in the order of their revisions, which is also the order of their instants.
pub type Changes = BTreeMap<IpAddr, Vec<Change>>;

/// What is known so far.
#[derive(Debug, Default)]
struct Told {
    records: BTreeMap<(IpAddr, Revision), Change>,
    /// The writes of each node's key.
    renewals: BTreeMap<(String, Revision), Renewal>,
}

/// A write of a node's key.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    at: Instant,
    /// The create revision of the session; 0 if this deleted it.
    session: Revision,
}

type Known = Arc<Mutex<Told>>;

/// Watches the VIPs' records until it is dropped.
#[derive(Debug)]
pub struct History {
    etcd: EtcdCluster,
    prefix: String,
    known: Known,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl History {
    /// Starts watching. Changes made before count as made now: start it before the agents.
    pub(crate) fn start(etcd: &EtcdCluster, prefix: &str) -> Self {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        let known = Known::default();
        let (stop, stopped) = oneshot::channel();
        let (cluster, watched, news) = (etcd.clone(), prefix.clone(), known.clone());
        let thread = etcd.observer().on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}")).block_on(async {
                for endpoint in cluster.endpoints() {
                    tokio::spawn(watch(cluster.clone(), endpoint, watched.clone(), news.clone()));
                }
                // Ends when told to, or with the History; the watches end with the runtime.
                let _ = stopped.await;
            });
        });
        Self { etcd: etcd.clone(), prefix, known, stop: Some(stop), thread: Some(thread) }
    }

    /// The changes up to now. Waits until the watches have caught up with what etcd holds, if it answers.
    pub fn changes(&self) -> Changes {
        for record in self.etcd.list_now(&self.prefix).unwrap_or_default() {
            let Some(vip) = vip_of(&self.prefix, record.key()) else { continue };
            let revision = record.mod_revision();
            wait_for(format_args!("revision {revision} of {vip} in the watches"), LAG, || {
                lock(&self.known).records.contains_key(&(vip, revision)).then_some(())
            });
        }
        self.changes_so_far()
    }

    /// The longest time within a window in which etcd took no renewal of a node's session, as far as the lab knows;
    /// nothing if it was not one session all the time.
    pub fn longest_without_renewal(&self, node: &str, from: Instant, to: Instant) -> Option<Duration> {
        let told = lock(&self.known);
        let of_node = told.renewals.iter().filter(|((name, _), _)| name == node).map(|(_, it)| *it);
        longest_between(of_node, from, to)
    }

    /// The changes that are known, without asking etcd.
    pub fn changes_so_far(&self) -> Changes {
        in_order(&lock(&self.known))
    }

    /// What tells the changes after the history itself is gone.
    pub(crate) fn teller(&self) -> impl Fn() -> Changes + Send + use<> {
        let known = self.known.clone();
        move || in_order(&lock(&known))
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.stop = None;
        // A watcher that panicked has already said so; this may be running while another panic unwinds.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Watches one member, again and again.
async fn watch(etcd: EtcdCluster, endpoint: String, prefix: String, known: Known) {
    let mut next = 1;
    loop {
        if let Ok(client) = etcd.access().connect(&endpoint).await {
            // A failed or cancelled watch goes on from where it was.
            let _ = follow(client, &prefix, &known, &mut next).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn follow(mut client: Client, prefix: &str, known: &Known, next: &mut Revision) -> Result<(), Error> {
    let options = WatchOptions::new().with_prefix().with_start_revision(*next);
    let mut stream = client.watch(prefix, Some(options)).await?;
    while let Some(response) = stream.message().await? {
        let at = now();
        for event in response.events() {
            let Some(kv) = event.kv() else { continue };
            *next = (*next).max(kv.mod_revision() + 1);
            if let Some(node) = node_of(prefix, kv.key()) {
                let renewals = &mut lock(known).renewals;
                let renewal = Renewal { at, session: kv.create_revision() };
                let earliest = renewals.entry((node, kv.mod_revision())).or_insert(renewal);
                earliest.at = at.min(earliest.at);
            } else if let Some((vip, change)) = read(prefix, event, at) {
                learn(&mut lock(known).records, vip, change);
            }
        }
        if response.canceled() {
            // What was compacted away is told by another member, or by nobody.
            *next = (*next).max(response.compact_revision());
            break;
        }
    }
    Ok(())
}

/// The earliest news of a change counts.
fn learn(known: &mut BTreeMap<(IpAddr, Revision), Change>, vip: IpAddr, change: Change) {
    let at = change.at;
    let earliest = known.entry((vip, change.revision)).or_insert(change);
    earliest.at = earliest.at.min(at);
}

fn read(prefix: &str, event: &Event, at: Instant) -> Option<(IpAddr, Change)> {
    let kv = event.kv()?;
    let vip = vip_of(prefix, kv.key())?;
    let owner = if event.event_type() == EventType::Put { owner_in(kv.value()) } else { None };
    Some((vip, Change { at, revision: kv.mod_revision(), owner, handed: false }))
}

fn vip_of(prefix: &str, key: &[u8]) -> Option<IpAddr> {
    str::from_utf8(key).ok()?.strip_prefix(prefix)?.strip_prefix("vip/")?.parse().ok()
}

fn node_of(prefix: &str, key: &[u8]) -> Option<String> {
    Some(str::from_utf8(key).ok()?.strip_prefix(prefix)?.strip_prefix("node/")?.to_owned())
}

/// The longest time between two of a node's renewals, as much of it as lies between `from` and `to`.
fn longest_between(renewals: impl Iterator<Item = Renewal>, from: Instant, to: Instant) -> Option<Duration> {
    let within: Vec<Renewal> = renewals.filter(|it| from < it.at && it.at < to).collect();
    if within.windows(2).any(|pair| pair[0].session != pair[1].session) {
        return None;
    }
    let mut marks: Vec<Instant> = within.iter().map(|it| it.at).chain([from, to]).collect();
    marks.sort();
    marks.windows(2).map(|pair| pair[1].since(pair[0])).max()
}

/// The node a record names. Read without the agent's own code: the judge must not share its mistakes.
fn owner_in(record: &[u8]) -> Option<String> {
    let record: serde_json::Value = serde_json::from_slice(record).ok()?;
    Some(record.get("owner")?.get("node")?.as_str()?.to_owned())
}

/// News of a later change is also news of the ones before it.
fn in_order(known: &Told) -> Changes {
    let mut changes = Changes::new();
    for ((vip, revision), change) in &known.records {
        let of_vip = changes.entry(*vip).or_default();
        let giver = of_vip.last().and_then(|before| before.owner.clone());
        let handed =
            giver.filter(|giver| change.owner.as_ref().is_some_and(|owner| owner != giver)).is_some_and(
                |giver| known.renewals.get(&(giver, *revision)).is_some_and(|renewal| renewal.session != 0),
            );
        of_vip.push(Change { handed, ..change.clone() });
    }
    for of_vip in changes.values_mut() {
        let mut bound = None;
        for change in of_vip.iter_mut().rev() {
            change.at = bound.map_or(change.at, |bound: Instant| change.at.min(bound));
            bound = Some(change.at);
        }
    }
    changes
}

fn lock(known: &Mutex<Told>) -> MutexGuard<'_, Told> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_owner_or_nobody() {
        let owned = br#"{"owner":{"node":"a","session":7,"bound_ms":1000}}"#;
        assert_eq!(owner_in(owned).as_deref(), Some("a"));
        for nobody in [r#"{"owner":null}"#, "{}", "garbage", r#"{"owner":{"node":5}}"#] {
            assert_eq!(owner_in(nobody.as_bytes()), None, "{nobody}");
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_boot(Duration::from_millis(ms))
    }

    /// When each revision is taken to be known, after these news (milliseconds, revision).
    fn instants(news: &[(u64, Revision)]) -> Vec<Instant> {
        let vip = IpAddr::from([10, 0, 0, 1]);
        let mut known = Told::default();
        for (ms, revision) in news {
            let change = Change { at: at(*ms), revision: *revision, owner: None, handed: false };
            learn(&mut known.records, vip, change);
        }
        in_order(&known)[&vip].iter().map(|change| change.at).collect()
    }

    #[test]
    fn the_longest_time_without_a_renewal_lies_within_the_window() {
        let longest = |renewals: [(u64, Revision); 4], from, to| {
            longest_between(
                renewals.map(|(ms, session)| Renewal { at: at(ms), session }).into_iter(),
                at(from),
                at(to),
            )
        };
        let one = [(5, 7), (20, 7), (30, 7), (90, 7)];
        assert_eq!(longest(one, 0, 40), Some(Duration::from_millis(15)));
        assert_eq!(longest(one, 20, 70), Some(Duration::from_millis(40)));
        assert_eq!(longest(one, 91, 94), Some(Duration::from_millis(3)));
        let two = [(5, 7), (20, 7), (30, 0), (90, 8)];
        assert_eq!(longest(two, 0, 95), None, "the first session ended");
        assert_eq!(longest(two, 0, 25), Some(Duration::from_millis(15)));
    }

    #[test]
    fn what_renews_the_giver_is_a_handover() {
        let vip = IpAddr::from([10, 0, 0, 1]);
        let mut known = Told::default();
        for (revision, owner) in [(1, "a"), (2, "b"), (3, "a"), (4, "a")] {
            let change = Change { at: at(1), revision, owner: Some(owner.to_owned()), handed: false };
            learn(&mut known.records, vip, change);
        }
        known.renewals.insert(("a".to_owned(), 2), Renewal { at: at(1), session: 1 });
        known.renewals.insert(("b".to_owned(), 3), Renewal { at: at(1), session: 0 });
        known.renewals.insert(("a".to_owned(), 4), Renewal { at: at(1), session: 1 });
        let handed: Vec<bool> = in_order(&known)[&vip].iter().map(|change| change.handed).collect();
        assert_eq!(
            handed,
            [false, true, false, false],
            "a takeover deletes the session, and a mending gives to nobody else"
        );
    }

    #[test]
    fn the_first_member_to_tell_counts() {
        assert_eq!(instants(&[(30, 1), (20, 1), (25, 1)]), [at(20)]);
    }

    #[test]
    fn a_late_word_of_an_early_change_is_corrected_by_the_next() {
        let instants = instants(&[(30, 1), (20, 2), (40, 3)]);
        assert_eq!(instants, [at(20), at(20), at(40)]);
    }
}
