//! What an etcd is like, found out without changing a key: its versions, its speed, its size, its election time-out.
//!
//! Asked by `mantle check --online`, and by the agent beside its work. So it has connections of its own, on whatever runtime
//! it is used in, and renewals never wait for it.
//!
//! - **A commit's latency** is that of a transaction with a put behind a compare that cannot hold: etcd takes it for a
//!   write (permissions, the log of a majority, its fsync), and then writes nothing that anybody sees.
//! - **The election time-out** shows in the shortest lease that etcd grants: 1.5 election time-outs, in whole seconds
//!   rounded up (`lessor.go`, `minLeaseTTL`). The lease is given back at once.
//! - **The last compaction** is the oldest revision that can still be read; found by halving.

use std::future::Future;
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, GetOptions, KvClient, StatusResponse, Txn, TxnOp};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::classify::classify;
use super::connect::{Connected, connect, with_scheme};
use super::failure::{Cause, Errand, Failure};
use super::keyspace::Keyspace;
use super::settings::Settings;
use crate::clock;
use mantle_protocol::{Key, NodeName, Revision};

/// How many commits are timed.
const COMMITS: usize = 20;

/// How long an answer may take. Slower than that is no speed at which anything here works.
const ANSWER: Duration = Duration::from_secs(3);

/// How long a connection may take: a survey is in nobody's way, and several logins at once cost a busy etcd seconds.
const CONNECTION: Duration = Duration::from_secs(6);

/// What an etcd is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Each endpoint, in the order of the configuration.
    pub members: Vec<(String, Result<Member, Failure>)>,
    /// How long commits took at the first endpoint that answers; nothing if none does, or none was asked for.
    pub commits: Option<Result<Commits, Failure>>,
}

/// What one member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its version.
    pub version: String,
    /// The size of its database, in bytes: what counts against the quota.
    pub size: u64,
    /// How much of that is in use; the rest is free pages, which a defragmentation gives back.
    pub in_use: u64,
    /// The largest that its database may be, if it tells (3.6 does).
    pub quota: Option<u64>,
    /// It is out of space, and takes no writes.
    pub is_full: bool,
    /// It found its data corrupt.
    pub is_corrupt: bool,
    /// The newest revision it has.
    pub revision: Revision,
    /// The last compaction's revision; 0 if there was none.
    pub compacted: Revision,
    /// The shortest lease it grants, in seconds; nothing if it was not asked, or refused.
    pub shortest_lease: Option<u32>,
}

/// How long commits took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commits {
    /// Half of them took no longer.
    pub median: Duration,
    /// The slowest; of so few, what a 99th percentile would be.
    pub slowest: Duration,
}

impl Survey {
    /// The members that answered.
    pub fn answering(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().filter_map(|(url, member)| Some((url.as_str(), member.as_ref().ok()?)))
    }
}

impl Member {
    /// Between what its election time-out lies, as far as the shortest lease tells.
    pub fn election_timeout(&self) -> Option<(Duration, Duration)> {
        let seconds = self.shortest_lease?;
        let of = |seconds: u32| Duration::from_secs(seconds.into()) * 2 / 3;
        Some((of(seconds.saturating_sub(1)), of(seconds)))
    }
}

/// Asks the endpoints.
pub struct Surveyor {
    settings: Settings,
    keys: Keyspace,
    /// The key whose write is tried: one that an agent of that name writes anyway.
    own: Key,
    /// Each endpoint's URL, and its connection while it answers.
    endpoints: Vec<(String, Option<Connected>)>,
    /// What doesn't change is asked once: the shortest lease of each.
    leases: Vec<Option<u32>>,
}

impl Surveyor {
    /// Asks the endpoints that `settings` name, with the rights that `node` has.
    pub fn new(settings: Settings, node: NodeName) -> Self {
        let settings = Settings { connect_timeout: CONNECTION, ..settings };
        let tls = settings.tls.is_some();
        let endpoints: Vec<_> =
            settings.endpoints.iter().map(|endpoint| (with_scheme(endpoint, tls), None)).collect();
        let leases = vec![None; endpoints.len()];
        let keys = Keyspace::new(&settings.prefix);
        Self { settings, keys, own: Key::Node(node), endpoints, leases }
    }

    /// Asks everything.
    pub async fn survey(&mut self) -> Survey {
        let members = self.sizes().await.members;
        let mut commits = None;
        for (url, kept) in &self.endpoints {
            let Some(Connected { client, .. }) = kept else { continue };
            let timed = time_commits(client.kv_client(), &self.keys.full(&self.own)).await;
            let timed = timed.map_err(|cause| failure(url, cause));
            let is_known = timed.is_ok();
            commits = Some(timed);
            if is_known {
                break;
            }
        }
        Survey { members, commits }
    }

