//! `kind: MantleConfig`: all that is not a VIP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::assemble::{Draft, Settings};
use super::duration::{duration, duration_within, written};
use super::error::{Fault, quoted};
use super::kind::api_version;
use super::nearest::nearest;
use super::node::{Content, Node};
use super::report::Report;
use super::section::{Section, scalar};
use super::{Announce, Handoff, Mode, addresses, etcd, health, replies};
use mantle_protocol::{NodeName, Timing};

pub(super) const KIND: &str = "MantleConfig";

const KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "cluster",
    "node",
    "etcd",
    "timing",
    "dataplane",
    "announce",
    "handoff",
    "health",
    "http",
    "runtimeDir",
    "stateDir",
    "addresses",
    "replies",
    "priority",
    "guardian",
];

/// What a socket's path may take in all, with the zero at its end (`sun_path`, unix(7)).
const LONGEST_SOCKET_PATH: usize = 108;
const SOCKET: &str = "/mantle.sock";

/// A grace longer than this would only keep the VIPs of an agent that does not come back dark.
const LONGEST_GRACE: Duration = Duration::from_secs(10);

const HOUR: Duration = Duration::from_hours(1);

/// Reads the document.
pub(super) fn read(document: Section<'_>, draft: &mut Draft, report: &mut Report) {
    let document = document.only(KEYS, report);
    api_version(document, KIND, "mantle/v1alpha1", report);
    let origin = report.origin(document.position);
    if let Some((first, _)) = &draft.settings {
        let first = first.clone();
        return report.error_at(origin, Fault::SecondMantleConfig { first });
    }
    let mut settings = Settings::default();
    document.fill("cluster", &mut settings.cluster, report, cluster);
    document.fill("node", &mut settings.node, report, |text| node_name(text).map(Some));
    if let Some(section) = document.own_section("etcd", etcd::KEYS, report) {
        etcd::read(section, &mut settings, report);
    }
    if let Some(node) = document.get("timing")
        && let Some(timing) = timing(node, report)
    {
        settings.timing = timing;
    }
    if let Some(section) = document.own_section("dataplane", &["mode"], report) {
        section.fill("mode", &mut settings.dataplane.mode, report, mode);
    }
    if let Some(section) = document.own_section("announce", &["burst", "refresh"], report) {
        announce(section, &mut settings.announce, report);
    }
    if let Some(section) = document.own_section("handoff", &["drain", "preempt"], report) {
        let Handoff { drain, preempt } = &mut settings.handoff;
        section.fill("preempt", preempt, report, preemption);
        section.fill("drain", drain, report, |text| duration_within(text, "drain", Duration::ZERO, HOUR));
    }
    if let Some(section) = document.own_section("health", health::KEYS, report) {
        health::read(section, &mut settings, report);
    }
    if let Some(section) = document.own_section("http", &["listen", "listenSubnets"], report) {
        section.fill("listen", &mut settings.http.listen, report, listen);
        http_subnets(section, &settings, draft, report);
    }
    document.fill("runtimeDir", &mut settings.runtime_dir, report, runtime_dir);
    document.fill("stateDir", &mut settings.state_dir, report, |text| {
        absolute(text, "state directory", super::STATE_DIR)
    });
    if let Some(section) = document.section("addresses", report) {
        addresses::read(section, &mut settings, draft, report);
    }
    if let Some(section) = document.section("replies", report) {
        replies::read(section, &mut settings, report);
    }
    document.fill("priority", &mut settings.priority, report, priority);
    if let Some(section) = document.own_section("guardian", &["grace"], report) {
        section.fill("grace", &mut settings.guardian.grace, report, grace);
    }
    draft.settings = Some((origin, settings));
}

/// A name that is one level of a key in etcd.
fn cluster(text: &str) -> Result<String, Fault> {
    match text.parse::<NodeName>() {
        Ok(name) if !matches!(text, "." | "..") => Ok(name.to_string()),
        _ => Err(Fault::Invalid {
            found: quoted(text),
            what: "cluster name",
            wanted: "1 to 253 letters, digits, '-', '_' or '.'".to_owned(),
        }),
    }
}

fn node_name(text: &str) -> Result<NodeName, Fault> {
    text.parse().map_err(|_| Fault::Invalid {
        found: quoted(text),
        what: "node name",
        wanted: "1 to 253 letters, digits, '-', '_' or '.'".to_owned(),
    })
}

/// The name of a preset, or all three times.
fn timing(node: &Node, report: &mut Report) -> Option<Timing> {
    if matches!(node.content, Content::Scalar(_)) {
        return scalar(node, "timing", report, |text| {
            Timing::preset(text).ok_or_else(|| {
                one_of(
                    text,
                    "timing",
                    &["default", "steady", "fast", "fastest"],
                    "or {renew, lease, silence}",
                )
            })
        });
    }
    let section = Section::open(node, "timing", report)?.only(&["renew", "lease", "silence"], report);
    let mut time = |key, example| Some(section.required(key, example, report, duration)?.1);
    let (renew, lease, silence) = (time("renew", "200ms"), time("lease", "1s"), time("silence", "1300ms"));
    let timing = Timing { renew: renew?, lease: lease?, silence: silence? };
    timing.check().map_err(|error| report.error(section.position, error)).ok()
}

