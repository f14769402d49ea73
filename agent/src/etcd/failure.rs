//! What went wrong with etcd, said so that a person can mend it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::backoff::Pace;

/// Something we wanted of an etcd member and did not get.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot {errand} etcd at {endpoint}: {cause}")]
pub struct Failure {
    /// The member's URL.
    pub endpoint: String,
    /// What was tried.
    pub errand: Errand,
    /// What came back, and what to do.
    pub cause: Cause,
}

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// To make a connection that answers.
    Connect,
    /// A transaction.
    Write,
    /// A list of our keys.
    List,
    /// To begin or go on with a watch.
    Watch,
    /// To see whether a member that was silent still answers.
    Probe,
    /// To find out what it is like.
    Survey,
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect to",
            Self::Write => "write to",
            Self::List => "list the keys of",
            Self::Watch => "watch",
            Self::Probe => "get a sign of life from",
            Self::Survey => "survey",
        })
    }
}

/// What came back, and what to do about it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Cause {
    /// Nobody listens.
    #[error("connection refused. Is etcd running, and is this one of its client URLs?")]
    Refused,
    /// The connection could not be made.
    #[error("{0}. Check the endpoint's name and the network on the way to it")]
    Unreachable(String),
    /// Nothing but a VIP could be the source of a connection.
    #[error(
        "the only way to it is from VIP {0}, which is never a source. Give the node an address of its own there"
    )]
    OnlyVip(IpAddr),
    /// The URL cannot be used.
    #[error("{0}. Write endpoints as http://host:port or https://host:port")]
    BadEndpoint(String),

    /// An `https://` endpoint without a CA.
    #[error("https needs to know whom to trust. Set caFile to the CA of etcd's certificates")]
    NoCa,
    /// A file for TLS cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file for TLS holds something else.
    #[error(
        "the certificates cannot be used: {0}. caFile, certFile and keyFile must be PEM, and the key fit the certificate"
    )]
    BadCertificates(String),
    /// etcd's certificate is signed by somebody else.
    #[error("its certificate is not signed by the CA in caFile ({0}). Is caFile the CA of this etcd?")]
    UntrustedServer(String),
    /// etcd's certificate is somebody else's.
    #[error("its certificate is not made out to this host ({0}). Use a name or address that stands in it")]
    WrongHost(String),
    /// etcd's certificate is not valid today.
    #[error("its certificate is not valid now ({0}). Renew it, or set this machine's clock")]
    Expired(String),
    /// etcd does not take our certificate.
    #[error(
        "it does not take our certificate ({0}). certFile and keyFile must be signed by etcd's client CA"
    )]
    UntrustedClient(String),
    /// The connection to an `http://` endpoint broke before the first answer.
    #[error(
        "the connection broke before the first answer ({0}). If it speaks TLS, write the endpoint as https://"
    )]
    NoPlainText(String),
    /// The connection to an `https://` endpoint broke before the first answer.
    #[error(
        "the connection broke before the first answer ({0}). If it wants certificates from its clients, certFile and \
         keyFile must be signed by etcd's client CA; if it speaks plain HTTP, write the endpoint as http://"
    )]
    BrokenOff(String),
    /// An `https://` endpoint answered the TLS handshake with something else.
    #[error("it broke the TLS handshake off ({0}). If it speaks plain HTTP, write the endpoint as http://")]
    NoTls(String),

    /// The user or the password is wrong.
    #[error("it does not know this user with this password. Check username and passwordFile")]
    WrongPassword,
    /// A user is configured, but etcd knows none.
    #[error(
        "authentication is switched off in etcd. Leave username out, or switch it on: etcdctl auth enable"
    )]
    AuthenticationOff,
    /// etcd wants a user, and none is configured.
    #[error("it wants a user. Set username and passwordFile")]
    NoUser,
    /// The user's role does not allow it.
    #[error(
        "the user may not do that. Grant its role our keys: etcdctl role grant-permission ROLE readwrite PREFIX --prefix=true"
    )]
    Denied,
    /// The login is over, or etcd forgot it.
    #[error("the login has expired; logging in anew")]
    LoginExpired,

    /// The database is full.
    #[error(
        "its database is full and takes no writes. Compact and defragment it, then disarm the alarm: etcdctl alarm disarm"
    )]
    Full,
    /// The member is cut off from the others.
    #[error("the member knows no leader. Is a majority of the members up?")]
    NoLeader,
    /// It belongs to another cluster than the endpoints already in use.
    #[error(
        "it belongs to another etcd cluster ({found:x}) than the other endpoints ({expected:x}). Leave one of them out"
    )]
    OtherCluster {
        /// The cluster of the other endpoints.
        expected: u64,
        /// The cluster of this one.
        found: u64,
    },
    /// etcd refused it for another reason.
    #[error("it refuses: {0}")]
    Rejected(String),

    /// No answer came.
    #[error("no answer within {0:?}. The member is overloaded, frozen or cut off")]
    Silent(Duration),
    /// etcd itself gave up waiting.
    #[error("it gave up: {0}. Its cluster is overloaded, or changing its leader")]
    GaveUp(String),
    /// The answer is longer than we read.
    #[error("the answer is too long: {0}. Somebody keeps large values among our keys")]
    TooLong(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
}

impl Cause {
    /// Whether a request that ended so may have been carried out, or still be.
    pub(super) fn leaves_outcome_open(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::GaveUp(_) | Self::TooLong(_) | Self::Lost(_))
    }

    /// Whether the connection, or the login that belongs to it, is of no more use.
    pub(super) fn spoils_connection(&self) -> bool {
        matches!(
            self,
            Self::LoginExpired
                | Self::NoUser
                | Self::Lost(_)
                | Self::BrokenOff(_)
                | Self::Refused
                | Self::Unreachable(_)
        )
    }

    /// Whether it lasts until somebody mends it.
    pub(super) fn lasts(&self) -> bool {
        self.pace() == Pace::SLOW
    }

    /// How soon it is worth to try again.
    pub(super) fn pace(&self) -> Pace {
        match self {
            Self::Refused
            | Self::Unreachable(_)
            | Self::OnlyVip(_)
            | Self::NoPlainText(_)
            | Self::BrokenOff(_)
            | Self::LoginExpired
            | Self::NoLeader
            | Self::Silent(_)
            | Self::GaveUp(_)
            | Self::TooLong(_)
            | Self::Lost(_) => Pace::BRISK,
            Self::BadEndpoint(_)
            | Self::NoCa
            | Self::File { .. }
            | Self::BadCertificates(_)
            | Self::UntrustedServer(_)
            | Self::WrongHost(_)
            | Self::Expired(_)
            | Self::UntrustedClient(_)
            | Self::NoTls(_)
            | Self::WrongPassword
            | Self::AuthenticationOff
            | Self::NoUser
            | Self::Denied
            | Self::Full
            | Self::OtherCluster { .. }
            | Self::Rejected(_) => Pace::SLOW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_tried_on_what_what_came_back_and_what_to_do() {
        let failure = Failure {
            endpoint: "https://10.0.0.1:2379".to_owned(),
            errand: Errand::Connect,
            cause: Cause::UntrustedServer("UnknownIssuer".to_owned()),
        };
        assert_eq!(
            failure.to_string(),
            "cannot connect to etcd at https://10.0.0.1:2379: its certificate is not signed by the CA in caFile \
             (UnknownIssuer). Is caFile the CA of this etcd?"
        );
    }
}
