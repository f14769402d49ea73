//! The `health` section of `MantleConfig`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::assemble::Settings;
use super::check::{Check, CheckKind, CheckPace, CheckTls, CommandCheck, HttpCheck};
use super::duration::duration_within;
use super::error::{Fault, quoted};
use super::etcd::{both_or_neither, file, readable};
use super::mantle::one_of;
use super::node::{Content, Node};
use super::report::Report;
use super::section::{Section, scalar};
use mantle_protocol::WhenNobodyIsReady;

pub(super) const KEYS: &[&str] = &["checks", "whenNobodyIsReady"];

const KINDS: [&str; 4] = ["tcp", "http", "kubeApiserver", "command"];

const CHECK_KEYS: &[&str] = &[
    "name",
    "vips",
    "tcp",
    "http",
    "kubeApiserver",
    "command",
    "interval",
    "timeout",
    "rise",
    "fall",
    "recovery",
];

/// Enough for any machine; each is tried on its own.
const MOST_CHECKS: usize = 64;

/// Where kubeadm and what follows it put the cluster's CA.
const KUBERNETES_CA: &str = "/etc/kubernetes/pki/ca.crt";

/// Reads the section.
pub(super) fn read(section: Section<'_>, settings: &mut Settings, report: &mut Report) {
    let health = &mut settings.health;
    section.fill("whenNobodyIsReady", &mut health.when_nobody_is_ready, report, |text| match text {
        "hold" => Ok(WhenNobodyIsReady::Hold),
        "release" => Ok(WhenNobodyIsReady::Release),
        other => Err(one_of(other, "thing to do when nobody is ready", &["hold", "release"], "")),
    });
    let items = section.list("checks", report);
    if let Some(surplus) = items.get(MOST_CHECKS) {
        return report.error(surplus.position, Fault::TooManyChecks { most: MOST_CHECKS });
    }
    for item in items {
        let Some(section) = Section::open(item, "checks", report) else { continue };
        let vips = vips(section, report);
        if let Some(check) = check(section.only(CHECK_KEYS, report), &settings.health.checks, report) {
            let target = match &check.kind {
                CheckKind::Tcp(address) | CheckKind::Http(HttpCheck { address, .. }) => Some(address.ip()),
                CheckKind::Command(_) => None,
            };
            settings.check_targets.extend(target.map(|ip| (report.origin(section.position), ip)));
            let only = vips.as_ref().map(|vips| vips.iter().map(|(_, ip)| *ip).collect());
            settings.health.checks.push(Check { vips: only, ..check });
        }
        let named = vips.unwrap_or_default().into_iter();
        settings.checked_vips.extend(named.map(|(at, ip)| (report.origin(at), ip)));
    }
}

/// The VIPs a check speaks for; that they are there is seen once every document is read.
fn vips(section: Section<'_>, report: &mut Report) -> Option<Vec<(super::origin::Position, IpAddr)>> {
    let node = section.get("vips")?;
    let items = section.list("vips", report);
    if items.is_empty() && matches!(node.content, Content::List(_)) {
        let wanted = "at least one VIP, or take the key away: then the check speaks for all".to_owned();
        report.error(node.position, Fault::WrongShape { found: "an empty list".to_owned(), wanted });
    }
    let vip = |item: &Node, report: &mut Report| {
        Some((item.position, scalar(item, "vips", report, super::address::vip_address)?))
    };
    Some(items.iter().filter_map(|item| vip(item, report)).collect())
}

fn check(section: Section<'_>, before: &[Check], report: &mut Report) -> Option<Check> {
    let name = section.required("name", "apiserver", report, |text| {
        let fits = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !fits {
            let wanted = "1 to 63 letters, digits, '-', '_' or '.'".to_owned();
            return Err(Fault::Invalid { found: quoted(text), what: "name of a check", wanted });
        }
        if before.iter().any(|check| check.name == text) {
            return Err(Fault::CheckTwice { name: quoted(text) });
        }
        Ok(text.to_owned())
    });
    let pace = pace(section, report);
    let kind = kind(section, report);
    Some(Check { name: name?.1, vips: None, kind: kind?, pace })
}

