//! The metrics, built from the snapshot and the counters when somebody asks. `docs/metrics.md` lists them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter;
use prometheus_client::registry::{Registry, Unit};

use crate::dataplane::Counter;
use crate::etcd::{Member, Survey};
use crate::health::CheckLook;
use mantle_protocol::{Health, Instant, Role};

use super::counters::Latencies;
use super::status::{Fence, LinkMode, SessionState};
use super::{Counters, Feed, Snapshot};

/// The media type of what [`text`](Metrics::text) gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of the agent behind a feed.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// The metrics of what `feed` shows.
    pub fn new(feed: Feed) -> Self {
        let mut registry = Registry::with_prefix("mantle");
        registry.register_collector(Box::new(Scrape(feed)));
        Self(registry)
    }

    /// The metrics as of now, in the `OpenMetrics` text format.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Scrape(Feed);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let snapshot = self.0.snapshot();
        page.agent(&snapshot, &self.0)?;
        page.session(&snapshot, self.0.now())?;
        page.vips(&snapshot, self.0.now())?;
        page.checks(&snapshot)?;
        page.kernel(&snapshot)?;
        page.others(&snapshot, self.0.now())?;
        if let Some(survey) = self.0.survey() {
            page.survey(&survey)?;
        }
        page.choices(self.0.counters())?;
        page.counters(self.0.counters())
    }
}

/// What the kernel program counts, and by which labels each is told beside the VIP.
type Kinds<'a, const N: usize> = [(&'a [(&'a str, &'a str)], Counter); N];

