//! `mantle check`: is the config right, and does it fit this machine; with `--online`: does etcd fit too? Changes nothing.

mod report;

use std::process::ExitCode;

use ipnet::IpNet;

pub(super) use self::report::Format;
use self::report::{Online, Report};
use super::{ADVICE, UNWORKABLE, WRONG_CONFIG};
use crate::agent;
use crate::agent::fitness::{Fitness, Machine, judge};
use crate::config::{Config, MachineLink, check_against};
use crate::link::{Inventory, Link, machine_links};

/// Prints what is wrong or doubtful. Exit codes: 0 the config can be run (there may be warnings), 2 it cannot; with
/// `online` also 5 there is advice on etcd or the machine's clocks, 6 with these it would not work.
pub(super) fn run(config: &Config, online: bool, format: Format) -> anyhow::Result<ExitCode> {
    let findings = check_against(config, &links(&machine_links()?));
    let is_wrong = !findings.errors.is_empty();
    let online = if online && !is_wrong { Some(look(config)?) } else { None };
    let code = match online.as_ref().map(Online::fitness) {
        _ if is_wrong => ExitCode::from(WRONG_CONFIG),
        None | Some(Fitness::Fine) => ExitCode::SUCCESS,
        Some(Fitness::Advice) => ExitCode::from(ADVICE),
        Some(Fitness::Unworkable) => ExitCode::from(UNWORKABLE),
    };
    Report { config, findings: &findings, online: online.as_ref() }.print(format)?;
    Ok(code)
}

fn look(config: &Config) -> anyhow::Result<Online> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut surveyor = agent::surveyor(config)?;
    let survey = runtime.block_on(surveyor.survey());
    let findings = judge(&survey, &Machine::find_out(), config.timing);
    Ok(Online { survey, findings })
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
