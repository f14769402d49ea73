//! The list and the watch.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::relay::Relay;
use super::*;
use crate::etcd::{Loss, StoreEvent};
use mantle_protocol::Change;

/// Follows `etcd` until the test ends.
fn follow(etcd: &Etcd) -> UnboundedReceiver<StoreEvent> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(etcd.clone().follow(sender));
    receiver
}

async fn event(events: &mut UnboundedReceiver<StoreEvent>) -> StoreEvent {
    timeout(Duration::from_secs(5), events.recv()).await.expect("an event within 5 s").expect("it follows")
}

async fn listed(events: &mut UnboundedReceiver<StoreEvent>) -> Vec<Change> {
    match event(events).await {
        StoreEvent::Listed { changes, .. } => changes,
        other => panic!("{other:?}"),
    }
}

async fn lost(events: &mut UnboundedReceiver<StoreEvent>) -> Loss {
    match event(events).await {
        StoreEvent::Lost(loss) => loss,
        other => panic!("{other:?}"),
    }
}

async fn changed(events: &mut UnboundedReceiver<StoreEvent>) -> Vec<Change> {
    match event(events).await {
        StoreEvent::Changes { revision, changes } => {
            assert_eq!(changes.iter().map(|change| change.revision).max(), Some(revision));
            changes
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_list_comes_first_and_every_change_after_it() {
    let server = Server::start().await;
    let (etcd, first) = begun(settings([server.url()])).await;
    let mut events = follow(&etcd);
    let list = listed(&mut events).await;
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].key.clone(), list[0].revision), (key("vip/10.0.0.1"), first));

    assert_eq!(etcd.commit(&put("vip/10.0.0.2", 0), OVERALL).await.answer, Answer::Done(first + 1));
    let changes = changed(&mut events).await;
    assert_eq!(changes[0].entry.as_ref().map(|entry| entry.created), Some(first + 1));

    server.client().await.delete(format!("{PREFIX}vip/10.0.0.2"), None).await.unwrap();
    let gone = Change { key: key("vip/10.0.0.2"), revision: first + 2, entry: None };
    assert_eq!(changed(&mut events).await, [changes[0].clone(), gone], "behind what was deleted");
}

#[tokio::test]
async fn what_others_write_among_our_keys_is_told_and_passed_over() {
    let server = Server::start().await;
    let (etcd, _) = begun(settings([server.url()])).await;
    let mut somebody = server.client().await;
    somebody.put(format!("{PREFIX}lock"), "x", None).await.unwrap();
    somebody.put("/mantle/testing/vip/10.0.0.9", "another cluster's", None).await.unwrap();

    let mut events = follow(&etcd);
    assert!(
        matches!(event(&mut events).await, StoreEvent::Foreign { key, .. } if key == "/mantle/test/lock")
    );
    assert_eq!(listed(&mut events).await.len(), 1);

    somebody.put(format!("{PREFIX}vip/10.0.0.1"), "nonsense", None).await.unwrap();
    let changes = changed(&mut events).await;
    assert_eq!(changes[0].entry.as_ref().map(|entry| &entry.value), Some(&Value::Garbage));

    // Listed anew, the foreign key is not told again.
    etcd.restart_watch();
    assert_eq!(lost(&mut events).await, Loss::Asked);
    listed(&mut events).await;
}

#[tokio::test]
async fn a_list_of_many_pages_and_of_huge_garbage_is_whole() {
    let server = Server::start().await;
    let (etcd, _) = begun(settings([server.url()])).await;
    let mut client = server.client().await;
    for vip in 0..=250 {
        client.put(format!("{PREFIX}vip/10.0.1.{vip}"), r#"{"owner":null}"#, None).await.unwrap();
    }
    let huge = "x".repeat(1_400_000);
    for vip in 0..16 {
        client.put(format!("{PREFIX}vip/10.0.2.{vip}"), huge.as_str(), None).await.unwrap();
    }
    let mut events = follow(&etcd);
    let list = listed(&mut events).await;
    assert_eq!(list.len(), 1 + 251 + 16);
    let garbage =
        list.iter().filter(|change| change.entry.as_ref().is_some_and(|e| e.value == Value::Garbage));
    assert_eq!(garbage.count(), 16);
}

#[tokio::test]
async fn what_was_compacted_away_while_the_watch_was_cut_off_is_listed_anew() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, _) = begun(settings([relay.url()])).await;
    let mut events = follow(&etcd);
    assert_eq!(listed(&mut events).await.len(), 1);

    relay.cut();
    assert!(matches!(lost(&mut events).await, Loss::Failed(_)));
    let mut somebody = server.client().await;
    somebody.delete(format!("{PREFIX}vip/10.0.0.1"), None).await.unwrap();
    let answer = somebody.put(format!("{PREFIX}vip/10.0.0.2"), r#"{"owner":null}"#, None).await.unwrap();
    somebody.compact(answer.header().unwrap().revision(), None).await.unwrap();
    // Lost is told once, however often it is tried again.
    sleep(Duration::from_millis(500)).await;
    relay.open();
    let list = listed(&mut events).await;
    assert_eq!(list.iter().map(|change| change.key.clone()).collect::<Vec<_>>(), [key("vip/10.0.0.2")]);
}

