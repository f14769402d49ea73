//! etcd's endpoints as they are written.

use std::net::{IpAddr, Ipv6Addr};

use thiserror::Error;

use super::error::quoted;

/// Why a text is no endpoint of etcd.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum EndpointError {
    #[error(
        "endpoint {found} does not begin with http:// or https://; write http://10.0.0.1:2379 or the like"
    )]
    NoScheme { found: String },
    #[error("endpoint {found} names no port; write it after the host, as in http://10.0.0.1:2379")]
    NoPort { found: String },
    #[error("endpoint {found} has something after the port; write only scheme, host and port")]
    NotOnlyHost { found: String },
    // Without the text: it holds a password.
    #[error("an endpoint with a user name in it; write username and passwordFile instead")]
    WithUser,
    #[error(
        "endpoint {found} has no proper host and port; write http://10.0.0.1:2379, http://[fd00::1]:2379 or the like"
    )]
    BadHost { found: String },
}

/// An endpoint of etcd: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// As the client takes it.
    pub(super) url: String,
    /// Whether it is spoken to through TLS.
    pub(super) encrypted: bool,
    /// Its host, if given as an address.
    pub(super) ip: Option<IpAddr>,
    /// Whether it can only be this machine.
    pub(super) local: bool,
}

/// Reads an endpoint. The port must be there: the client's own default is 80, which no etcd listens on.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, EndpointError> {
    let (encrypted, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        (None, None) if text.contains('@') => return Err(EndpointError::WithUser),
        (None, None) => return Err(EndpointError::NoScheme { found: quoted(text) }),
    };
    if rest.contains('@') {
        return Err(EndpointError::WithUser);
    }
    let found = || quoted(text);
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(EndpointError::NotOnlyHost { found: found() });
    }
    let bad_host = || EndpointError::BadHost { found: found() };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => return Err(EndpointError::NoPort { found: found() }),
    };
    if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().unwrap_or(0) == 0 {
        return Err(bad_host());
    }
    let ip = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => Some(IpAddr::V6(v6.parse::<Ipv6Addr>().map_err(|_| bad_host())?)),
        None => host.parse::<IpAddr>().ok().filter(IpAddr::is_ipv4),
    };
    if ip.is_none() && !is_host_name(host) {
        return Err(bad_host());
    }
    let local = ip.map_or(host == "localhost", |ip| ip.is_loopback());
    let scheme = if encrypted { "https" } else { "http" };
    Ok(Endpoint { url: format!("{scheme}://{authority}"), encrypted, ip, local })
}

/// RFC 1123 §2.1, and not an IPv4 address gone wrong: the last label is not a number.
fn is_host_name(host: &str) -> bool {
    let labels = || host.strip_suffix('.').unwrap_or(host).split('.');
    host.len() <= 253
        && labels().all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
        && labels().next_back().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        for (text, url, encrypted, local) in [
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379", false, true),
            ("http://localhost:2379/", "http://localhost:2379", false, true),
            ("https://etcd-1.example:2379", "https://etcd-1.example:2379", true, false),
            ("https://[fd00::1]:443", "https://[fd00::1]:443", true, false),
        ] {
            let found = endpoint(text).unwrap();
            assert_eq!((found.url.as_str(), found.encrypted, found.local), (url, encrypted, local));
        }
    }

    #[test]
    fn what_is_no_endpoint_says_what_to_write() {
        for (text, error) in [
            (
                "10.0.0.1:2379",
                r#"endpoint "10.0.0.1:2379" does not begin with http:// or https://; write http://10.0.0.1:2379 or the like"#,
            ),
            (
                "http://10.0.0.1:2379/v3",
                r#"endpoint "http://10.0.0.1:2379/v3" has something after the port; write only scheme, host and port"#,
            ),
            (
                "http://root:secret@10.0.0.1:2379",
                "an endpoint with a user name in it; write username and passwordFile instead",
            ),
            (
                "root:secret@10.0.0.1",
                "an endpoint with a user name in it; write username and passwordFile instead",
            ),
        ] {
            assert_eq!(endpoint(text).unwrap_err().to_string(), error, "{text}");
        }
        for text in ["http://10.0.0.1", "http://[fd00::1]", "https://etcd"] {
            assert!(matches!(endpoint(text), Err(EndpointError::NoPort { .. })), "{text}");
        }
        for text in [
            "http://:2379",
            "http://10.0.0.1:0",
            "http://10.0.0.1:65536",
            "http://10.0.0.1:",
            "http://10.0.0.1:+1",
            "http://10.0.0.300:2379",
            "http://fd00::1:2379",
            "http://a b:2379",
            "http://[10.0.0.1]:2379",
        ] {
            assert!(matches!(endpoint(text), Err(EndpointError::BadHost { .. })), "{text}");
        }
    }
}
