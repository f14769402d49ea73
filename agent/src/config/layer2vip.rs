//! `kind: Layer2VIPConfig`, Talos's document for one VIP, as Talos has it.

use super::address::vip_address;
use super::assemble::Draft;
use super::error::{Fault, quoted};
use super::kind::api_version;
use super::report::Report;
use super::section::Section;

pub(super) const KIND: &str = "Layer2VIPConfig";

const KEYS: &[&str] = &["apiVersion", "kind", "name", "link"];

/// Reads the document.
pub(super) fn read(document: Section<'_>, draft: &mut Draft, report: &mut Report) {
    let document = document.only(KEYS, report);
    api_version(document, KIND, "v1alpha1", report);
    let ip = document.required("name", "192.168.0.15", report, vip_address);
    let link = document.required("link", "eth0", report, link_name);
    if let (Some((position, ip)), Some((_, link))) = (ip, link) {
        draft.add_vip(ip, link, position, report);
    }
}

/// Reads the name, altname or alias of a link. The longest is an alias (`IFALIASZ`, 256 with the zero at its end).
pub(super) fn link_name(text: &str) -> Result<String, Fault> {
    let fits = (1..256).contains(&text.len())
        && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
        && !matches!(text, "." | "..");
    if fits {
        Ok(text.to_owned())
    } else {
        let wanted = "the name of a link, such as eth0".to_owned();
        Err(Fault::Invalid { found: quoted(text), what: "link name", wanted })
    }
}
