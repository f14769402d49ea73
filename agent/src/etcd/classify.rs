//! From what etcd-client returns to a [`Cause`]: by gRPC code where codes tell things apart, by etcd's own words
//! (`rpctypes/error.go`) where they don't.
//!
//! What matters most is not to call an outcome certain that is open. So the list of what certainly was not carried out is
//! explicit, and everything unknown is open.

use std::error::Error as _;

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

use super::failure::Cause;

/// What `error` means.
pub(super) fn classify(error: &Error) -> Cause {
    match error {
        Error::GRpcStatus(status) => of_status(status),
        Error::TransportError(error) => of_connecting(&chain(error)),
        Error::InvalidUri(error) => Cause::BadEndpoint(error.to_string()),
        Error::InvalidArgs(what) => Cause::BadEndpoint(what.clone()),
        other => Cause::Lost(other.to_string()),
    }
}

fn of_status(status: &Status) -> Cause {
    if is_from_here(status) {
        return of_local(status);
    }
    let message = status.message();
    match status.code() {
        Code::Unauthenticated => Cause::LoginExpired,
        _ if message.contains("invalid auth token") || message.contains("auth store is old") => {
            Cause::LoginExpired
        }
        Code::PermissionDenied => Cause::Denied,
        Code::ResourceExhausted if message.contains("database space exceeded") => Cause::Full,
        Code::ResourceExhausted if message.starts_with("etcdserver:") => Cause::Rejected(message.to_owned()),
        Code::InvalidArgument if message.contains("authentication failed") => Cause::WrongPassword,
        Code::InvalidArgument if message.contains("user name is empty") => Cause::NoUser,
        Code::FailedPrecondition if message.contains("authentication is not enabled") => {
            Cause::AuthenticationOff
        }
        Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented => {
            Cause::Rejected(message.to_owned())
        }
        // Said by the interceptor, before the request is looked at. Its neighbours, "request timed out" and "server
        // stopped", are said of proposals on their way.
        Code::Unavailable if message == "etcdserver: no leader" => Cause::NoLeader,
        Code::Unknown if message == "raft proposal dropped" => Cause::NoLeader,
        Code::OutOfRange if message.contains("compacted") => Cause::Rejected(message.to_owned()),
        Code::OutOfRange if message.contains("message length too large") => {
            Cause::TooLong(message.to_owned())
        }
        Code::Unavailable | Code::DeadlineExceeded => Cause::GaveUp(message.to_owned()),
        code => Cause::GaveUp(format!("{code:?}: {message}")),
    }
}

/// Whether tonic made this status up from a trouble of its own: what came over the wire has no source.
fn is_from_here(status: &Status) -> bool {
    status.source().is_some()
}

fn of_local(status: &Status) -> Cause {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return of_connecting(&chain(error));
        }
        source = error.source();
    }
    let text = chain(status);
    if REFUSED_CERTIFICATE.iter().any(|alert| text.contains(alert)) {
        return Cause::UntrustedClient(text);
    }
    Cause::Lost(text)
}

/// TLS 1.3 lets a client finish its handshake before the server has looked at its certificate: the refusal arrives in
/// place of the first answer. Nothing was carried out then.
const REFUSED_CERTIFICATE: [&str; 5] = [
    "alert: CertificateRequired",
    "alert: BadCertificate",
    "alert: UnknownCA",
    "alert: CertificateUnknown",
    "alert: CertificateExpired",
];

/// The words of an error and its sources, innermost last: tonic, hyper and rustls each say only their own part.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// What kept a connection from being made: nothing was sent. The kinds of rustls' errors are behind crates we don't
/// depend on; their words have been stable for years, and an unknown one only costs the remedy.
fn of_connecting(text: &str) -> Cause {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let owned = || text.to_owned();
    if says(&["Connection refused"]) {
        Cause::Refused
    } else if says(&["UnknownIssuer", "BadSignature", "CaUsedAsEndEntity"]) {
        Cause::UntrustedServer(owned())
    } else if says(&["not valid for name", "NotValidForName"]) {
        Cause::WrongHost(owned())
    } else if says(&["certificate expired", "not valid yet", "Expired", "NotValidYet"]) {
        Cause::Expired(owned())
    } else if says(&["received fatal alert"]) {
        Cause::UntrustedClient(owned())
    } else if says(&["InvalidContentType", "corrupt message"]) {
        Cause::NoTls(owned())
    } else if says(&["tls handshake eof", "reset by peer"]) {
        // A member that was just killed does the same as one that speaks plain HTTP.
        Cause::BrokenOff(owned())
    } else if says(&["invalid peer certificate"]) {
        Cause::UntrustedServer(owned())
    } else if says(&["certificate", "private key", "PEM", "KeyMismatch"]) {
        Cause::BadCertificates(owned())
    } else {
        Cause::Unreachable(owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: Code, message: &str) -> Cause {
        classify(&Error::GRpcStatus(Status::new(code, message)))
    }

    #[test]
    fn what_etcd_certainly_did_not_do() {
        for (code, message, expected) in [
            (Code::Unauthenticated, "etcdserver: invalid auth token", Cause::LoginExpired),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old", Cause::LoginExpired),
            (Code::PermissionDenied, "etcdserver: permission denied", Cause::Denied),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", Cause::Full),
            (Code::Unavailable, "etcdserver: no leader", Cause::NoLeader),
            (Code::Unknown, "raft proposal dropped", Cause::NoLeader),
            (Code::InvalidArgument, "etcdserver: user name is empty", Cause::NoUser),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                Cause::WrongPassword,
            ),
        ] {
            let found = cause(code, message);
            assert_eq!(found, expected);
            assert!(!found.leaves_outcome_open(), "{message}");
        }
        let rejected = cause(Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
        assert!(matches!(rejected, Cause::Rejected(_)) && !rejected.leaves_outcome_open());
    }

    #[test]
    fn what_may_have_been_done_nevertheless() {
        for (code, message) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unknown, "context canceled"),
            (Code::Cancelled, ""),
            (Code::Internal, "stream terminated"),
            (Code::ResourceExhausted, "grpc: something new"),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
            ),
        ] {
            assert!(cause(code, message).leaves_outcome_open(), "{code:?} {message}");
        }
    }

    #[test]
    fn a_status_made_up_here_from_a_broken_connection_is_open_whatever_its_code() {
        let mut status = Status::permission_denied("h2 protocol error");
        status.set_source(std::sync::Arc::new(std::io::Error::other("broken")));
        let found = classify(&Error::GRpcStatus(status));
        assert!(matches!(&found, Cause::Lost(text) if text.contains("broken")), "{found}");
        assert!(found.leaves_outcome_open());
    }

    #[test]
    fn a_connection_that_was_never_made_sent_nothing() {
        let refused = ConnectError("tcp connect error: Connection refused (os error 111)".into());
        let mut status = Status::unavailable("");
        status.set_source(std::sync::Arc::new(refused));
        assert_eq!(classify(&Error::GRpcStatus(status)), Cause::Refused);
    }
}