#[tokio::test]
async fn a_restart_of_etcd_is_ridden_out() {
    let mut server = Server::start().await;
    let (etcd, revision) = begun(settings([server.url()])).await;
    let mut events = follow(&etcd);
    listed(&mut events).await;

    server.stop();
    let loss = lost(&mut events).await;
    assert!(loss.to_string().starts_with("cannot watch etcd at http://127.0.0.1:"), "{loss}");
    assert_eq!(etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await.answer, Answer::Failed);
    server.run().await;
    assert_eq!(listed(&mut events).await.len(), 1);
    assert!(matches!(etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await.answer, Answer::Done(_)));
    assert_eq!(changed(&mut events).await.len(), 1);
}

#[tokio::test]
async fn a_watch_that_keeps_our_own_writes_to_itself_is_begun_anew_elsewhere() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    let (etcd, revision) = begun(settings([relay.url(), server.url()])).await;
    let mut events = follow(&etcd);
    listed(&mut events).await;

    relay.freeze();
    let Answer::Done(written) = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await.answer else {
        panic!()
    };
    let loss = lost(&mut events).await;
    assert_eq!(loss, Loss::Silent { endpoint: relay.url(), revision: written });
    assert_eq!(listed(&mut events).await[0].revision, written);
}

#[tokio::test]
async fn with_etcd_away_from_the_start_it_keeps_trying() {
    let mut server = Server::start().await;
    server.stop();
    let etcd = Etcd::new(settings([server.url()]));
    let mut events = follow(&etcd);
    let loss = lost(&mut events).await;
    assert!(loss.to_string().contains("connection refused"), "{loss}");
    server.run().await;
    listed(&mut events).await;
}

#[tokio::test]
async fn an_endpoint_that_is_silent_from_the_start_is_not_waited_for() {
    let server = Server::start().await;
    begun(settings([server.url()])).await;
    let relay = Relay::to(server.port).await;
    relay.freeze();
    let mut settings = settings([relay.url(), server.url()]);
    settings.connect_timeout = Duration::from_mins(1);
    let mut events = follow(&Etcd::new(settings));
    assert_eq!(listed(&mut events).await.len(), 1);
}

#[tokio::test]
async fn who_refused_is_asked_again_while_another_is_silent() {
    let mut server = Server::start().await;
    begun(settings([server.url()])).await;
    let silent = Server::start().await;
    let relay = Relay::to(silent.port).await;
    relay.freeze();
    server.stop();
    let mut settings = settings([relay.url(), server.url()]);
    settings.connect_timeout = Duration::from_mins(1);
    let mut events = follow(&Etcd::new(settings));
    sleep(Duration::from_millis(500)).await;
    server.run().await;
    assert_eq!(listed(&mut events).await.len(), 1);
}

#[tokio::test]
async fn of_several_in_trouble_the_first_is_told() {
    let server = Server::start().await;
    let relay = Relay::to(server.port).await;
    relay.freeze();
    let mut events = follow(&Etcd::new(settings([relay.url(), nobody_listens()])));
    let loss = lost(&mut events).await;
    assert!(loss.to_string().contains(&relay.url()), "{loss}");
}

#[tokio::test]
async fn it_ends_when_nobody_listens_any_more() {
    let server = Server::start().await;
    let (etcd, _) = begun(settings([server.url()])).await;
    let (sender, receiver) = unbounded_channel();
    let following = tokio::spawn(etcd.follow(sender));
    drop(receiver);
    timeout(Duration::from_secs(1), following).await.expect("it ends").unwrap();
}
