//! What serves a load on a host.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::stream::Sink;
use crate::host::Host;

pub(super) const PORT: u16 = 7100;

/// Connections that wait to be taken: more than are opened while this host waits for its turn.
const BACKLOG: u32 = 4096;

/// Takes in the stream and answers every connection on a host, at every address, until it is dropped.
#[derive(Debug)]
pub struct Server {
    sink: Sink,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it.
    pub fn start(host: &Host) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = host.on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}"));
            runtime.block_on(serve(stopped)).unwrap_or_else(|error| panic!("cannot serve a load: {error}"));
        });
        Self { sink: Sink::start(host), stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn taken_in(&self, vip: IpAddr) -> Vec<u32> {
        self.sink.taken_in(vip)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        // Its panic has been printed, and the client has noticed.
        self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(mut stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let socket = TcpSocket::new_v6()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv6Addr::UNSPECIFIED, PORT).into())?;
    let listener = socket.listen(BACKLOG)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                // The client notices whatever goes wrong here.
                connections.spawn(async move { drop(answer(taken?.0).await); io::Result::Ok(()) });
            }
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => return Ok(()),
        }
    }
}

/// Gives back what comes.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut word = [0; 8];
    loop {
        stream.read_exact(&mut word).await?;
        stream.write_all(&word).await?;
    }
}
