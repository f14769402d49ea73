//! From the files to the [`Config`]: what the documents say together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::documents::{self, MOST_DOCUMENTS};
use super::error::{Concern, Errors, Fault, quoted};
use super::origin::{Origin, Position};
use super::report::Report;
use super::{Announce, Config, Dataplane, Etcd, Guardian, Handoff, Health, Http, Vip, kind, source};
use crate::addresses::Wishes;
use mantle_protocol::{NodeName, Timing};

/// What the documents read so far say.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The one `MantleConfig`, and where it is.
    pub(super) settings: Option<(Origin, Settings)>,
    vips: Vec<Vip>,
    /// Where each VIP is, by address.
    places: BTreeMap<IpAddr, Origin>,
    /// What is wanted of the node's addresses.
    pub(super) wishes: Wishes,
    /// Where each list of subnets is, by what it is for.
    lists: BTreeMap<String, Origin>,
    /// How many documents there were, also of kinds that are left alone.
    documents: usize,
}

/// What a `MantleConfig` says.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) cluster: String,
    /// None: the host's name.
    pub(super) node: Option<NodeName>,
    pub(super) etcd: Etcd,
    /// The endpoints that are given as an address, and where.
    pub(super) endpoint_ips: Vec<(Origin, IpAddr)>,
    /// Whether the etcd member on the node speaks TLS, if it is said.
    pub(super) etcd_member_encrypted: Option<bool>,
    pub(super) timing: Timing,
    pub(super) dataplane: Dataplane,
    pub(super) announce: Announce,
    pub(super) handoff: Handoff,
    pub(super) health: Health,
    /// The VIPs that checks name, and where.
    pub(super) checked_vips: Vec<(Origin, IpAddr)>,
    /// The addresses that checks ask, and where.
    pub(super) check_targets: Vec<(Origin, IpAddr)>,
    pub(super) http: Http,
    pub(super) runtime_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) replies: BTreeMap<String, Vec<IpAddr>>,
    /// The links that replies are to leave by, and where they are named.
    pub(super) reply_links: Vec<(Origin, String)>,
    pub(super) priority: u32,
    pub(super) guardian: Guardian,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: "default".to_owned(),
            node: None,
            etcd: Etcd::default(),
            endpoint_ips: Vec::new(),
            etcd_member_encrypted: None,
            timing: Timing::default(),
            dataplane: Dataplane::default(),
            announce: Announce::default(),
            handoff: Handoff::default(),
            health: Health::default(),
            checked_vips: Vec::new(),
            check_targets: Vec::new(),
            http: Http::default(),
            runtime_dir: PathBuf::from(super::RUNTIME_DIR),
            state_dir: PathBuf::from(super::STATE_DIR),
            replies: BTreeMap::new(),
            reply_links: Vec::new(),
            priority: 100,
            guardian: Guardian::default(),
        }
    }
}

/// Reads the config; see [`super::load`].
pub(super) fn load(path: &Path) -> Result<Config, Errors> {
    let mut report = Report::default();
    let mut draft = Draft::default();
    report.enter(path);
    match source::files(path) {
        Ok(files) => {
            for file in files {
                report.enter(&file);
                match source::text(&file) {
                    Ok(text) => take_in(&text, &mut draft, &mut report),
                    Err((position, fault)) => report.error(position, fault),
                }
            }
        }
        Err(fault) => report.error(None, fault),
    }
    report.enter(path);
    draft.finish(report, &host_name())
}

/// Reads the documents of one file's text.
pub(super) fn take_in(text: &str, draft: &mut Draft, report: &mut Report) {
    let documents = documents::split(text);
    if documents.len() > MOST_DOCUMENTS {
        return report.error(None, Fault::TooManyDocuments(MOST_DOCUMENTS));
    }
    for document in documents {
        match documents::parse(document) {
            Ok(Some(node)) => {
                draft.documents += 1;
                kind::read(&node, draft, report);
            }
            Ok(None) => {}
            Err((position, fault)) => {
                draft.documents += 1;
                report.error(position, fault);
            }
        }
    }
}

impl Draft {
    /// Adds a VIP, unless it is there already.
    pub(super) fn add_vip(&mut self, ip: IpAddr, link: String, position: Position, report: &mut Report) {
        let origin = report.origin(position);
        if let Some(first) = self.places.get(&ip) {
            return report.error_at(origin, Fault::SameVip { vip: ip, first: first.clone() });
        }
        self.places.insert(ip, origin.clone());
        self.vips.push(Vip { ip, link, origin });
    }

    /// Takes note of where a list of subnets is; false, and reported, if there is one for the same already.
    pub(super) fn is_first_list(&mut self, of: String, position: Position, report: &mut Report) -> bool {
        let origin = report.origin(position);
        if let Some(first) = self.lists.get(&of) {
            report.error_at(origin, Fault::SameList { of, first: first.clone() });
            return false;
        }
        self.lists.insert(of, origin);
        true
    }

    /// Makes the config, if nothing is wrong. The report stands at the path that was named, for what concerns the
    /// config as a whole.
    pub(super) fn finish(self, mut report: Report, host_name: &str) -> Result<Config, Errors> {
        if self.documents == 0 && !report.has_errors() {
            report.error(None, Fault::NoDocument);
        } else if self.vips.is_empty() && self.wishes.is_silent() {
            report.warn(None, Concern::NoVip);
        }
        let settings = self.settings.map(|(_, settings)| settings).unwrap_or_default();
        let mut wishes = self.wishes;
        // The etcd that the agent speaks to is most likely the one that its node is a member of.
        wishes.etcd_encrypted = settings
            .etcd_member_encrypted
            .unwrap_or_else(|| settings.etcd.endpoints.iter().any(|endpoint| endpoint.starts_with("https:")));
        for (origin, ip) in settings.endpoint_ips {
            if self.places.contains_key(&ip) {
                report.warn_at(origin, Concern::EtcdBehindVip { endpoint: ip.to_string() });
            }
        }
        for (origin, vip) in settings.checked_vips {
            if !self.places.contains_key(&vip) {
                report.error_at(origin, Fault::NoSuchVip { vip });
            }
        }
        for (origin, vip) in settings.check_targets {
            if self.places.contains_key(&vip) {
                report.warn_at(origin, Concern::CheckBehindVip { vip });
            }
        }
        for (origin, link) in settings.reply_links {
            if !self.vips.iter().any(|vip| vip.link == link) {
                report.error_at(origin, Fault::NoVipOnLink { link });
            }
        }
        let node = settings.node.or_else(|| host_name.parse().ok());
        if node.is_none() {
            report.error(None, Fault::HostName { found: quoted(host_name) });
        }
        let warnings = report.finish()?;
        Ok(Config {
            cluster: settings.cluster,
            node: node.expect("a missing name has been reported, and an error ends this above"),
            etcd: settings.etcd,
            timing: settings.timing,
            dataplane: settings.dataplane,
            announce: settings.announce,
            handoff: settings.handoff,
            health: settings.health,
            http: settings.http,
            runtime_dir: settings.runtime_dir,
            state_dir: settings.state_dir,
            addresses: wishes,
            replies: settings.replies,
            priority: settings.priority,
            guardian: settings.guardian,
            vips: self.vips,
            warnings,
        })
    }
}

/// The host's name; one that isn't text cannot be a node's name either.
fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
