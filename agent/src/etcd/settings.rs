//! Where etcd is and how to log in, as plain data.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::source::SourceBook;

/// Where etcd is, how to log in, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The members' client URLs, the preferred one first.
    pub endpoints: Vec<String>,
    /// What every key of ours begins with: prefix and cluster, ending in `/`.
    pub prefix: String,
    /// Certificates; needed for `https://` endpoints.
    pub tls: Option<Tls>,
    /// User and password, if etcd asks for them.
    pub user: Option<User>,
    /// How long one try of a transaction may take before the next endpoint is asked; the last one has what time is left.
    pub try_timeout: Duration,
    /// How long a renewal waits at most before it is sent to a second endpoint as well: no longer than a try may take, and
    /// no longer than this.
    pub hedge_within: Duration,
    /// How long a connection may take until it is usable: TCP, TLS, login and a first answer. A page of a list and the
    /// beginning of a watch may take as long.
    pub connect_timeout: Duration,
    /// Which of the node's addresses connections are made from.
    pub sources: SourceBook,
}

/// The files for TLS. They are read again for each connection, so that renewed certificates need no restart.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The CA certificates that etcd's own must be signed by (PEM).
    pub ca: PathBuf,
    /// Our certificate and its key (PEM), if etcd asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A user of etcd's.
#[derive(Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl Settings {
    /// Settings for these endpoints and this prefix, without TLS or user and with the default times.
    pub fn new(endpoints: Vec<String>, prefix: impl Into<String>) -> Self {
        Self {
            endpoints,
            prefix: prefix.into(),
            tls: None,
            user: None,
            try_timeout: Duration::from_millis(150),
            hedge_within: Duration::from_millis(150),
            connect_timeout: Duration::from_secs(1),
            sources: SourceBook::default(),
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let mut settings = Settings::new(vec!["http://127.0.0.1:2379".to_owned()], "/mantle/default/");
        settings.user = Some(User { name: "mantle".to_owned(), password: "swordfish".to_owned() });
        let printed = format!("{settings:?}");
        assert!(printed.contains("mantle") && !printed.contains("swordfish"), "{printed}");
    }
}