fn pace(section: Section<'_>, report: &mut Report) -> CheckPace {
    let mut pace = CheckPace::default();
    let (tenth, ms, minute, hour) = (
        Duration::from_millis(100),
        Duration::from_millis(1),
        Duration::from_mins(1),
        Duration::from_hours(1),
    );
    section
        .fill("interval", &mut pace.interval, report, |text| duration_within(text, "interval", tenth, hour));
    section.fill("timeout", &mut pace.timeout, report, |text| duration_within(text, "timeout", ms, minute));
    section.fill("recovery", &mut pace.recovery, report, |text| {
        duration_within(text, "recovery", Duration::ZERO, hour)
    });
    let count = |text: &str| {
        let invalid = || Fault::Invalid {
            found: quoted(text),
            what: "number of results in a row",
            wanted: "a number from 1 to 100".to_owned(),
        };
        text.parse().ok().filter(|count| (1..=100).contains(count)).ok_or_else(invalid)
    };
    section.fill("rise", &mut pace.rise, report, count);
    section.fill("fall", &mut pace.fall, report, count);
    pace
}

/// What the check tries: exactly one of the kinds.
fn kind(section: Section<'_>, report: &mut Report) -> Option<CheckKind> {
    let given: Vec<(&str, &Node)> =
        KINDS.iter().filter_map(|kind| section.get(kind).map(|node| (*kind, node))).collect();
    match given.as_slice() {
        [("tcp", _)] => tcp(section.own_section("tcp", &["address"], report)?, report),
        [("http", _)] => http(section, report),
        [("kubeApiserver", _)] => kube_apiserver(section, report),
        [_] => command(section.own_section("command", &["run", "shell"], report)?, report),
        [] => {
            report.error(section.position, Fault::NothingToCheck);
            None
        }
        [_, (_, second), ..] => {
            report.error(second.position, Fault::TwoThingsToCheck);
            None
        }
    }
}

fn tcp(section: Section<'_>, report: &mut Report) -> Option<CheckKind> {
    let (_, address) = section.required("address", "127.0.0.1:5432", report, socket_address)?;
    Some(CheckKind::Tcp(address))
}

fn http(check: Section<'_>, report: &mut Report) -> Option<CheckKind> {
    let known = &["url", "status", "caFile", "certFile", "keyFile", "serverName"];
    let section = check.own_section("http", known, report)?;
    let url = section.required("url", "http://127.0.0.1:8080/healthz", report, url);
    let statuses = statuses(section, report);
    let tls_keys = ["caFile", "certFile", "keyFile", "serverName"];
    let ca = file(section, "caFile", report);
    let identity = identity(section, report);
    let server_name = server_name(section, report);
    let (position, (encrypted, address, path)) = url?;
    let found = || quoted(&format!("{}://{address}{path}", if encrypted { "https" } else { "http" }));
    let tls = match (encrypted, tls_keys.into_iter().find(|key| section.get(key).is_some())) {
        (false, None) => None,
        (false, Some(key)) => {
            report.error(position, Fault::NotEncrypted { found: found(), key });
            return None;
        }
        (true, _) if section.get("caFile").is_none() => {
            report.error(position, Fault::CheckTrustsNobody { found: found() });
            return None;
        }
        (true, _) => Some(CheckTls { ca_file: ca?, server_name, identity }),
    };
    Some(CheckKind::Http(HttpCheck { address, path, statuses: statuses?, tls }))
}

/// The API server of the node: `/readyz`, trusted by the cluster's CA under a name that every distribution certifies,
/// since few certify 127.0.0.1.
fn kube_apiserver(check: Section<'_>, report: &mut Report) -> Option<CheckKind> {
    let known = &["address", "caFile", "certFile", "keyFile", "serverName"];
    let section = check.own_section("kubeApiserver", known, report)?;
    let mut address = SocketAddr::from(([127, 0, 0, 1], 6443));
    section.fill("address", &mut address, report, socket_address);
    let ca_file = if section.get("caFile").is_some() {
        file(section, "caFile", report)
    } else {
        let path = PathBuf::from(KUBERNETES_CA);
        match readable(Path::new(KUBERNETES_CA)) {
            Ok(()) => Some(path),
            Err(error) => {
                report.error(section.position, Fault::FileUnreadable { key: "caFile", path, error });
                None
            }
        }
    };
    let identity = identity(section, report);
    let server_name = server_name(section, report).or_else(|| Some("kubernetes".to_owned()));
    let tls = Some(CheckTls { ca_file: ca_file?, server_name, identity });
    Some(CheckKind::Http(HttpCheck { address, path: "/readyz".to_owned(), statuses: vec![200], tls }))
}

