//! What is read from a config, and what is said about a bad one, word for word.

mod addresses;
mod facts;
mod files;
mod good;
mod health;
mod refused;

use std::path::Path;

use super::assemble::{Draft, take_in};
use super::report::Report;
use super::{Config, Errors};

/// Reads a text as if it stood in `t.yaml` on the host `cp-1`.
fn read(text: &str) -> Result<Config, Errors> {
    let (mut report, mut draft) = (Report::default(), Draft::default());
    report.enter(Path::new("t.yaml"));
    take_in(text, &mut draft, &mut report);
    draft.finish(report, "cp-1")
}

/// The VIPs as `address link line:column`.
fn vips(config: &Config) -> Vec<String> {
    let place =
        |vip: &super::Vip| vip.origin.position.map(|at| format!("{}:{}", at.line, at.column)).unwrap();
    config.vips.iter().map(|vip| format!("{} {} {}", vip.ip, vip.link, place(vip))).collect()
}

fn warnings(config: &Config) -> Vec<String> {
    config.warnings.iter().map(ToString::to_string).collect()
}

/// A `MantleConfig` with this after its head, and one VIP.
fn mantle(body: &str) -> String {
    format!("{VIP}---\napiVersion: mantle/v1alpha1\nkind: MantleConfig\n{body}")
}

/// Where the body of [`mantle`] begins.
const BODY: usize = 8;

const VIP: &str = "apiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 192.168.0.15\nlink: enp0s2\n";
