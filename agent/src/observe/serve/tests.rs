//! HTTP end to end, over loopback and over a Unix socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{Publisher, feed, http, listen, sample};
use super::*;
use mantle_protocol::Instant;

const QUICK: Limits =
    Limits { connections: 2, head: Duration::from_millis(150), whole: Duration::from_millis(400) };

async fn start(limits: Limits, clock: fn() -> Instant) -> (Publisher, SocketAddr) {
    let (publisher, feed) = feed(sample::snapshot(), clock);
    let listener = listen::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, http::public(feed), limits));
    (publisher, address)
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn each_path_answers() {
    let (publisher, address) = start(Limits::default(), sample::clock).await;
    let (code, body) = get(address, "/metrics").await;
    assert_eq!(code, 200);
    assert!(body.ends_with("# EOF\n"));
    assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
    let waits = "VIP 192.168.7.1 on enp0s9: link enp0s9 does not exist\n";
    assert_eq!(get(address, "/readyz").await, (503, waits.to_owned()));
    let (code, body) = get(address, "/status.json").await;
    let mut expected = sample::status();
    expected.node.heartbeat_age_ms = 0;
    assert_eq!((code, serde_json::from_str(&body).unwrap()), (200, expected));
    let (code, body) = get(address, "/").await;
    assert_eq!((code, body.starts_with("<!doctype html>")), (200, true));
    assert_eq!(get(address, "/etc").await.0, 404);

    let mut ready = sample::snapshot();
    ready.vips.retain(|vip| vip.ready);
    publisher.publish(ready);
    assert_eq!(get(address, "/readyz").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn a_stuck_core_is_not_healthy() {
    static NOW: AtomicU64 = AtomicU64::new(1_000);
    let clock = || Instant::from_boot(Duration::from_millis(NOW.load(Ordering::Relaxed)));
    let (publisher, address) = start(Limits::default(), clock).await;
    NOW.store(7_500, Ordering::Relaxed);
    let stuck = "the core thread has not moved for 6.5 s\n";
    assert_eq!(get(address, "/healthz").await, (503, stuck.to_owned()));
    publisher.beat(clock());
    assert_eq!(get(address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_the_next_one_is_served() {
    let (_publisher, address) = start(QUICK, sample::clock).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut dripping = TcpStream::connect(address).await.unwrap();
    dripping.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await.unwrap();
    // Both slots are taken; this one waits until the limits free one.
    let served = tokio::time::timeout(Duration::from_secs(2), get(address, "/healthz")).await;
    assert_eq!(served.unwrap().0, 200);
    for slow in [&mut silent, &mut dripping] {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(2), slow.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_slow_client_holds_nobody_up() {
    let (_publisher, address) = start(Limits::default(), sample::clock).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let served = tokio::time::timeout(Duration::from_millis(500), get(address, "/healthz")).await;
    assert_eq!(served.unwrap().0, 200);
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (_publisher, address) = start(Limits::default(), sample::clock).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(2 * BUFFER));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _reset_is_an_answer_too = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
