//! Certificates: right ones, wrong ones, renewed ones.

use std::path::Path;

use super::certificates::Authority;
use super::*;
use crate::etcd::Tls;

/// An etcd with a certificate for `host` that wants one from its clients.
async fn secured(authority: &Authority, host: &str) -> Server {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (certificate, key) = authority.issue(host);
    let (certificate, key, ca) = (text(&certificate), text(&key), text(&authority.ca()));
    let arguments =
        ["--cert-file", &certificate, "--key-file", &key, "--client-cert-auth", "--trusted-ca-file", &ca];
    Server::start_with("https", &arguments).await
}

fn trusting(server: &Server, authority: &Authority, client: Option<&Authority>) -> Settings {
    let tls = Tls { ca: authority.ca(), identity: client.map(|client| client.issue("client.example")) };
    Settings { tls: Some(tls), ..settings([server.url()]) }
}

#[tokio::test]
async fn with_the_right_certificates_all_is_well() {
    let ours = Authority::new();
    let server = secured(&ours, "127.0.0.1").await;
    begun(trusting(&server, &ours, Some(&ours))).await;
    // An endpoint without a scheme is https where certificates are configured.
    let bare = Settings {
        endpoints: vec![format!("127.0.0.1:{}", server.port)],
        prefix: "/mantle/bare/".to_owned(),
        ..trusting(&server, &ours, Some(&ours))
    };
    begun(bare).await;
}

#[tokio::test]
async fn with_wrong_certificates_the_failure_names_which() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = secured(&ours, "127.0.0.1").await;

    let cause = refused(trusting(&server, &theirs, Some(&ours))).await;
    assert!(matches!(cause, Cause::UntrustedServer(_)), "{cause:?}");
    for client in [None, Some(&theirs)] {
        let cause = refused(trusting(&server, &ours, client)).await;
        // The alert that says so and the end of the connection race each other.
        assert!(matches!(cause, Cause::UntrustedClient(_) | Cause::BrokenOff(_)), "{cause:?}");
    }
    assert_eq!(refused(settings([server.url()])).await, Cause::NoCa);

    let gone = Tls { ca: "nowhere.pem".into(), identity: None };
    let cause = refused(Settings { tls: Some(gone), ..settings([server.url()]) }).await;
    assert!(matches!(&cause, Cause::File { path, .. } if path == Path::new("nowhere.pem")), "{cause:?}");

    let swapped =
        Tls { ca: ours.ca(), identity: Some((ours.issue("a.example").1, ours.issue("a.example").0)) };
    let cause = refused(Settings { tls: Some(swapped), ..settings([server.url()]) }).await;
    assert!(matches!(cause, Cause::BadCertificates(_)), "{cause:?}");
}

#[tokio::test]
async fn a_certificate_made_out_to_another_host_is_not_taken() {
    let ours = Authority::new();
    let server = secured(&ours, "other.example").await;
    let cause = refused(trusting(&server, &ours, Some(&ours))).await;
    assert!(matches!(cause, Cause::WrongHost(_)), "{cause:?}");
}

#[tokio::test]
async fn http_and_https_are_not_mistaken_for_each_other() {
    let ours = Authority::new();
    let server = secured(&ours, "127.0.0.1").await;
    let http = server.url().replace("https", "http");
    let cause = refused(settings([http])).await;
    assert!(matches!(cause, Cause::NoPlainText(_)), "{cause:?}");

    let plain = Server::start().await;
    let https = plain.url().replace("http", "https");
    let cause = refused(Settings { endpoints: vec![https], ..trusting(&server, &ours, None) }).await;
    assert!(matches!(cause, Cause::NoTls(_) | Cause::BrokenOff(_)), "{cause:?}");
}

#[tokio::test]
async fn a_renewed_certificate_needs_no_restart() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = secured(&ours, "127.0.0.1").await;
    let settings = trusting(&server, &ours, Some(&theirs));
    let (file, _) = settings.tls.as_ref().unwrap().identity.clone().unwrap();
    let etcd = Etcd::new(settings);
    assert_eq!(etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await.answer, Answer::Failed);

    ours.issue_to("client.example", &file.with_extension(""));
    sleep(Duration::from_millis(1500)).await;
    let committed = etcd.commit(&put("vip/10.0.0.1", 0), OVERALL).await;
    assert!(matches!(committed.answer, Answer::Done(_)), "{committed:?} {:?}", etcd.status());
}
