//! The room against the real thing: etcd itself on loopback, and a relay that can freeze or cut what lies between.

mod certificates;
mod committing;
mod following;
mod login;
mod relay;
mod renewing;
mod server;
mod surveying;
mod tls;

use std::time::{Duration, Instant};

use tokio::time::sleep;

use self::server::Server;
use super::{Cause, Etcd, Settings};
use mantle_protocol::{Answer, Compare, Key, Record, Txn, Value};

const PREFIX: &str = "/mantle/test/";
const OVERALL: Duration = Duration::from_secs(2);

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn nobody() -> Value {
    Value::Record(Record { owner: None })
}

/// Puts a record that names nobody, if the key's mod revision is `seen`.
fn put(name: &str, seen: i64) -> Txn {
    let mut txn = Txn::new();
    txn.put(Compare::Modified(key(name), seen), nobody());
    txn
}

fn settings<U: Into<String>>(endpoints: impl IntoIterator<Item = U>) -> Settings {
    Settings::new(endpoints.into_iter().map(Into::into).collect(), PREFIX)
}

/// A handle that has a connection and has put `vip/10.0.0.1`, which lies at the revision given back.
async fn begun(settings: Settings) -> (Etcd, i64) {
    let etcd = Etcd::new(settings);
    let begin = Instant::now();
    loop {
        match etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await.answer {
            Answer::Done(revision) => return (etcd, revision),
            // A new etcd accepts connections a little before it answers them.
            Answer::Failed if begin.elapsed() < Duration::from_secs(20) => {
                sleep(Duration::from_millis(50)).await;
            }
            other => panic!("{other:?}: {:?}", etcd.status()),
        }
    }
}

/// Why etcd refuses what is asked with these settings. A busy machine may be silent before it refuses: that is no refusal.
async fn refused(settings: Settings) -> Cause {
    let etcd = Etcd::new(settings);
    let begin = Instant::now();
    loop {
        let answer = etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await.answer;
        assert!(matches!(answer, Answer::Failed | Answer::Unknown), "{answer:?}");
        match etcd.status()[0].failure.clone().expect("a reason").cause {
            Cause::Silent(_) if begin.elapsed() < Duration::from_secs(20) => {
                sleep(Duration::from_millis(50)).await;
            }
            cause => return cause,
        }
    }
}

/// The reason the first endpoint gives for its last failure.
fn reason(etcd: &Etcd) -> String {
    etcd.status()[0].failure.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// An `http://` endpoint where nobody listens.
fn nobody_listens() -> String {
    format!("http://127.0.0.1:{}", server::free_port())
}
