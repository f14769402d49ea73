//! The links that the replies of their VIPs leave by, wherever other routes lead.

use std::net::IpAddr;

use super::assemble::Settings;
use super::error::{Fault, quoted};
use super::report::Report;
use super::section::{Section, scalar};

/// Reads the section: a link under each key, by the name that its VIPs give it.
pub(super) fn read(section: Section<'_>, settings: &mut Settings, report: &mut Report) {
    for (key, node) in section.entries() {
        settings.reply_links.push((report.origin(key.position), key.name.clone()));
        // A name alone is a link whose routes in the main table do.
        let link = if node.is_null() { None } else { Section::open(node, "replies", report) };
        let mut gateways: Vec<IpAddr> = Vec::new();
        for item in link.map_or(&[][..], |link| link.only(&["gateways"], report).list("gateways", report)) {
            let Some(gateway) = scalar(item, "gateways", report, gateway) else { continue };
            match gateways.iter().find(|first| first.is_ipv4() == gateway.is_ipv4()) {
                Some(first) => {
                    report.error(item.position, Fault::SecondGateway { gateway, first: *first });
                }
                None => gateways.push(gateway),
            }
        }
        settings.replies.insert(key.name.clone(), gateways);
    }
}

fn gateway(text: &str) -> Result<IpAddr, Fault> {
    let ip = text
        .parse()
        .ok()
        .filter(|ip: &IpAddr| !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()));
    ip.ok_or_else(|| Fault::Invalid {
        found: quoted(text),
        what: "gateway",
        wanted: "the address of a router on the link, such as 192.168.0.1 or fe80::1".to_owned(),
    })
}
