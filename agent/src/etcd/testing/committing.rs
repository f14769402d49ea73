//! Transactions, and the endpoints they fail over to.

use super::relay::Relay;
use super::*;
use crate::clock;
use crate::etcd::{Cause, Errand, Failure};
use mantle_protocol::{Change, Entry};

#[tokio::test]
async fn a_transaction_is_done_or_says_what_it_found_instead() {
    let server = Server::start().await;
    let (etcd, revision) = begun(settings([server.url()])).await;

    let mut txn = Txn::new();
    txn.delete(Compare::Modified(key("vip/10.0.0.1"), 0));
    txn.require(Compare::Created(key("vip/10.0.0.1"), revision));
    txn.require(Compare::Created(key("node/a"), 0));
    let before = clock::now();
    let committed = etcd.commit(&txn, OVERALL).await;
    let there = Entry { created: revision, modified: revision, value: nobody() };
    let found = vec![
        Change { key: key("node/a"), revision, entry: None },
        Change { key: key("vip/10.0.0.1"), revision, entry: Some(there) },
    ];
    assert_eq!(committed.answer, Answer::Refused { revision, found });
    assert!(committed.sent.is_some_and(|sent| sent >= before && sent <= clock::now()));

    let mut delete = Txn::new();
    delete.delete(Compare::Created(key("vip/10.0.0.1"), revision));
    assert_eq!(etcd.commit(&delete, OVERALL).await.answer, Answer::Done(revision + 1));
    let status = &etcd.status()[0];
    assert!(status.connected && status.current && status.failure.is_none() && status.latency.is_some());
}

#[tokio::test]
async fn what_etcd_takes_for_nonsense_has_failed_for_certain() {
    let server = Server::start().await;
    let (etcd, revision) = begun(settings([server.url()])).await;
    let seen = Compare::Modified(key("vip/10.0.0.1"), revision);
    let mut both = Txn::new();
    both.put(seen.clone(), nobody());
    both.delete(seen);
    let committed = etcd.commit(&both, OVERALL).await;
    assert_eq!((committed.answer, committed.sent), (Answer::Failed, None));
    assert!(reason(&etcd).contains("duplicate key"), "{}", reason(&etcd));
    assert!(matches!(etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await.answer, Answer::Done(_)));
}

#[tokio::test]
async fn where_nobody_listens_the_next_endpoint_is_asked() {
    let server = Server::start().await;
    let begin = Instant::now();
    let (etcd, _) = begun(settings([nobody_listens(), server.url()])).await;
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
    assert!(reason(&etcd).contains("connection refused"), "{}", reason(&etcd));
    assert!(etcd.status()[1].current);
}

#[tokio::test]
async fn where_nobody_listens_anywhere_a_transaction_has_failed_for_certain() {
    let etcd = Etcd::new(settings([nobody_listens(), nobody_listens()]));
    for _ in 0..3 {
        assert_eq!(etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await.answer, Answer::Failed);
    }
    assert!(etcd.status().iter().all(|endpoint| !endpoint.connected));
}

#[tokio::test]
async fn an_endpoint_that_falls_silent_costs_one_try_and_is_asked_last_from_then_on() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, revision) = begun(settings([relay.url(), server.url()])).await;
    assert!(etcd.status()[0].current);

    relay.freeze();
    let begin = clock::now();
    let committed = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await;
    let Answer::Done(revision) = committed.answer else { panic!("{committed:?}") };
    let sent = committed.sent.unwrap().since(begin);
    assert!(sent >= Duration::from_millis(150), "counted from the try that was answered: {sent:?}");
    assert!(sent < Duration::from_millis(400), "{sent:?}");

    let begin = Instant::now();
    let committed = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await;
    assert!(matches!(committed.answer, Answer::Done(_)));
    assert!(begin.elapsed() < Duration::from_millis(120), "{:?}", begin.elapsed());
    assert!(reason(&etcd).contains("no answer within"), "{}", reason(&etcd));
}

#[tokio::test]
async fn an_endpoint_that_recovered_is_found_out_by_probes_not_by_transactions() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    relay.cut();
    let (etcd, mut revision) = begun(settings([relay.url(), server.url()])).await;
    assert!(!etcd.status()[0].connected);
    relay.open();
    let begin = Instant::now();
    while !etcd.status()[0].connected {
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", etcd.status());
        let Answer::Done(done) = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await.answer else {
            panic!()
        };
        revision = done;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(reason(&etcd), "");
    assert!(etcd.status()[1].current, "the good one stays first");
}

#[tokio::test]
async fn with_nobody_else_to_ask_silence_leaves_the_outcome_open() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, revision) = begun(settings([relay.url(), nobody_listens()])).await;
    relay.freeze();
    let committed = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await;
    assert_eq!((committed.answer, committed.sent), (Answer::Unknown, None));
    let silent = Failure {
        endpoint: relay.url(),
        errand: Errand::Write,
        cause: Cause::Silent(Duration::from_millis(150)),
    };
    assert_eq!(etcd.status()[0].failure, Some(silent));

    // The frozen transaction still reaches etcd: that is what "unknown" is about.
    relay.open();
    sleep(Duration::from_millis(200)).await;
    let committed = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await;
    assert!(matches!(committed.answer, Answer::Refused { .. } | Answer::Done(_)), "{committed:?}");
}

#[tokio::test]
async fn a_port_that_accepts_and_never_answers_is_never_sent_a_transaction() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let etcd = Etcd::new(settings([format!("http://{}", listener.local_addr().unwrap())]));
    let committed = etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await;
    assert_eq!(committed.answer, Answer::Failed);
}

#[tokio::test]
async fn no_transaction_takes_longer_than_it_may() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, revision) = begun(settings([relay.url()])).await;
    relay.freeze();
    let begin = Instant::now();
    let committed = etcd.commit(&put("vip/10.0.0.1", revision), Duration::from_millis(40)).await;
    assert_eq!(committed.answer, Answer::Unknown);
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn two_etcd_clusters_are_not_one_judge() {
    let (one, other) = (
        Server::start_with("http", &["--initial-cluster-token", "one"]).await,
        Server::start_with("http", &["--initial-cluster-token", "other"]).await,
    );
    let (etcd, revision) = begun(settings([one.url(), other.url()])).await;
    sleep(Duration::from_millis(200)).await;
    let failure = etcd.status()[1].failure.clone().unwrap();
    assert!(matches!(failure.cause, Cause::OtherCluster { .. }), "{failure}");
    assert!(matches!(etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await.answer, Answer::Done(_)));
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_named_with_what_to_write() {
    for nonsense in ["ftp://127.0.0.1:2379", "http://", "a b", "http://127.0.0.1:port", ""] {
        let etcd = Etcd::new(settings([nonsense]));
        assert_eq!(etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await.answer, Answer::Failed);
        assert!(
            reason(&etcd).contains("Write endpoints as http://host:port"),
            "{nonsense:?}: {}",
            reason(&etcd)
        );
    }
    let none = Etcd::new(settings::<String>([]));
    assert_eq!(none.commit(&put("vip/10.0.0.1", 0), OVERALL).await.answer, Answer::Failed);
}
