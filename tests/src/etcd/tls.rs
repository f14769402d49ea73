//! Certificates for servers and their clients: one authority, what it signed, and an authority nobody should trust.

use std::fs;
use std::path::{Path, PathBuf};

use etcd_client::{Certificate, Identity, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// The files of a set of certificates, all PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authority that signed the servers' and the clients' certificates.
    pub ca: PathBuf,
    /// An authority that signed nothing here.
    pub wrong_ca: PathBuf,
    /// A client's certificate.
    pub cert: PathBuf,
    /// The key to the client's certificate.
    pub key: PathBuf,
    pub(crate) server_cert: PathBuf,
    pub(crate) server_key: PathBuf,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Tls {
    /// Makes the certificates, for servers with these addresses and names.
    pub(crate) fn make(directory: &Path, servers: &[String]) -> Self {
        fs::create_dir_all(directory)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
        let write = |name: &str, pem: String| {
            let path = directory.join(name);
            fs::write(&path, pem).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
            path
        };
        let authority = authority("the lab's authority");
        // etcd's gateway dials its own member with the member's certificate: it must do for a client too.
        let both = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let (server_cert, server_key) = signed(&authority, "server", servers, both);
        let (cert, key) = signed(&authority, "mantle", &[], vec![ExtendedKeyUsagePurpose::ClientAuth]);
        Self {
            ca: write("ca.pem", authority.pem()),
            wrong_ca: write("wrong-ca.pem", self::authority("somebody else's authority").pem()),
            cert: write("client.pem", cert),
            key: write("client-key.pem", key),
            server_cert: write("server.pem", server_cert),
            server_key: write("server-key.pem", server_key),
        }
    }

    /// What the lab's own client connects with.
    pub(super) fn options(&self) -> TlsOptions {
        let read = |path: &Path| {
            fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
        };
        TlsOptions::new()
            .ca_certificate(Certificate::from_pem(read(&self.ca)))
            .identity(Identity::from_pem(read(&self.cert), read(&self.key)))
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, new_key()).expect("an authority's parameters are sound")
}

fn signed(
    authority: &Authority,
    name: &str,
    servers: &[String],
    usages: Vec<ExtendedKeyUsagePurpose>,
) -> (String, String) {
    let mut params = CertificateParams::new(servers).expect("the names are plain ones");
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages;
    let key = new_key();
    let certificate = params.signed_by(&key, authority).expect("a certificate's parameters are sound");
    (certificate.pem(), key.serialize_pem())
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("ring makes P-256 keys")
}