fn identity(section: Section<'_>, report: &mut Report) -> Option<(PathBuf, PathBuf)> {
    both_or_neither(section, "certFile", "keyFile", report);
    let (certificate, key) = (file(section, "certFile", report), file(section, "keyFile", report));
    certificate.zip(key)
}

fn server_name(section: Section<'_>, report: &mut Report) -> Option<String> {
    let (_, name) = section.value("serverName", report, |text| {
        let fits = (1..=253).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'_'));
        if fits {
            return Ok(text.to_owned());
        }
        let wanted = "the name in the server's certificate, such as kubernetes".to_owned();
        Err(Fault::Invalid { found: quoted(text), what: "server name", wanted })
    })?;
    Some(name)
}

/// The wanted status codes: one, or a list.
fn statuses(section: Section<'_>, report: &mut Report) -> Option<Vec<u16>> {
    let code = |text: &str| {
        let invalid = || Fault::Invalid {
            found: quoted(text),
            what: "HTTP status",
            wanted: "one such as 200, or a list of them".to_owned(),
        };
        text.parse().ok().filter(|code| (100..=599).contains(code)).ok_or_else(invalid)
    };
    match section.get("status") {
        None => Some(vec![200]),
        Some(Node { content: Content::List(items), .. }) if !items.is_empty() => {
            items.iter().map(|item| scalar(item, "status", report, code)).collect()
        }
        Some(node) => Some(vec![scalar(node, "status", report, code)?]),
    }
}

fn command(section: Section<'_>, report: &mut Report) -> Option<CheckKind> {
    let run = section.get("run");
    let shell = section.value("shell", report, |text| no_zero(text).map(ToOwned::to_owned));
    match (run, section.get("shell")) {
        (Some(_), None) => {
            let items = section.list("run", report);
            let words: Option<Vec<String>> = items
                .iter()
                .map(|item| scalar(item, "run", report, |text| no_zero(text).map(ToOwned::to_owned)))
                .collect();
            let words = words?;
            let program = words.first().filter(|program| Path::new(program).is_absolute());
            if program.is_none() {
                let position = items.first().map_or(section.position, |item| item.position);
                let found = words.first().map_or("an empty list".to_owned(), |word| quoted(word));
                let wanted = "a list that begins with the program's absolute path".to_owned();
                report.error(position, Fault::WrongShape { found, wanted });
                return None;
            }
            Some(CheckKind::Command(CommandCheck::Run(words)))
        }
        (None, Some(_)) => Some(CheckKind::Command(CommandCheck::Shell(shell?.1))),
        _ => {
            report.error(section.position, Fault::RunOrShell);
            None
        }
    }
}

/// A zero byte would end the text early for the kernel.
fn no_zero(text: &str) -> Result<&str, Fault> {
    if text.is_empty() || text.contains('\0') {
        let wanted = "a text that is not empty".to_owned();
        return Err(Fault::Invalid { found: quoted(text), what: "part of a command", wanted });
    }
    Ok(text)
}

fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().ok().filter(|address: &SocketAddr| address.port() != 0).ok_or_else(|| Fault::Invalid {
        found: quoted(text),
        what: "address and port",
        wanted: "one such as 127.0.0.1:5432 or \"[::1]:5432\"".to_owned(),
    })
}

/// Whether a URL is encrypted, whom to ask, and what for.
fn url(text: &str) -> Result<(bool, SocketAddr, String), Fault> {
    let invalid = || Fault::Invalid {
        found: quoted(text),
        what: "URL to check",
        wanted: "one with an IP address, such as http://127.0.0.1:8080/healthz or https://[::1]/".to_owned(),
    };
    let (encrypted, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        (None, None) => return Err(invalid()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let path_fits = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    let bare = authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(authority);
    let default_port = if encrypted { 443 } else { 80 };
    let address = authority
        .parse()
        .ok()
        .or_else(|| bare.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, default_port)))
        .filter(|address| address.port() != 0);
    match address {
        Some(address) if path_fits => Ok((encrypted, address, path.to_owned())),
        _ => Err(invalid()),
    }
}
