//! The `etcd` section of `MantleConfig`: what is in it must fit together before anything is tried.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Etcd;
use super::assemble::Settings;
use super::endpoint::{Endpoint, endpoint};
use super::error::{Concern, Fault, quoted};
use super::origin::Position;
use super::report::Report;
use super::section::{Section, scalar};

pub(super) const KEYS: &[&str] =
    &["endpoints", "prefix", "caFile", "certFile", "keyFile", "username", "passwordFile"];

/// Reads the section.
pub(super) fn read(section: Section<'_>, settings: &mut Settings, report: &mut Report) {
    let etcd = &mut settings.etcd;
    let endpoints = endpoints(section, report);
    if !endpoints.is_empty() {
        etcd.endpoints = endpoints.iter().map(|(_, endpoint)| endpoint.url.clone()).collect();
    }
    section.fill("prefix", &mut etcd.prefix, report, prefix);
    etcd.ca_file = file(section, "caFile", report);
    etcd.cert_file = file(section, "certFile", report);
    etcd.key_file = file(section, "keyFile", report);
    etcd.password_file = file(section, "passwordFile", report);
    section.fill("username", &mut etcd.username, report, |text| match text {
        "" => {
            let wanted = "the user's name or take the key away".to_owned();
            Err(Fault::Invalid { found: quoted(text), what: "username", wanted })
        }
        _ => Ok(Some(text.to_owned())),
    });
    both_or_neither(section, "certFile", "keyFile", report);
    both_or_neither(section, "username", "passwordFile", report);
    check_encryption(section, &endpoints, etcd, report);
    for (position, endpoint) in endpoints {
        settings.endpoint_ips.extend(endpoint.ip.map(|ip| (report.origin(position), ip)));
    }
}

fn endpoints(section: Section<'_>, report: &mut Report) -> Vec<(Position, Endpoint)> {
    let mut endpoints: Vec<(Position, Endpoint)> = Vec::new();
    for item in section.list("endpoints", report) {
        let read = |text: &str| {
            let found = endpoint(text)?;
            if endpoints.iter().any(|(_, known)| known.url == found.url) {
                return Err(Fault::EndpointTwice { found: quoted(&found.url) });
            }
            Ok(found)
        };
        if let Some(endpoint) = scalar(item, "endpoints", report, read) {
            endpoints.push((item.position, endpoint));
        }
    }
    endpoints
}

/// What all keys begin with. etcd's keys know no levels, so `/mantle/` and `/mantle` would be two worlds.
fn prefix(text: &str) -> Result<String, Fault> {
    let levels = text.strip_prefix('/').map(|rest| rest.split('/'));
    let fits = levels.is_some_and(|mut levels| levels.all(|level| !level.is_empty()))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if fits {
        Ok(text.to_owned())
    } else {
        let wanted = "one such as /mantle, with a slash before each level and none at the end".to_owned();
        Err(Fault::Invalid { found: quoted(text), what: "prefix", wanted })
    }
}

/// A file that can be read now. A relative path starts from the config file, so that `check` and the service see the
/// same one.
pub(super) fn file(section: Section<'_>, key: &'static str, report: &mut Report) -> Option<PathBuf> {
    let base = report.file().parent().unwrap_or(Path::new("")).to_owned();
    let (_, path) = section.value(key, report, |text| {
        let path = base.join(text);
        match readable(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(Fault::FileUnreadable { key, path, error }),
        }
    })?;
    Some(path)
}

/// Whether a file can be read now.
pub(super) fn readable(path: &Path) -> io::Result<()> {
    // Asked before opening: to open a pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    File::open(path)?;
    Ok(())
}

/// Reports one of two keys that stands without the other.
pub(super) fn both_or_neither(
    section: Section<'_>,
    one: &'static str,
    other: &'static str,
    report: &mut Report,
) {
    match (section.get(one), section.get(other)) {
        (Some(node), None) => report.error(node.position, Fault::Alone { key: one, other }),
        (None, Some(node)) => report.error(node.position, Fault::Alone { key: other, other: one }),
        _ => {}
    }
}

/// Either everything is encrypted and somebody is trusted, or nothing is: a file that silently protects nothing is
/// worse than none.
fn check_encryption(
    section: Section<'_>,
    endpoints: &[(Position, Endpoint)],
    etcd: &Etcd,
    report: &mut Report,
) {
    let set = ["caFile", "certFile", "keyFile"].into_iter().find(|key| section.get(key).is_some());
    for (position, endpoint) in endpoints {
        let found = || quoted(&endpoint.url);
        match (endpoint.encrypted, set) {
            (false, Some(key)) => report.error(*position, Fault::NotEncrypted { found: found(), key }),
            (true, _) if section.get("caFile").is_none() => {
                report.error(*position, Fault::NobodyTrusted { found: found() });
            }
            (false, None) if etcd.username.is_some() && !endpoint.local => {
                report.warn(*position, Concern::PasswordInClear { endpoint: endpoint.url.clone() });
            }
            _ => {}
        }
    }
    if let (true, Some(key)) = (section.get("endpoints").is_none(), set) {
        let found = quoted(&Etcd::default().endpoints.concat());
        report.error(section.get(key).map(|node| node.position), Fault::NotEncrypted { found, key });
    }
}
