//! The older Talos machine config: its `vip` and `vlans[].vip`, and which addresses etcd and kubelet are to use; all its other
//! keys are left alone.

use super::address::vip_address;
use super::addresses;
use super::assemble::Draft;
use super::error::{Concern, Fault, quoted};
use super::layer2vip::link_name;
use super::report::Report;
use super::section::Section;

/// Reads the document.
pub(super) fn read(document: Section<'_>, draft: &mut Draft, report: &mut Report) {
    if let Some(cluster) = document.section("cluster", report)
        && let Some(etcd) = cluster.section("etcd", report)
    {
        addresses::etcd_lists(etcd, draft, report);
    }
    let Some(machine) = document.section("machine", report) else { return };
    if let Some(kubelet) = machine.section("kubelet", report)
        && let Some(node_ip) = kubelet.section("nodeIP", report)
    {
        addresses::kubelet_list(node_ip, draft, report);
    }
    let Some(network) = machine.section("network", report) else { return };
    for node in network.list("interfaces", report) {
        let Some(interface) = Section::open(node, "interfaces", report) else { continue };
        // Talos passes over such an interface, its VIPs included.
        let ignored =
            interface.value("ignore", report, |text| Ok::<_, Fault>(text.eq_ignore_ascii_case("true")));
        if ignored.is_some_and(|(_, ignored)| ignored) {
            continue;
        }
        read_interface(interface, draft, report);
    }
}

fn read_interface(interface: Section<'_>, draft: &mut Draft, report: &mut Report) {
    let parent = |report: &mut Report| interface.value("interface", report, link_name);
    if let Some(vip) = interface.section("vip", report) {
        read_vip(vip, interface, report, draft, |report| Some(parent(report)?.1));
    }
    for node in interface.list("vlans", report) {
        let Some(vlan) = Section::open(node, "vlans", report) else { continue };
        if let Some(vip) = vlan.section("vip", report) {
            read_vip(vip, interface, report, draft, |report| {
                let (_, parent) = parent(report)?;
                let (_, id) = vlan.required("vlanId", "100", report, vlan_id)?;
                Some(format!("{parent}.{id}"))
            });
        }
    }
}

fn read_vip(
    vip: Section<'_>,
    interface: Section<'_>,
    report: &mut Report,
    draft: &mut Draft,
    link: impl FnOnce(&mut Report) -> Option<String>,
) {
    for key in ["equinixMetal", "hcloud"] {
        if let Some(cloud) = vip.get(key) {
            report.warn(cloud.position, Concern::CloudVip { key });
        }
    }
    let ip = vip.required("ip", "192.168.0.15", report, vip_address);
    if interface.get("interface").is_some() {
        let link = link(report);
        if let (Some((position, ip)), Some(link)) = (ip, link) {
            draft.add_vip(ip, link, position, report);
        }
    } else if let Some((position, ip)) = ip {
        let vip = ip.to_string();
        let selected = interface.get("deviceSelector").is_some();
        report
            .error(position, if selected { Fault::LinkSelected { vip } } else { Fault::LinkMissing { vip } });
    }
}

/// IEEE 802.1Q: twelve bits, of which 0 means no VLAN and 4095 is reserved.
fn vlan_id(text: &str) -> Result<u16, Fault> {
    text.parse().ok().filter(|id| (1..=4094).contains(id)).ok_or_else(|| Fault::Invalid {
        found: quoted(text),
        what: "VLAN id",
        wanted: "a number from 1 to 4094".to_owned(),
    })
}
