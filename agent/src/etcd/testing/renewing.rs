//! Renewals, and the second endpoint they are sent to.

use super::relay::Relay;
use super::*;
use crate::clock;

/// How long a try may take in the agent.
const TRY: Duration = Duration::from_millis(150);

/// A handle with connections to both endpoints, the first of which is asked first, and a renewal of what it has put.
async fn two(first: &str, second: &str, try_timeout: Duration) -> (Etcd, Txn) {
    let mut settings = settings([first, second]);
    // No endpoint fails for its silence while a test that does not wait for that goes on, however busy the machine.
    settings.try_timeout = try_timeout;
    let (etcd, created) = begun(settings).await;
    let begin = Instant::now();
    while !etcd.status().iter().all(|endpoint| endpoint.connected) {
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", etcd.status());
        etcd.warm();
        sleep(Duration::from_millis(10)).await;
    }
    assert!(etcd.status()[0].current);
    let mut renewal = Txn::new();
    renewal.put(Compare::Created(key("vip/10.0.0.1"), created), nobody());
    (etcd, renewal)
}

/// How often the key was written since it was created; nothing if it is not there.
async fn written(server: &Server) -> Option<i64> {
    let mut client = server.client().await;
    let found = client.get(format!("{PREFIX}vip/10.0.0.1"), None).await.unwrap();
    found.kvs().first().map(etcd_client::KeyValue::version)
}

#[tokio::test]
async fn a_renewal_goes_to_a_second_endpoint_before_the_first_has_failed() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, txn) = two(&relay.url(), &server.url(), OVERALL).await;
    relay.freeze();
    let begin = clock::now();
    let mut renewal = etcd.renew(txn, OVERALL);
    let committed = renewal.answer().await;
    assert!(matches!(committed.answer, Answer::Done(_)), "{committed:?}");
    assert_eq!(reason(&etcd), "", "the second was asked only when the first had failed");
    assert!(committed.sent.unwrap() > begin + Duration::from_millis(20), "counted from its own try");
    assert!(etcd.status()[1].current, "whoever answered is asked first from now on");
}

#[tokio::test]
async fn both_tries_count_each_from_when_it_was_sent_itself() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, txn) = two(&relay.url(), &server.url(), OVERALL).await;
    relay.freeze();
    let begin = clock::now();
    let mut renewal = etcd.renew(txn, OVERALL);
    let committed = renewal.answer().await;
    let answered = clock::now();
    relay.open();
    let late = renewal.acknowledged_too().await.expect("the first try is acknowledged in the end");
    let sent = committed.sent.unwrap();
    assert!(begin <= late && late < sent && sent <= answered, "{begin:?} {late:?} {sent:?} {answered:?}");
    assert_eq!(renewal.acknowledged_too().await, None);
    assert_eq!(written(&server).await, Some(3), "both were carried out");
}

#[tokio::test]
async fn a_silent_endpoint_is_found_out_though_the_renewal_was_answered_elsewhere() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, txn) = two(&relay.url(), &server.url(), TRY).await;
    relay.freeze();
    let mut renewal = etcd.renew(txn, Duration::from_millis(400));
    assert!(matches!(renewal.answer().await.answer, Answer::Done(_)));
    assert_eq!(renewal.acknowledged_too().await, None, "no try outlives its time");
    assert!(reason(&etcd).contains("no answer within"), "{}", reason(&etcd));
}

#[tokio::test]
async fn a_copy_that_is_late_brings_no_session_back() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, txn) = two(&relay.url(), &server.url(), OVERALL).await;
    relay.freeze();
    let mut renewal = etcd.renew(txn.clone(), OVERALL);
    assert!(matches!(renewal.answer().await.answer, Answer::Done(_)));
    server.client().await.delete(format!("{PREFIX}vip/10.0.0.1"), None).await.unwrap();
    relay.open();
    assert_eq!(renewal.acknowledged_too().await, None, "a refused copy acknowledges nothing");
    assert_eq!(written(&server).await, None);
    let committed = etcd.renew(txn, OVERALL).answer().await;
    assert!(matches!(committed.answer, Answer::Refused { .. }), "{committed:?}");
}

#[tokio::test]
async fn where_nobody_answers_the_outcome_is_open_when_the_time_is_over() {
    let server = Server::start().await;
    let (one, other) = (Relay::to(server.port).await, Relay::to(server.port).await);
    let (etcd, txn) = two(&one.url(), &other.url(), TRY).await;
    one.freeze();
    other.freeze();
    let begin = Instant::now();
    let mut renewal = etcd.renew(txn, Duration::from_millis(300));
    let committed = renewal.answer().await;
    assert_eq!((committed.answer, committed.sent), (Answer::Unknown, None));
    assert!(begin.elapsed() >= Duration::from_millis(290), "given up early: {:?}", begin.elapsed());
    assert_eq!(renewal.acknowledged_too().await, None);
}

#[tokio::test]
async fn an_endpoint_that_fails_at_once_is_not_waited_for() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, txn) = two(&relay.url(), &server.url(), OVERALL).await;
    relay.cut();
    let committed = etcd.renew(txn, OVERALL).answer().await;
    assert!(matches!(committed.answer, Answer::Done(_)), "{committed:?}");
    let nobody_there = Etcd::new(settings([nobody_listens(), nobody_listens()]));
    let committed = nobody_there.renew(put("vip/10.0.0.1", 0), OVERALL).answer().await;
    assert_eq!((committed.answer, committed.sent), (Answer::Failed, None));
}
