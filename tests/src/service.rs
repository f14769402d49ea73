//! A service behind a VIP: an HTTPS server that is well, ill or dead as a scenario wants it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::etcd::Tls;
use crate::host::Host;
use crate::lab::Lab;

/// Where it listens, on its own host: the API server's port.
const PORT: u16 = 6443;

/// An HTTPS server on a host, until it is dropped.
#[derive(Debug)]
pub struct Service {
    manner: watch::Sender<Manner>,
    thread: Option<JoinHandle<()>>,
}

/// How a service treats whoever asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers with this status.
    Answers(u16),
    /// Answers with 200, but so much later.
    Slow(Duration),
    /// Takes the request and never answers.
    Hangs,
    /// Takes the connection and says nothing at all, not even TLS.
    Mute,
    /// Is not there: connections are refused.
    Dead,
    /// The scenario is over.
    Gone,
}

impl Service {
    /// Makes the certificates of a lab's services, `service/ca.pem`, `client.pem` and `client-key.pem` beside the agents'
    /// configs: of an API server, which is not known by the address it is asked at.
    pub fn certificates(lab: &Lab) -> Tls {
        Tls::make(&lab.directory().join("service"), &["kubernetes".to_owned(), "10.96.0.1".to_owned()])
    }

    /// Starts a service on a host that answers with 200; whoever asks must show a client's certificate.
    pub fn start(host: &Host, tls: &Tls) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(tls)));
        let (manner, mut treated) = watch::channel(Manner::Answers(200));
        let thread = host.on_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}"));
            runtime.block_on(serve(&acceptor, &mut treated));
        });
        Self { manner, thread: Some(thread) }
    }

    /// From now on it treats whoever asks so.
    pub fn be(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.be(Manner::Gone);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

async fn serve(acceptor: &TlsAcceptor, manner: &mut watch::Receiver<Manner>) {
    loop {
        let now = *manner.borrow_and_update();
        match now {
            Manner::Gone => return,
            Manner::Dead => {}
            Manner::Answers(_) | Manner::Slow(_) | Manner::Hangs | Manner::Mute => {
                listen(acceptor, manner).await;
                continue;
            }
        }
        if manner.changed().await.is_err() {
            return;
        }
    }
}

/// Listens until the service dies: then connections are closed with it.
async fn listen(acceptor: &TlsAcceptor, manner: &mut watch::Receiver<Manner>) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let listener = TcpListener::bind(address).await;
    let listener = listener.unwrap_or_else(|error| panic!("the service cannot listen: {error}"));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let (acceptor, manner) = (acceptor.clone(), *manner.borrow());
                // Whoever breaks off, breaks off.
                connections.spawn(async move { drop(answer(stream, &acceptor, manner).await) });
            }
            Some(_) = connections.join_next() => {}
            changed = manner.changed() => {
                let over = matches!(*manner.borrow(), Manner::Dead | Manner::Gone);
                if changed.is_err() || over {
                    return;
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, acceptor: &TlsAcceptor, manner: Manner) -> io::Result<()> {
    if manner == Manner::Mute {
        std::future::pending::<()>().await;
    }
    let mut stream = acceptor.accept(stream).await?;
    let mut request = [0; 2048];
    let length = stream.read(&mut request).await?;
    assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"), "who asks for something else?");
    let code = match manner {
        Manner::Answers(code) => code,
        Manner::Slow(delay) => {
            sleep(delay).await;
            200
        }
        Manner::Hangs | Manner::Mute | Manner::Dead | Manner::Gone => std::future::pending().await,
    };
    let text = format!("HTTP/1.1 {code} So it is\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn server_config(tls: &Tls) -> ServerConfig {
    let read = |path| fs::read(path).expect("the certificates were just made");
    let certificate = |path| CertificateDer::from_pem_slice(&read(path)).expect("a certificate in PEM");
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&tls.ca)).expect("an authority is one");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.server_key)).expect("a key in PEM");
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks them")
        .with_client_cert_verifier(verifier.build().expect("there is an authority"))
        .with_single_cert(vec![certificate(&tls.server_cert)], key)
        .expect("the key is the certificate's")
}
