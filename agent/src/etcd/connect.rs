//! Making a connection to one endpoint that is logged in and answers.

use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, GetOptions, Identity, KvClient, TlsOptions};

use super::classify::classify;
use super::failure::Cause;
use super::keyspace::Keyspace;
use super::settings::{Settings, Tls};
use super::source::{Bound, Way, way_to};

/// etcd takes more than one ping in five seconds for an attack, and counts those without a stream as such too.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that is logged in and got an answer.
pub(super) struct Connected {
    pub(super) client: Client,
    /// The id of the cluster that the answer is from.
    pub(super) cluster: u64,
    /// Where it is connected from.
    pub(super) way: Way,
}

/// Connects to an endpoint.
pub(super) async fn connect(url: &str, settings: &Settings, keys: &Keyspace) -> Result<Connected, Cause> {
    check_url(url)?;
    let mut options = ConnectOptions::new()
        .with_require_leader(true)
        .with_keep_alive(PING_EVERY, PING_TIMEOUT)
        .with_keep_alive_while_idle(false)
        .with_connect_timeout(settings.connect_timeout);
    if url.starts_with("https://") {
        let tls = settings.tls.as_ref().ok_or(Cause::NoCa)?;
        options = options.with_tls(read_certificates(tls, url).await?);
    }
    if let Some(user) = &settings.user {
        options = options.with_user(&user.name, &user.password);
    }
    let way = way_to(url, &settings.sources).await?;
    let client = Client::connect_with_balanced_channel([url], Some(options), Bound(way.bound))
        .await
        .map_err(|error| classify(&error))?;
    let cluster = first_answer(&mut client.kv_client(), keys).await.map_err(|error| classify(&error))?;
    Ok(Connected { client, cluster, way })
}

/// Reads at the member itself, without its leader: this asks whether the member lives, knows us and has a leader, not how
/// fast the cluster is. Gives the id of the cluster.
pub(super) async fn first_answer(kv: &mut KvClient, keys: &Keyspace) -> Result<u64, etcd_client::Error> {
    let options = GetOptions::new().with_serializable().with_keys_only();
    let answer = kv.get(keys.prefix(), Some(options)).await?;
    Ok(answer.header().map_or(0, etcd_client::ResponseHeader::cluster_id))
}

async fn read_certificates(tls: &Tls, url: &str) -> Result<TlsOptions, Cause> {
    let read = async |path: &Path| {
        tokio::fs::read(path)
            .await
            .map_err(|error| Cause::File { path: path.to_owned(), reason: error.to_string() })
    };
    let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&tls.ca).await?));
    if let Some((certificate, key)) = &tls.identity {
        options = options.identity(Identity::from_pem(read(certificate).await?, read(key).await?));
    }
    // tonic would look for a certificate made out to `[::1]`, brackets and all.
    if let Some((address, _)) = url.strip_prefix("https://[").and_then(|rest| rest.split_once(']')) {
        options = options.domain_name(address);
    }
    Ok(options)
}

/// Refuses what tonic would make something of that nobody meant: without a port, or with one that is no number, it takes
/// 80 or 443.
fn check_url(url: &str) -> Result<(), Cause> {
    let bad = |what: &str| Err(Cause::BadEndpoint(what.to_owned()));
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return bad("its scheme is neither http nor https");
    };
    match rest.trim_end_matches('/').rsplit_once(':') {
        Some(("", _)) => bad("it has no host"),
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port != 0) => Ok(()),
        _ => bad("it has no port"),
    }
}

/// The endpoint with the scheme it is meant to have.
pub(super) fn with_scheme(endpoint: &str, tls: bool) -> String {
    match (endpoint.contains("://"), tls) {
        (true, _) => endpoint.to_owned(),
        (false, true) => format!("https://{endpoint}"),
        (false, false) => format!("http://{endpoint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_scheme_a_host_and_a_port() {
        for good in ["http://127.0.0.1:2379", "https://etcd-1.example:2379/", "https://[fd00::1]:443"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "http://",
            "http://etcd",
            "https://[fd00::1]",
            "http://:2379",
            "http://etcd:port",
            "ftp://e:21",
        ];
        for bad in bad {
            assert!(matches!(check_url(bad), Err(Cause::BadEndpoint(_))), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_without_a_scheme_gets_the_one_that_fits() {
        assert_eq!(with_scheme("etcd:2379", false), "http://etcd:2379");
        assert_eq!(with_scheme("etcd:2379", true), "https://etcd:2379");
        assert_eq!(with_scheme("http://etcd:2379", true), "http://etcd:2379");
    }
}