    /// Asks what costs etcd next to nothing: all but the commits; the shortest lease only of a member not asked before.
    pub async fn sizes(&mut self) -> Survey {
        let (settings, keys) = (&self.settings, &self.keys);
        let asked = self.endpoints.iter_mut().zip(&mut self.leases).map(async |((url, kept), lease)| {
            let member = ask(url, kept, lease, settings, keys).await;
            if member.is_err() {
                // Whatever it was, a login that ran out too: the next time begins with a new connection.
                *kept = None;
            }
            (url.clone(), member.map_err(|cause| failure(url, cause)))
        });
        Survey { members: join_all(asked).await, commits: None }
    }
}

async fn ask(
    url: &str,
    kept: &mut Option<Connected>,
    lease: &mut Option<u32>,
    settings: &Settings,
    keys: &Keyspace,
) -> Result<Member, Cause> {
    // Another address may have been chosen since.
    kept.take_if(|connected| settings.sources.wants_another(connected.way));
    let Connected { client, .. } = if let Some(connected) = kept {
        connected
    } else {
        let limit = settings.connect_timeout;
        let connected = timeout(limit, connect(url, settings, keys)).await;
        kept.insert(connected.unwrap_or(Err(Cause::Silent(limit)))?)
    };
    let status = answer(client.maintenance_client().status()).await?;
    let revision = status.header().map_or(0, etcd_client::ResponseHeader::revision);
    let compacted = last_compaction(client.kv_client(), keys, revision).await?;
    if lease.is_none() {
        // A full etcd refuses leases too; that is told by its alarm.
        *lease = shortest_lease(client).await.ok();
    }
    Ok(member(&status, revision, compacted, *lease))
}

fn member(status: &StatusResponse, revision: Revision, compacted: Revision, lease: Option<u32>) -> Member {
    let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    // `memberID:… alarm:NOSPACE`, an alarm's own text.
    let is_alarmed = |name: &str| status.errors().iter().any(|error| error.contains(name));
    Member {
        version: status.version().to_owned(),
        size: bytes(status.db_size()),
        in_use: bytes(status.raft_used_db_size()),
        quota: Some(bytes(status.db_size_quota())).filter(|quota| *quota > 0),
        is_full: is_alarmed("NOSPACE"),
        is_corrupt: is_alarmed("CORRUPT"),
        revision,
        compacted,
        shortest_lease: lease,
    }
}

async fn time_commits(mut kv: KvClient, key: &str) -> Result<Commits, Cause> {
    let mut times = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let never = Compare::create_revision(key, CompareOp::Equal, i64::MAX);
        let put = TxnOp::put(key, "null", None);
        let begun = clock::now();
        answer(kv.txn(Txn::new().when([never]).and_then([put]))).await?;
        times.push(clock::now().since(begun));
    }
    times.sort_unstable();
    Ok(Commits { median: times[COMMITS / 2], slowest: times[COMMITS - 1] })
}

async fn shortest_lease(client: &Client) -> Result<u32, Cause> {
    let mut leases = client.lease_client();
    let granted = answer(leases.grant(1, None)).await?;
    let _ends_by_itself_otherwise = answer(leases.revoke(granted.id())).await;
    u32::try_from(granted.ttl()).map_err(|_| Cause::Rejected(format!("a lease of {} s", granted.ttl())))
}

async fn last_compaction(mut kv: KvClient, keys: &Keyspace, newest: Revision) -> Result<Revision, Cause> {
    let mut is_readable = async |revision: Revision| {
        let there = GetOptions::new().with_serializable().with_count_only().with_revision(revision);
        match answer(kv.get(keys.prefix(), Some(there))).await {
            Ok(_) => Ok(true),
            Err(Cause::Rejected(why)) if why.contains("compacted") => Ok(false),
            Err(cause) => Err(cause),
        }
    };
    if newest < 1 || is_readable(1).await? {
        return Ok(0);
    }
    let (mut gone, mut there) = (1, newest);
    while there - gone > 1 {
        let middle = gone + (there - gone) / 2;
        if is_readable(middle).await? {
            there = middle;
        } else {
            gone = middle;
        }
    }
    Ok(there)
}

async fn answer<T>(call: impl Future<Output = Result<T, etcd_client::Error>>) -> Result<T, Cause> {
    match timeout(ANSWER, call).await {
        Ok(answer) => answer.map_err(|error| classify(&error)),
        Err(_) => Err(Cause::Silent(ANSWER)),
    }
}

fn failure(url: &str, cause: Cause) -> Failure {
    Failure { endpoint: url.to_owned(), errand: Errand::Survey, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_lease_tells_the_election_timeout_within_a_second_by_three_halves() {
        let between = |lease| {
            let member = Member { shortest_lease: lease, ..member(1) };
            member.election_timeout().map(|(from, to)| (from.as_millis(), to.as_millis()))
        };
        assert_eq!(between(None), None);
        assert_eq!(between(Some(1)), Some((0, 666)), "etcd at 50/250 or 100/500 ms");
        assert_eq!(between(Some(2)), Some((666, 1333)), "etcd's default: 1000 ms");
    }

    fn member(revision: Revision) -> Member {
        Member {
            version: "3.5.1".to_owned(),
            size: 1,
            in_use: 1,
            quota: None,
            is_full: false,
            is_corrupt: false,
            revision,
            compacted: 0,
            shortest_lease: None,
        }
    }
}
