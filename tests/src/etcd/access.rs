//! How the lab's own client gets to a cluster.

use std::future::Future;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, Permission};

use super::{EtcdOptions, Tls};

/// The password of the cluster's root, which only the lab uses.
const ROOT_PASSWORD: &str = "the lab's own";

/// How long any one call may take: a member that cannot answer now is asked again by whoever waits for it.
const CALL: Duration = Duration::from_secs(2);

/// What it takes to connect to any member.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    tls: Option<Tls>,
    user: Option<(String, String)>,
}

impl Access {
    /// Before the cluster has users.
    pub(super) fn open(tls: Option<&Tls>) -> Self {
        Self { tls: tls.cloned(), user: None }
    }

    /// As root, where the cluster has users.
    pub(super) fn as_root(tls: Option<&Tls>, options: &EtcdOptions) -> Self {
        let user = options.user.as_ref().map(|_| ("root".to_owned(), ROOT_PASSWORD.to_owned()));
        Self { tls: tls.cloned(), user }
    }

    /// Connects to one member. No call on the connection is given a time limit: a watch has none.
    pub(crate) async fn connect(&self, endpoint: &str) -> Result<Client, Error> {
        let mut options = ConnectOptions::new().with_connect_timeout(CALL);
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.options());
        }
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password);
        }
        Client::connect([endpoint], Some(options)).await
    }
}

/// A call that ends in any case.
pub(super) async fn bounded<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(CALL, call).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {CALL:?}")),
    }
}

/// Makes root and the agents' user, who may do no more than Mantle needs, and turns authentication on. What an earlier try
/// made whose answer did not come in time is taken as made.
pub(super) async fn enable_users(mut client: Client, user: &str, password: &str) -> Result<(), Error> {
    unless_there(client.role_add("root").await)?;
    unless_there(client.user_add("root", ROOT_PASSWORD, None).await)?;
    client.user_grant_role("root", "root").await?;
    unless_there(client.role_add("mantle").await)?;
    client.role_grant_permission("mantle", Permission::read_write("/mantle/").with_prefix()).await?;
    unless_there(client.user_add(user, password, None).await)?;
    client.user_grant_role(user, "mantle").await?;
    client.auth_enable().await?;
    Ok(())
}

fn unless_there<T>(made: Result<T, Error>) -> Result<(), Error> {
    match made {
        Err(error) if !error.to_string().contains("already exists") => Err(error),
        _ => Ok(()),
    }
}