fn mode(text: &str) -> Result<Mode, Fault> {
    match text {
        "auto" => Ok(Mode::Auto),
        "xdp" => Ok(Mode::Xdp),
        "tc" => Ok(Mode::Tc),
        "raw" => Ok(Mode::Raw),
        "off" => Ok(Mode::Off),
        other => Err(one_of(other, "dataplane mode", &["auto", "xdp", "tc", "raw", "off"], "")),
    }
}

fn announce(section: Section<'_>, announce: &mut Announce, report: &mut Report) {
    let least = Duration::from_secs(1);
    section
        .fill("refresh", &mut announce.refresh, report, |text| duration_within(text, "refresh", least, HOUR));
    let items = section.list("burst", report);
    let mut burst: Vec<Duration> = Vec::with_capacity(items.len());
    for item in items {
        let most = Duration::from_mins(1);
        let offset = scalar(item, "burst", report, |text| {
            let offset = duration_within(text, "burst", Duration::ZERO, most)?;
            match burst.last() {
                Some(before) if *before >= offset => {
                    Err(Fault::BurstOrder { found: quoted(text), before: written(*before) })
                }
                _ => Ok(offset),
            }
        });
        burst.extend(offset);
    }
    if !items.is_empty() {
        announce.burst = burst;
    } else if let Some(node) = section.get("burst")
        && matches!(node.content, Content::List(_))
    {
        // A VIP that is never announced on taking it up would stay dark until each neighbour forgets.
        let wanted = "at least one offset, such as [0s]".to_owned();
        report.error(node.position, Fault::WrongShape { found: "an empty list".to_owned(), wanted });
    }
}

fn listen(text: &str) -> Result<Option<SocketAddr>, Fault> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Fault::Invalid {
        found: quoted(text),
        what: "address to listen on",
        wanted: "one such as 127.0.0.1:9480 or \"[::]:9480\", or off".to_owned(),
    })
}

/// The subnets that HTTP is served in too, on the port of the address that is named.
fn http_subnets(section: Section<'_>, settings: &Settings, draft: &mut Draft, report: &mut Report) {
    let Some(subnets) = addresses::list(section, "listenSubnets", report) else { return };
    let position = section.get("listenSubnets").map_or(section.position, |node| node.position);
    match settings.http.listen {
        Some(address) if !address.ip().is_unspecified() => {
            draft.wishes.named.insert(super::HTTP.to_owned(), Some(subnets));
        }
        Some(address) => report.error(position, Fault::ListensEverywhere { address }),
        None => report.error(position, Fault::ListensNowhere),
    }
}

fn absolute(text: &str, what: &'static str, example: &str) -> Result<PathBuf, Fault> {
    let path = Path::new(text);
    // A zero byte would end the path early for the kernel.
    if !path.is_absolute() || path.parent().is_none() || text.contains('\0') {
        let wanted = format!("an absolute path such as {example}");
        return Err(Fault::Invalid { found: quoted(text), what, wanted });
    }
    Ok(path.to_owned())
}

fn runtime_dir(text: &str) -> Result<PathBuf, Fault> {
    let path = absolute(text, "runtime directory", super::RUNTIME_DIR)?;
    let longest = LONGEST_SOCKET_PATH - 1 - SOCKET.len();
    if text.len() > longest {
        return Err(Fault::RuntimeDirTooLong { longest });
    }
    Ok(path)
}

/// `false`, or the delay.
fn preemption(text: &str) -> Result<Option<Duration>, Fault> {
    if text == "false" {
        return Ok(None);
    }
    Ok(Some(duration_within(text, "preempt", Duration::ZERO, HOUR)?))
}

fn priority(text: &str) -> Result<u32, Fault> {
    text.parse().map_err(|_| Fault::Invalid {
        found: quoted(text),
        what: "priority",
        wanted: "a number such as 100, higher goes first".to_owned(),
    })
}

/// None for no guardian.
fn grace(text: &str) -> Result<Option<Duration>, Fault> {
    if text == "off" {
        return Ok(None);
    }
    Ok(Some(duration_within(text, "grace", Duration::ZERO, LONGEST_GRACE)?))
}

/// What was found is none of the known words.
pub(super) fn one_of(found: &str, what: &'static str, known: &[&str], or: &str) -> Fault {
    let wanted = match nearest(found, known.iter().copied()) {
        Some(meant) => meant.to_owned(),
        None => format!("{} {or}", known.join(", ")).trim_end().to_owned(),
    };
    Fault::Invalid { found: quoted(found), what, wanted }
}