/// The metrics page, written from top to bottom.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn agent(&mut self, snapshot: &Snapshot, feed: &Feed) -> fmt::Result {
        self.info("build", "The agent", &[("version", snapshot.node.agent_version)])?;
        let node = &snapshot.node;
        let fence = match snapshot.mode() {
            Fence::Lifetime => "lifetime",
            Fence::Kernel => "kernel",
        };
        let labels = [("node", node.name.as_str()), ("cluster", &*node.cluster), ("mode", fence)];
        self.info("node", "The node, and the strongest fence it can use", &labels)?;
        let age = feed.heartbeat_age().as_secs_f64();
        self.seconds("heartbeat_age", "How long ago the core thread last moved", age)
    }

    fn session(&mut self, snapshot: &Snapshot, now: Instant) -> fmt::Result {
        let live = snapshot.session.state == SessionState::Live;
        self.gauge("session_live", "Whether etcd acknowledges the node's session", live)?;
        let left = snapshot.right_left(now).as_secs_f64();
        self.seconds("right_left", "How long the node may still act as owner without a renewal", left)
    }

    fn vips(&mut self, snapshot: &Snapshot, now: Instant) -> fmt::Result {
        let each = |value: &dyn Fn(&super::snapshot::Vip) -> i64| -> Vec<_> {
            let labels =
                |vip: &super::snapshot::Vip| [("vip", vip.vip.to_string()), ("link", vip.link.to_string())];
            snapshot.vips.iter().map(|vip| (labels(vip), value(vip))).collect()
        };
        let owner = each(&|vip| snapshot.owns(vip, now).into());
        self.gauges("vip_owner", "Whether this node is the VIP's owner", owner)?;
        let ready = each(&|vip| vip.ready.into());
        self.gauges("vip_ready", "Whether this node is ready for the VIP", ready)?;
        let forwarding = each(&|vip| matches!(vip.stance, Role::Forwarding { .. }).into());
        let help = "Whether the node has handed the VIP over and serves the connections it still has";
        self.gauges("vip_forwarding", help, forwarding)?;
        let left = each(&|vip| vip.connections.map_or(0, |count| i64::try_from(count).unwrap_or(i64::MAX)));
        let help = "How many connections are left of the VIP that was handed over";
        self.gauges("vip_draining_connections", help, left)?;
        let epoch = each(&|vip| vip.epoch);
        self.gauges("vip_epoch", "The mod revision of the VIP's record as this node knows it", epoch)
    }

    /// What the checks say; a check that nothing has decided yet has no health.
    fn checks(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let labels = |check: &CheckLook| [("check", check.name.to_string())];
        let healthy = snapshot.checks.iter().filter(|check| check.health != Health::Unknown);
        let healthy = healthy.map(|check| (labels(check), i64::from(check.health == Health::Good)));
        self.gauges("check_healthy", "Whether the check counts as succeeding", healthy)?;
        let help = "How long the last try of the check took";
        let unit = Some(&Unit::Seconds);
        let mut family = self.0.encode_descriptor("check_took", help, unit, MetricType::Gauge)?;
        for check in &snapshot.checks {
            if let Some(last) = &check.last {
                family.encode_family(&labels(check))?.encode_gauge(&last.took.as_secs_f64())?;
            }
        }
        let help = "How often the check was tried";
        self.tried("check_tries", help, snapshot, |check| check.tries)?;
        let help = "How many tries of the check failed";
        self.tried("check_failures", help, snapshot, |check| check.failures)
    }

    fn tried(
        &mut self,
        name: &str,
        help: &str,
        snapshot: &Snapshot,
        count: fn(&CheckLook) -> u64,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for check in &snapshot.checks {
            let (labels, count) = ([("check", &*check.name)], count(check));
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    /// What the kernel program does, and where.
    fn kernel(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let modes = snapshot.links.iter().map(|link| {
            ([("link", link.link.to_string()), ("mode", LinkMode::from(link.mode).name().to_owned())], 1)
        });
        self.gauges("link_mode", "Where the kernel program meets what arrives on the link", modes)?;
        let help = "What the kernel program answered for the VIP";
        let kinds: Kinds<'_, 2> =
            [(&[("kind", "arp")], Counter::AnsweredArp), (&[("kind", "ns")], Counter::AnsweredNs)];
        self.counted("vip_answers", help, snapshot, kinds)?;
        let help = "What the kernel program dropped because this node may not act as the VIP's owner";
        let kinds: Kinds<'_, 4> = [
            (&[("what", "arp")], Counter::DroppedArp),
            (&[("what", "ns")], Counter::DroppedNs),
            (&[("what", "ip")], Counter::DroppedIp),
            (&[("what", "out")], Counter::DroppedOut),
        ];
        self.counted("vip_dropped", help, snapshot, kinds)?;
        let help = "What came for the VIP in a handoff and was sent to the other node by the kernel program";
        let kinds: Kinds<'_, 2> =
            [(&[("way", "on")], Counter::Forwarded), (&[("way", "back")], Counter::SentBack)];
        self.counted("vip_relayed", help, snapshot, kinds)?;
        let help =
            "What was to be sent to the other node in a handoff, dropped at the end of its time to live";
        self.counted("vip_expired", help, snapshot, [(&[], Counter::Expired)])?;
        let help = "Claims of the VIP by another MAC while this node was owner";
        self.counted("vip_conflicts", help, snapshot, [(&[], Counter::Conflicts)])
    }

    fn counted<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        snapshot: &Snapshot,
        kinds: Kinds<'_, N>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for vip in &snapshot.vips {
            let Some(counters) = vip.counters else { continue };
            let vip = vip.vip.to_string();
            for (labels, counter) in kinds {
                let labels = [&[("vip", &*vip)], labels].concat();
                let count = counters.of(counter);
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn others(&mut self, snapshot: &Snapshot, now: Instant) -> fmt::Result {
        let live = snapshot.peers.iter().map(|peer| {
            let live = now.since(peer.heard_at) < peer.silence;
            ([("node", peer.node.to_string())], i64::from(live))
        });
        self.gauges("peer_live", "Whether another node's renewals are seen", live)?;
        let connected = snapshot.etcd.connected;
        self.gauge("etcd_connected", "Whether any etcd endpoint answers", connected)?;
        let up = snapshot
            .etcd
            .endpoints
            .iter()
            .map(|endpoint| ([("endpoint", endpoint.url.to_string())], i64::from(endpoint.ok)));
        self.gauges("etcd_endpoint_up", "Whether the last call to the etcd endpoint succeeded", up)
    }

    /// What etcd was like when it was last looked at.
    fn survey(&mut self, survey: &Survey) -> fmt::Result {
        let each = |value: &dyn Fn(&Member) -> i64| -> Vec<_> {
            survey.answering().map(|(url, member)| ([("endpoint", url.to_owned())], value(member))).collect()
        };
        let versions = survey
            .answering()
            .map(|(url, member)| ([("endpoint", url.to_owned()), ("version", member.version.clone())], 1));
        self.gauges("etcd_version", "The etcd member's version", versions)?;
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let size = each(&|member| whole(member.size));
        self.gauges("etcd_db_size_bytes", "The size of the etcd member's database", size)?;
        let in_use = each(&|member| whole(member.in_use));
        self.gauges("etcd_db_in_use_bytes", "How much of the etcd member's database is in use", in_use)?;
        let quota = each(&|member| member.quota.map_or(0, whole));
        self.gauges(
            "etcd_db_quota_bytes",
            "The largest the etcd member's database may be, if it tells",
            quota,
        )?;
        let alarms = survey.answering().flat_map(|(url, member)| {
            let alarm = |name: &str, is_raised: bool| {
                ([("endpoint", url.to_owned()), ("alarm", name.to_owned())], i64::from(is_raised))
            };
            [alarm("nospace", member.is_full), alarm("corrupt", member.is_corrupt)]
        });
        self.gauges("etcd_alarm", "Whether the etcd member has raised the alarm", alarms)?;
        let uncompacted = each(&|member| member.revision - member.compacted);
        self.gauges("etcd_uncompacted_revisions", "Revisions since etcd's last compaction", uncompacted)?;

        let mut family = self.0.encode_descriptor(
            "etcd_election_timeout",
            "The most that the etcd member's election time-out can be",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (url, member) in survey.answering() {
            if let Some((_, most)) = member.election_timeout() {
                family.encode_family(&[("endpoint", url)])?.encode_gauge(&most.as_secs_f64())?;
            }
        }
        if let Some(Ok(commits)) = &survey.commits {
            let help = "How long half of the commits took when the agent looked at etcd at its start";
            self.seconds("etcd_commit_median", help, commits.median.as_secs_f64())?;
            let help = "How long the slowest commit took when the agent looked at etcd at its start";
            self.seconds("etcd_commit_slowest", help, commits.slowest.as_secs_f64())?;
        }
        Ok(())
    }

    /// Which of the node's addresses others are to use.
    fn choices(&mut self, counters: &Counters) -> fmt::Result {
        let shown = counters.choices.shown();
        let chosen = shown.iter().flat_map(|choice| {
            let labels =
                |address: &String| [("purpose", choice.purpose.clone()), ("address", address.clone())];
            choice.addresses.iter().map(move |address| (labels(address), 1))
        });
        self.gauges("address_chosen", "An address that is chosen for a purpose", chosen)?;
        let stale =
            shown.iter().map(|choice| ([("purpose", choice.purpose.clone())], i64::from(choice.stale)));
        let help = "Whether the addresses in force are old ones, or none, for want of what was asked for";
        self.gauges("addresses_stale", help, stale)?;
        let help = "How often a choice of addresses changed";
        let mut family = self.0.encode_descriptor("addresses_changes", help, None, MetricType::Counter)?;
        for choice in &shown {
            let labels = [("purpose", choice.purpose.clone())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&choice.changes, None)?;
        }
        Ok(())
    }

    fn counters(&mut self, counters: &Counters) -> fmt::Result {
        let renewals = &counters.renewals;
        let by_result = [
            ("acknowledged", &renewals.acknowledged),
            ("refused", &renewals.refused),
            ("failed", &renewals.failed),
            ("unknown", &renewals.unknown),
        ];
        let help = "Renewals of the session, by what became of them";
        let mut family = self.0.encode_descriptor("renewals", help, None, MetricType::Counter)?;
        for (result, counter) in by_result {
            let labels = [("result", result)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&counter.get(), None)?;
        }

        self.histogram("renewal", "How long acknowledged renewals took", &counters.renewal_time)?;
        let help = "How late the core thread was when something was due";
        self.histogram("core_lateness", help, &counters.lateness)?;
        self.counter("claims", "VIPs claimed whose record named nobody", &counters.claims)?;
        let help = "VIPs handed over to another node";
        self.counter("handoffs", help, &counters.handoffs)?;
        self.counter("takeovers", "VIPs taken over from a silent owner", &counters.takeovers)?;
        self.counter("releases", "VIPs given up on purpose, to nobody", &counters.releases)?;
        self.counter("lapses", "VIPs dropped because the right ended", &counters.lapses)?;
        self.counter("announcements", "Frames sent to announce a VIP", &counters.announcements)?;
        let help = "Announcements that had to be sent again";
        self.counter("announce_retries", help, &counters.announce_retries)?;
        let help = "Addresses of worn VIPs that somebody else removed and the agent put back";
        self.counter("address_restored", help, &counters.address_restored)?;
        let help = "Watches on etcd that had to be opened again";
        self.counter("watch_restarts", help, &counters.watch_restarts)?;
        let help = "Values found in Mantle's keys that are not Mantle's";
        self.counter("garbage", help, &counters.garbage)
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn gauge(&mut self, name: &str, help: &str, value: bool) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&i64::from(value))
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, i64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Latencies) -> fmt::Result {
        let buckets = times.buckets();
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.0
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(times.sum(), count, &buckets, None)
    }

    fn counter(&mut self, name: &str, help: &str, counter: &counter::Counter) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&counter.get(), None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::super::{feed, sample};
    use super::*;
    use mantle_protocol::Answer;

    const DOCS: &str = include_str!("../../../docs/metrics.md");

    fn text() -> String {
        let (publisher, feed) = feed(sample::snapshot(), sample::clock);
        publisher.counters().takeovers.inc();
        feed.surveyed(sample::survey());
        publisher.counters().renewed(&Answer::Done(1), Duration::from_micros(1500));
        let choices = &publisher.counters().choices;
        choices.show("kubelet".to_owned(), vec!["10.0.0.5".to_owned()], false, true);
        choices.show("kubelet".to_owned(), vec!["10.0.0.6".to_owned()], true, true);
        Metrics::new(feed).text().unwrap()
    }

    /// Name (as scraped) and type of every metric, from the TYPE lines.
    fn types(text: &str) -> BTreeMap<String, &str> {
        let declared: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, kind)| match kind {
                "counter" => (format!("{name}_total"), kind),
                "info" => (format!("{name}_info"), kind),
                _ => (name.to_owned(), kind),
            })
            .collect();
        let types: BTreeMap<_, _> = declared.iter().cloned().collect();
        assert_eq!(types.len(), declared.len(), "a metric is declared twice");
        types
    }

    #[test]
    fn the_values_are_the_snapshots() {
        let text = text();
        for line in [
            "mantle_vip_owner{vip=\"192.168.0.15\",link=\"enp0s2\"} 1",
            "mantle_vip_owner{vip=\"fd00::15\",link=\"enp0s2\"} 0",
            "mantle_vip_ready{vip=\"192.168.7.1\",link=\"enp0s9\"} 0",
            "mantle_vip_epoch{vip=\"192.168.0.15\",link=\"enp0s2\"} 5310",
            "mantle_right_left_seconds 0.812",
            "mantle_session_live 1",
            "mantle_etcd_endpoint_up{endpoint=\"http://10.0.0.2:2379\"} 0",
            "mantle_etcd_version{endpoint=\"http://10.0.0.1:2379\",version=\"3.5.21\"} 1",
            "mantle_etcd_db_size_bytes{endpoint=\"http://10.0.0.1:2379\"} 20971520",
            "mantle_etcd_db_in_use_bytes{endpoint=\"http://10.0.0.1:2379\"} 10485760",
            "mantle_etcd_db_quota_bytes{endpoint=\"http://10.0.0.1:2379\"} 2147483648",
            "mantle_etcd_alarm{endpoint=\"http://10.0.0.1:2379\",alarm=\"nospace\"} 1",
            "mantle_etcd_alarm{endpoint=\"http://10.0.0.1:2379\",alarm=\"corrupt\"} 0",
            "mantle_etcd_uncompacted_revisions{endpoint=\"http://10.0.0.1:2379\"} 321",
            "mantle_etcd_election_timeout_seconds{endpoint=\"http://10.0.0.1:2379\"} 2.0",
            "mantle_etcd_commit_median_seconds 0.001",
            "mantle_etcd_commit_slowest_seconds 0.003",
            "mantle_takeovers_total 1",
            "mantle_renewals_total{result=\"acknowledged\"} 1",
            "mantle_renewal_seconds_bucket{le=\"0.001\"} 0",
            "mantle_renewal_seconds_bucket{le=\"0.002\"} 1",
            "mantle_renewal_seconds_bucket{le=\"+Inf\"} 1",
            "mantle_node_info{node=\"cp-1\",cluster=\"default\",mode=\"kernel\"} 1",
            "mantle_link_mode{link=\"enp0s2\",mode=\"tc\"} 1",
            "mantle_vip_answers_total{vip=\"192.168.0.15\",kind=\"arp\"} 4821",
            "mantle_vip_answers_total{vip=\"fd00::15\",kind=\"ns\"} 0",
            "mantle_vip_dropped_total{vip=\"192.168.0.15\",what=\"arp\"} 3",
            "mantle_vip_dropped_total{vip=\"192.168.0.15\",what=\"ns\"} 0",
            "mantle_vip_dropped_total{vip=\"192.168.0.15\",what=\"ip\"} 17",
            "mantle_vip_dropped_total{vip=\"192.168.0.15\",what=\"out\"} 2",
            "mantle_check_healthy{check=\"apiserver\"} 1",
            "mantle_check_healthy{check=\"disk\"} 0",
            "mantle_check_took_seconds{check=\"apiserver\"} 0.0021",
            "mantle_check_tries_total{check=\"disk\"} 90",
            "mantle_check_failures_total{check=\"disk\"} 12",
            "mantle_vip_conflicts_total{vip=\"192.168.0.15\"} 1",
            "mantle_address_chosen{purpose=\"kubelet\",address=\"10.0.0.6\"} 1",
            "mantle_addresses_stale{purpose=\"kubelet\"} 1",
            "mantle_addresses_changes_total{purpose=\"kubelet\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn the_text_is_well_formed() {
        let text = text();
        let types = types(&text);
        assert!(text.ends_with("# EOF\n"));
        let mut series = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name), "twice: {name}");
            let metric = name.split('{').next().unwrap();
            let base = ["_sum", "_count", "_bucket"].iter().find_map(|end| metric.strip_suffix(end));
            assert!(
                types.contains_key(metric) || base.is_some_and(|base| types[base] == "histogram"),
                "{line}"
            );
        }
        for (name, kind) in types {
            assert!(name.starts_with("mantle_"), "{name}");
            assert!(series.iter().any(|series| series.starts_with(&name)), "no sample of {kind} {name}");
        }
    }

    #[test]
    fn the_documents_list_what_the_code_has() {
        let text = text();
        let documented: BTreeMap<String, &str> = DOCS
            .lines()
            .filter_map(|line| line.strip_prefix("| `mantle_"))
            .map(|line| line.split(" | ").collect::<Vec<_>>())
            .map(|cells| {
                let name = cells[0].trim_end_matches('`').split('{').next().unwrap();
                (format!("mantle_{name}"), cells[1])
            })
            .collect();
        assert_eq!(documented, types(&text));
    }
}
