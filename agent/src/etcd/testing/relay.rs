//! A relay in front of an etcd: a second endpoint of the same cluster, which can be frozen or cut off.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Relay {
    port: u16,
    flow: Arc<watch::Sender<Flow>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Bytes pass.
    Open,
    /// Connections are accepted, and nothing ever passes.
    Frozen,
    /// Connections are closed.
    Cut,
}

impl Relay {
    /// A relay to `port`.
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            flow: Arc::new(watch::Sender::new(Flow::Open)),
        };
        let flow = relay.flow.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(pass(near_in, far_out, flow.subscribe()));
                tokio::spawn(pass(far_in, near_out, flow.subscribe()));
            }
        });
        relay
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn freeze(&self) {
        self.flow.send_replace(Flow::Frozen);
    }

    pub(super) fn cut(&self) {
        self.flow.send_replace(Flow::Cut);
    }

    pub(super) fn open(&self) {
        self.flow.send_replace(Flow::Open);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flow: watch::Receiver<Flow>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            _ = flow.wait_for(|flow| *flow == Flow::Cut) => return,
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        if flow.wait_for(|flow| *flow != Flow::Frozen).await.is_err() || read == 0 {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
