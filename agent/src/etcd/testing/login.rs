//! User and password.

use super::*;
use crate::etcd::User;

/// An etcd whose logins last as many seconds, with a user `mantle` who may touch our keys and nothing else.
pub(super) async fn guarded(ttl: &str) -> Server {
    let server = Server::start_with("http", &["--auth-token-ttl", ttl]).await;
    let mut root = server.client().await;
    root.user_add("root", "root", None).await.unwrap();
    root.role_add("root").await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.user_add("mantle", "swordfish", None).await.unwrap();
    root.role_add("mantle").await.unwrap();
    let ours = etcd_client::Permission::read_write(PREFIX).with_prefix();
    root.role_grant_permission("mantle", ours).await.unwrap();
    root.user_grant_role("mantle", "mantle").await.unwrap();
    root.auth_enable().await.unwrap();
    server
}

pub(super) fn user(server: &Server, name: &str, password: &str) -> Settings {
    let user = User { name: name.to_owned(), password: password.to_owned() };
    Settings { user: Some(user), ..settings([server.url()]) }
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why() {
    let server = guarded("300").await;
    assert_eq!(refused(user(&server, "mantle", "wrong")).await, Cause::WrongPassword);
    assert_eq!(refused(user(&server, "nobody", "swordfish")).await, Cause::WrongPassword);
    assert_eq!(refused(settings([server.url()])).await, Cause::NoUser);
    let elsewhere = Settings { prefix: "/mantle/other/".to_owned(), ..user(&server, "mantle", "swordfish") };
    assert_eq!(refused(elsewhere).await, Cause::Denied);

    let open = Server::start().await;
    assert_eq!(refused(user(&open, "mantle", "swordfish")).await, Cause::AuthenticationOff);
}

#[tokio::test]
async fn a_refused_password_is_not_tried_again_at_once() {
    let server = guarded("300").await;
    let etcd = Etcd::new(user(&server, "mantle", "wrong"));
    etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await;
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await.answer, Answer::Failed);
    }
    assert!(begin.elapsed() < Duration::from_millis(300), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_login_that_ran_out_is_made_anew_within_the_transaction() {
    let server = guarded("1").await;
    let (etcd, revision) = begun(user(&server, "mantle", "swordfish")).await;
    sleep(Duration::from_secs(4)).await;
    let committed = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await;
    assert!(matches!(committed.answer, Answer::Done(_)), "{committed:?} {:?}", etcd.status());
}

#[tokio::test]
async fn a_login_that_a_restart_forgot_is_made_anew() {
    let mut server = guarded("300").await;
    let (etcd, mut revision) = begun(user(&server, "mantle", "swordfish")).await;
    server.stop();
    server.run().await;
    let begin = Instant::now();
    let mut left = 2;
    while left > 0 {
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", etcd.status());
        if let Answer::Done(done) = etcd.commit(&put("vip/10.0.0.1", revision), OVERALL).await.answer {
            revision = done;
            left -= 1;
        }
    }
}
