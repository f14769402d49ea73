//! Against the kernel itself, in a network namespace.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::TryStreamExt;
use rtnetlink::IpVersion;
use rtnetlink::packet_route::rule::RuleAction;
use tokio::time::timeout;

use super::super::namespace::{Ground, in_namespace};
use super::*;

const VIP: &str = "10.9.0.9";
const VIP6: &str = "fd09::9";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two links in networks of their own; the default route is on the second. Gives their indices.
async fn furnish(ground: &Ground) -> [u32; 2] {
    let first = ground.pair("v0", "v1").await;
    let second = ground.pair("w0", "w1").await;
    for (index, address, prefix) in [(first, "10.9.0.1", 24), (second, "10.8.0.1", 24), (first, VIP, 32)] {
        ground.add_address(index, address, prefix).await;
    }
    for (index, address, prefix) in [(first, "fd09::1", 64), (first, VIP6, 128)] {
        ground.add_address(index, address, prefix).await;
    }
    ground.add_default_route(second).await;
    [first, second]
}

fn replies(index: u32, gateways: &[&str]) -> ReplyLink {
    let gateways = gateways.iter().map(|gateway| ip(gateway)).collect();
    ReplyLink { index, vips: vec![ip(VIP), ip(VIP6)], gateways }
}

fn there() -> (usize, usize) {
    let mut talk = Talk::open().unwrap();
    let routes = talk.routes().unwrap().into_iter().filter(|route| route.table >= TABLES).count();
    (talk.rules().unwrap().len(), routes)
}

#[test]
fn what_is_wanted_is_made_once_kept_and_taken_away() {
    in_namespace(async |ground| {
        let [first, second] = furnish(&ground).await;
        assert_eq!(lead_replies(&[]), Ok(0));
        let wanted = [replies(first, &["10.9.0.254", "fe80::1"])];
        // By rule: two; by route: the connected ones (10.9.0.0/24, fd09::/64, fd09::9, fe80::/64) and two gateways.
        assert_eq!(lead_replies(&wanted), Ok(8));
        assert_eq!(there(), (2, 6));
        assert_eq!(lead_replies(&wanted), Ok(0), "what is there is known again");
        // The main table's way off the link is as good as one that is written down.
        assert_eq!(lead_replies(&[replies(first, &[])]), Ok(2));
        assert_eq!(there(), (2, 4));
        // Another link: all of it is another.
        assert!(lead_replies(&[replies(second, &[])]).is_ok());
        assert_eq!(there().0, 2);
        assert!(lead_replies(&[]).is_ok());
        assert_eq!(there(), (0, 0), "nothing is left");
    });
}

#[test]
fn what_somebody_else_has_stays() {
    in_namespace(async |ground| {
        let [first, _] = furnish(&ground).await;
        let foreign = ground.handle.rule().add().v4().source_prefix("10.9.0.9".parse().unwrap(), 32);
        foreign.table_id(7).action(RuleAction::ToTable).execute().await.unwrap();
        lead_replies(&[replies(first, &[])]).unwrap();
        lead_replies(&[]).unwrap();
        let rules: Vec<_> = ground.handle.rule().get(IpVersion::V4).execute().try_collect().await.unwrap();
        assert!(rules.iter().any(|rule| rule.header.table == 7), "{rules:?}");
    });
}

#[test]
fn what_is_sent_in_the_vips_name_leaves_by_its_link() {
    in_namespace(async |ground| {
        let [first, _] = furnish(&ground).await;
        let mut changes = RouteChanges::open().unwrap();
        lead_replies(&[replies(first, &["10.9.0.254"])]).unwrap();
        timeout(Duration::from_secs(5), changes.next()).await.unwrap().unwrap();
        let way = ground.route_from(ip(VIP), ip("192.0.2.1")).await;
        assert_eq!(way, Some(first));
        lead_replies(&[]).unwrap();
        assert_ne!(ground.route_from(ip(VIP), ip("192.0.2.1")).await, Some(first));
    });
}
