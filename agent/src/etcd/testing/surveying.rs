//! What a survey finds, and that it leaves nothing behind.

use super::login::{guarded, user};
use super::*;
use crate::etcd::{Member, Surveyor};

fn surveyor(settings: Settings) -> Surveyor {
    Surveyor::new(settings, "cp-1".parse().unwrap())
}

fn only(survey: &crate::etcd::Survey) -> &Member {
    survey.members[0].1.as_ref().unwrap()
}

#[tokio::test]
async fn a_survey_finds_what_there_is_and_leaves_every_revision_as_it_was() {
    let server = Server::start().await;
    let (_etcd, revision) = begun(settings([server.url()])).await;
    let mut client = server.client().await;
    let log_before = client.status().await.unwrap().raft_index();
    let survey = surveyor(settings([server.url()])).survey().await;

    let member = only(&survey);
    let status = client.status().await.unwrap();
    assert_eq!(member.version, status.version());
    assert!(member.size > 0 && member.in_use > 0 && member.in_use <= member.size, "{member:?}");
    assert_eq!((member.is_full, member.is_corrupt, member.compacted), (false, false, 0));
    assert_eq!(member.shortest_lease, Some(2), "etcd's default election time-out is 1 s");
    let commits = survey.commits.clone().unwrap().unwrap();
    assert!(!commits.median.is_zero() && commits.median <= commits.slowest);
    assert!(status.raft_index() >= log_before + 20, "a commit that is timed goes through the log");

    assert_eq!((member.revision, status.header().unwrap().revision()), (revision, revision));
    assert!(client.leases().await.unwrap().leases().is_empty());
}

#[tokio::test]
async fn a_short_election_timeout_shows() {
    let quick = ["--heartbeat-interval", "50", "--election-timeout", "500"];
    let server = Server::start_with("http", &quick).await;
    let survey = surveyor(settings([server.url()])).survey().await;
    assert_eq!(only(&survey).shortest_lease, Some(1));
}

#[tokio::test]
async fn the_last_compaction_is_found_wherever_it_was() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut surveyor = surveyor(settings([server.url()]));
    for count in 0..40 {
        client.put("/somebody/else", format!("{count}"), None).await.unwrap();
    }
    assert_eq!(only(&surveyor.sizes().await).compacted, 0);
    for compacted in [2, 3, 17, 40, 41] {
        client.compact(compacted, None).await.unwrap();
        let survey = surveyor.sizes().await;
        assert_eq!((only(&survey).compacted, only(&survey).revision), (compacted, 41));
    }
}

#[tokio::test]
async fn a_full_etcd_is_told_of() {
    let server = Server::start_with("http", &["--quota-backend-bytes", "100000"]).await;
    let mut client = server.client().await;
    let begin = Instant::now();
    while client.put("/somebody/else", vec![7; 20_000], None).await.is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it takes whatever it gets");
    }
    let begin = Instant::now();
    let survey = loop {
        let survey = surveyor(settings([server.url()])).survey().await;
        if only(&survey).is_full || begin.elapsed() > Duration::from_secs(10) {
            break survey;
        }
    };
    assert!(only(&survey).is_full);
    assert_eq!(survey.commits.unwrap().unwrap_err().cause, Cause::Full);
}

#[tokio::test]
async fn who_may_not_write_our_keys_is_told_and_who_may_needs_no_more() {
    let server = guarded("300").await;
    let ours = surveyor(user(&server, "mantle", "swordfish")).survey().await;
    assert!(matches!(ours.commits, Some(Ok(_))), "{ours:?}");
    assert_eq!(only(&ours).shortest_lease, Some(2));

    let elsewhere = Settings { prefix: "/mantle/other/".to_owned(), ..user(&server, "mantle", "swordfish") };
    let survey = surveyor(elsewhere).survey().await;
    assert_eq!(survey.members[0].1.as_ref().unwrap_err().cause, Cause::Denied);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told_beside_the_others_and_found_when_it_is_back() {
    let (one, mut other) = (Server::start().await, Server::start().await);
    let mut surveyor = surveyor(settings([one.url(), other.url(), nobody_listens()]));
    let found =
        |survey: &crate::etcd::Survey| survey.members.iter().map(|(_, member)| member.is_ok()).collect();
    let before: Vec<_> = found(&surveyor.sizes().await);
    other.stop();
    let without: Vec<_> = found(&surveyor.sizes().await);
    other.run().await;
    let after: Vec<_> = found(&surveyor.sizes().await);
    let (all, less) = ([true, true, false], [true, false, false]);
    assert_eq!((before.as_slice(), without.as_slice(), after.as_slice()), (&all[..], &less[..], &all[..]));
}
