//! Which addresses of the node others are to use: lists of subnets, as Talos has them and as a `MantleConfig` has them.

use super::assemble::{Draft, Settings};
use super::error::{Concern, Fault, quoted};
use super::mantle::one_of;
use super::node::{Content, Node};
use super::report::Report;
use super::section::{Section, scalar};
use crate::addresses::{Purpose, Subnet, Subnets};

/// Reads the `addresses` section of a `MantleConfig`: a consumer under each key.
pub(super) fn read(section: Section<'_>, settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    for (key, node) in section.entries() {
        let name = match consumer(&key.name) {
            Ok(name) => name,
            Err(fault) => {
                report.error(key.position, fault);
                continue;
            }
        };
        // A name alone is a consumer with the defaults.
        let empty = node.is_null();
        let consumer = if empty { None } else { Section::open(node, "addresses", report) };
        if !empty && consumer.is_none() {
            continue;
        }
        match (name.as_str(), consumer) {
            ("etcd", Some(etcd)) => {
                let etcd = etcd.only(&["advertisedSubnets", "listenSubnets", "scheme", "onChange"], report);
                etcd_lists(etcd, draft, report);
                settings.etcd_member_encrypted =
                    etcd.value("scheme", report, scheme).map(|(_, encrypted)| encrypted);
            }
            ("kubelet", Some(kubelet)) => {
                kubelet_list(kubelet.only(&["validSubnets", "onChange"], report), draft, report);
            }
            ("etcd" | "kubelet", None) => {}
            (_, consumer) => {
                let subnets = consumer.and_then(|consumer| {
                    list(consumer.only(&["validSubnets", "onChange"], report), "validSubnets", report)
                });
                draft.wishes.named.insert(name.clone(), subnets);
            }
        }
        if let Some(command) = consumer.and_then(|consumer| command(consumer, report)) {
            draft.wishes.on_change.insert(name, command);
        }
    }
}

/// Where an etcd member listens, and what it tells others of itself.
pub(super) fn etcd_lists(etcd: Section<'_>, draft: &mut Draft, report: &mut Report) {
    if let Some(subnets) = only_list(etcd, "advertisedSubnets", &Purpose::EtcdAdvertised, draft, report) {
        draft.wishes.advertised = Some(subnets);
    }
    if let Some(subnets) = only_list(etcd, "listenSubnets", &Purpose::EtcdListen, draft, report) {
        draft.wishes.listen = Some(subnets);
    }
}

/// What kubelet takes for the node's addresses.
pub(super) fn kubelet_list(section: Section<'_>, draft: &mut Draft, report: &mut Report) {
    if let Some(subnets) = only_list(section, "validSubnets", &Purpose::Kubelet, draft, report) {
        draft.wishes.kubelet = Some(subnets);
    }
}

/// A list that may stand in a Talos machine config or in a `MantleConfig`, but once.
fn only_list(
    section: Section<'_>,
    key: &'static str,
    purpose: &Purpose,
    draft: &mut Draft,
    report: &mut Report,
) -> Option<Subnets> {
    let position = section.get(key)?.position;
    let subnets = list(section, key, report)?;
    draft.is_first_list(purpose.to_string(), position, report).then_some(subnets)
}

/// The list under a key; an empty one counts as none, as Talos has it.
pub(super) fn list(section: Section<'_>, key: &'static str, report: &mut Report) -> Option<Subnets> {
    let entries =
        section.list(key, report).iter().filter_map(|node| entry(node, key, report)).collect::<Vec<_>>();
    let subnets = Subnets::new(entries)?;
    if subnets.only_takes_away() {
        report.warn(section.get(key)?.position, Concern::OnlyTakesAway { key });
    }
    Some(subnets)
}

fn entry(node: &Node, key: &'static str, report: &mut Report) -> Option<Subnet> {
    // To YAML an exclamation mark without quotes is a tag, and what is left is nothing.
    if node.is_null() {
        report.error(node.position, Fault::Subnet { found: node.found() });
        return None;
    }
    scalar(node, key, report, |text| text.trim().parse().map_err(|_| Fault::Subnet { found: quoted(text) }))
}

/// What is run after a change: a program and its arguments, without a shell.
fn command(section: Section<'_>, report: &mut Report) -> Option<Vec<String>> {
    let node = section.get("onChange")?;
    let items = match &node.content {
        Content::List(items) if items.is_empty() => {
            let wanted = "a program and its arguments, such as [systemctl, try-restart, etcd]".to_owned();
            report.error(node.position, Fault::WrongShape { found: "an empty list".to_owned(), wanted });
            return None;
        }
        Content::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    items
        .iter()
        .map(|item| scalar(item, "onChange", report, |text| Ok::<_, Fault>(text.to_owned())))
        .collect()
}

fn scheme(text: &str) -> Result<bool, Fault> {
    match text {
        "https" => Ok(true),
        "http" => Ok(false),
        other => Err(one_of(other, "scheme", &["https", "http"], "")),
    }
}

/// A name that can be a file's and a variable's. `etcd-listen` and its like are what Mantle calls its own choices.
fn consumer(text: &str) -> Result<String, Fault> {
    let fits = (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !matches!(text, "etcd-advertised" | "etcd-listen" | super::HTTP);
    if fits {
        return Ok(text.to_owned());
    }
    let wanted = "1 to 63 lower-case letters, digits and '-', a letter first, and none of etcd-advertised, etcd-listen and mantle-http";
    Err(Fault::Invalid { found: quoted(text), what: "name of a consumer", wanted: wanted.to_owned() })
}
