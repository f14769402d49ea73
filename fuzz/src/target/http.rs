//! What is sent to the HTTP port and to the control socket: the agent answers or hangs up, and then serves the next one.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use mantle::observe::{Feed, feed, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::snapshot;

pub(super) const WORDS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"OPTIONS * ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"Host: x\r\n",
    b"\r\n\r\n",
    b"/metrics",
    b"/healthz",
    b"/readyz",
    b"/status.json",
    b"/%2e%2e/",
    b"?a=b&",
    b"Content-Length: ",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// The server's own limits cut a client off after 10 s. On a machine whose cores are wanted by everybody (seen at a load of 43, with
/// this at `nice` 19) nothing runs for as long.
const LIMIT: Duration = Duration::from_mins(2);

/// How often the server gets its turn before the client gives up.
const ROUNDS: usize = 32;

const GOOD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

pub(super) fn run(input: &[u8], routes: fn(Feed) -> Router) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    runtime.block_on(async {
        let (_publisher, feed) = feed(snapshot::snapshot(), snapshot::clock);
        let (clients, arrivals) = unbounded_channel();
        tokio::spawn(serve::serve(Memory(arrivals), routes(feed), serve::Limits::default()));
        let ask = async |bytes: &[u8]| {
            let (ours, theirs) = duplex(1 << 20);
            clients.send(theirs).expect("the server goes on for ever");
            timeout(LIMIT, answer(ours, bytes)).await.expect("an answer, or the end of the connection")
        };
        for answer in [ask(input).await, ask(GOOD).await] {
            let code = answer.strip_prefix(b"HTTP/1.").map(|rest| &rest[2..5]);
            let is_known = match code {
                Some(code) => [&b"100"[..], b"200", b"400", b"404", b"405", b"413", b"414", b"431", b"503"]
                    .contains(&code),
                None => answer.is_empty(),
            };
            assert!(is_known, "{:?}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
        }
        assert!(ask(GOOD).await.starts_with(b"HTTP/1.1 200 "), "the next one is served");
    });
}

async fn answer(mut stream: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    // Who is refused early may be hung up on while still sending.
    let _hung_up = stream.write_all(bytes).await;
    // hyper takes a client that shuts its half down for one that is gone. One that goes on waiting is given time until the
    // server has done all that it can without more: everything here happens in one thread.
    for _ in 0..ROUNDS {
        yield_now().await;
    }
    let _hung_up = stream.shutdown().await;
    let mut answer = Vec::new();
    let _hung_up = stream.read_to_end(&mut answer).await;
    answer
}

/// Connections that are only memory.
struct Memory(UnboundedReceiver<DuplexStream>);

impl Listener for Memory {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => match pending::<Infallible>().await {},
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}
