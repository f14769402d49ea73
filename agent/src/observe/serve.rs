//! The accept loop, with limits that keep one client from being everybody's trouble.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;

/// What one client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; those beyond wait in the kernel's queue.
    pub connections: usize,
    /// Time to send the head of the request.
    pub head: Duration,
    /// Time for the whole connection, which carries one request: a client that doesn't read its answer is cut off.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, head: Duration::from_secs(2), whole: Duration::from_secs(10) }
    }
}

/// The least that hyper takes: room for any head a browser or Prometheus sends.
const BUFFER: usize = 16 * 1024;

/// Answers the connections of `listener` by `router` until it is dropped, and its connections with it.
///
/// Cancel-safe: a connection that was accepted is either in the set or not yet taken from the kernel's queue.
pub async fn serve<L: Listener>(mut listener: L, router: Router, limits: Limits) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(BUFFER).keep_alive(false);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= limits.connections {
            connections.join_next().await;
        }
        let (stream, _) = listener.accept().await;
        let connection =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        // How a connection ends, well, badly or by the clock, is the client's affair.
        connections.spawn(async move { tokio::time::timeout(limits.whole, connection).await.is_ok() });
    }
}

#[cfg(test)]
mod tests;
