//! A request over HTTP/1.1, of whose answer only the status counts: no more than its first line is read.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::probe::connect;
use super::tls;
use crate::config::{CheckTls, HttpCheck};

/// No status line is longer (RFC 9112 §4: code and a few words).
const LONGEST_STATUS_LINE: usize = 512;

/// Asks, and says why if the answer is not what is wanted.
pub(super) async fn probe(check: &HttpCheck) -> Result<(), String> {
    let stream = connect(check.address).await?;
    let code = match &check.tls {
        None => status(stream, check).await?,
        Some(tls) => {
            let (config, name) = tls::client(tls, check.address.ip()).await?;
            let stream = TlsConnector::from(config).connect(name, stream).await;
            let stream = stream.map_err(|error| format!("no TLS with {}: {error}", check.address))?;
            status(stream, check).await?
        }
    };
    if check.statuses.contains(&code) {
        return Ok(());
    }
    let wanted: Vec<String> = check.statuses.iter().map(ToString::to_string).collect();
    Err(format!("{} answered {code} where {} is wanted", check.address, wanted.join(" or ")))
}

/// Sends the request and gives the status of the answer.
async fn status(mut stream: impl AsyncRead + AsyncWrite + Unpin, check: &HttpCheck) -> Result<u16, String> {
    let broken = |error| format!("{} broke off: {error}", check.address);
    stream.write_all(request(check).as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut line = Vec::with_capacity(LONGEST_STATUS_LINE);
    while !line.contains(&b'\n') && line.len() < LONGEST_STATUS_LINE {
        let mut part = [0; LONGEST_STATUS_LINE];
        match stream.read(&mut part).await.map_err(broken)? {
            0 => break,
            length => line.extend_from_slice(&part[..length]),
        }
    }
    code(&line).ok_or_else(|| format!("{} does not answer by HTTP", check.address))
}

fn request(check: &HttpCheck) -> String {
    let HttpCheck { address, path, tls, .. } = check;
    let host = match tls {
        Some(CheckTls { server_name: Some(name), .. }) if name.parse::<IpAddr>().is_err() => name.clone(),
        _ => address.to_string(),
    };
    let agent = concat!("mantle/", env!("CARGO_PKG_VERSION"));
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n")
}

/// The status code in a status line (RFC 9112 §4).
fn code(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_at_checked(2)?;
    let (code, end) = rest.split_at_checked(3)?;
    let ends = matches!(end.first(), Some(b' ' | b'\r' | b'\n'));
    let fits = minor[0].is_ascii_digit() && minor[1] == b' ' && ends;
    let number = std::str::from_utf8(code).ok().filter(|code| code.bytes().all(|b| b.is_ascii_digit()));
    number.filter(|_| fits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn a_status_is_read_and_nothing_else_is() {
        for (line, expected) in [
            (&b"HTTP/1.1 200 OK\r\nServer: x"[..], Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 204\n", Some(204)),
            (b"HTTP/1.1 2000 OK\r\n", None),
            (b"HTTP/1.1 +20 OK\r\n", None),
            (b"HTTP/1.1 20", None),
            (b"HTTP/2 200 OK\r\n", None),
            (b"SSH-2.0-OpenSSH_9.9\r\n", None),
            (b"", None),
        ] {
            assert_eq!(code(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }
}
