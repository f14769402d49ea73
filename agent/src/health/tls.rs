//! Whom a check over HTTPS trusts, and by what it is trusted.
//!
//! The files are read for every try: certificates are exchanged while the agent runs.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::CheckTls;

/// What to connect with, and the name that the server must prove.
pub(super) async fn client(
    tls: &CheckTls,
    address: IpAddr,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca_file).await? {
        roots.add(certificate).map_err(|error| unusable(&tls.ca_file, error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS is not to be had: {error}"))?
        .with_root_certificates(roots);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate).await?;
            let pem = read(key).await?;
            let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(key, error))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| unusable(key, error))?
        }
    };
    // Each try is to show that the server can do all of it.
    config.resumption = Resumption::disabled();
    let name = match &tls.server_name {
        None => ServerName::from(address),
        Some(name) => ServerName::try_from(name.clone())
            .map_err(|error| format!("serverName {name:?} cannot be in a certificate: {error}"))?,
    };
    Ok((Arc::new(config), name))
}

async fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path).await?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(path, error))?;
    if certificates.is_empty() {
        return Err(unusable(path, "no certificate in it"));
    }
    Ok(certificates)
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    tokio::fs::read(path).await.map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> String {
    format!("{} cannot be used: {why}", path.display())
}
