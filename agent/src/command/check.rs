//! `mantle check`: is the config right, and does it fit this machine? Changes nothing.

use std::io::{Write, stdout};
use std::process::ExitCode;

use ipnet::IpNet;

use super::WRONG_CONFIG;
use crate::config::{Config, MachineLink, check_against};
use crate::link::{Inventory, Link, machine_links};

/// Prints what is wrong or doubtful. Exit codes: 0 the config can be run (there may be warnings), 2 it cannot.
pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let findings = check_against(config, &links(&machine_links()?));
    let mut out = stdout();
    for error in &findings.errors {
        writeln!(out, "error: {error}")?;
    }
    for warning in config.warnings.iter().chain(&findings.warnings) {
        writeln!(out, "warning: {warning}")?;
    }
    if !findings.errors.is_empty() {
        return Ok(ExitCode::from(WRONG_CONFIG));
    }
    for vip in &config.vips {
        writeln!(out, "ok: {} on {}", vip.ip, vip.link)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The machine's links as the config is held against them.
pub(super) fn links(inventory: &Inventory) -> Vec<MachineLink> {
    let link = |link: &Link| {
        let foreign = inventory.addresses(link.index).filter(|address| !address.ours);
        MachineLink {
            names: [&link.name].into_iter().chain(&link.altnames).chain(&link.alias).cloned().collect(),
            // The kernel gives no prefix longer than its family has.
            addresses: foreign.filter_map(|address| IpNet::new(address.ip, address.prefix).ok()).collect(),
        }
    };
    inventory.links().map(link).collect()
}
