//! A look at what the kernel program does: for status and metrics, and for the guardian, also when there is no agent.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use mantle_ebpf::layout::{self, Address, Counters, Vip};
use mantle_ebpf::object;
use thiserror::Error;

use super::attached::LinkMode;
use super::pins::{self, LinkPins, Pins};
use super::right::{Right, RightCell};
use super::table::{Found, sum};
use super::xdp::FORMS;
use super::{bpffs, cause};

/// What is pinned, as any thread or process sees it: to look changes nothing and holds nobody up.
pub struct Look {
    dir: PathBuf,
    vips: HashMap<MapData, Address, Vip>,
    counters: PerCpuArray<MapData, Counters>,
    right: Array<MapData, layout::Right>,
}

/// Why there is nothing to be seen.
#[derive(Debug, Error)]
#[error("what is pinned at {dir} could not be read: {why}")]
pub struct LookError {
    /// Where it is.
    pub dir: PathBuf,
    /// What came back.
    pub why: String,
}

/// What the kernel program has of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenVip {
    /// The address.
    pub vip: IpAddr,
    /// How the program stands to it.
    pub entry: Found,
    /// What was counted, over all CPUs.
    pub counters: Counters,
}

impl Look {
    /// At what agents of that name pinned in this network namespace, dead or alive; none if there is nothing.
    pub fn open(name: &str) -> Result<Option<Self>, LookError> {
        let dir = Pins::path(Path::new(bpffs::ROOT), name)
            .map_err(|error| LookError { dir: PathBuf::from(bpffs::ROOT), why: error.to_string() })?;
        match fs::symlink_metadata(dir.join(object::VIPS)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            _ => Self::at(&dir).map(Some),
        }
    }

    pub(super) fn at(dir: &Path) -> Result<Self, LookError> {
        let map = |name| MapData::from_pin(dir.join(name));
        let open = || {
            Ok(Self {
                dir: dir.to_owned(),
                vips: Map::HashMap(map(object::VIPS)?).try_into()?,
                counters: Map::PerCpuArray(map(object::COUNTERS)?).try_into()?,
                right: Map::Array(map(object::RIGHT)?).try_into()?,
            })
        };
        open().map_err(|error| failed(dir, &error))
    }

    /// All VIPs, in no order.
    ///
    /// Costs three system calls for each: 4.5 us of CPU time on a machine with two CPUs, of which each has counters of its
    /// own; so 18 ms for the most there can be. One VIP of an agent that lives is cheaper by [`super::Dataplane::counters`].
    pub fn vips(&self) -> Result<Vec<SeenVip>, LookError> {
        let mut seen = Vec::new();
        for entry in &self.vips {
            let (address, vip) = entry.map_err(|error| failed(&self.dir, &error))?;
            let counts = self.counters.get(&vip.slot, 0).map_err(|error| failed(&self.dir, &error))?;
            seen.push(SeenVip { vip: address.into(), entry: Found::from(&vip), counters: sum(&counts) });
        }
        Ok(seen)
    }

    /// The right that the program goes by.
    pub fn right(&self) -> Result<Right, LookError> {
        self.right.get(&0, 0).map(Right::from).map_err(|error| failed(&self.dir, &error))
    }

    /// Ends the right, which nobody may be moving any more.
    pub(super) fn revoke(&self) -> Result<(), LookError> {
        let failed = |why: String| LookError { dir: self.dir.clone(), why };
        let right =
            MapData::from_pin(self.dir.join(object::RIGHT)).map_err(|error| failed(cause::told(&error)))?;
        RightCell::map(right.fd()).map_err(|error| failed(error.to_string()))?.revoke();
        Ok(())
    }

    /// The links that the programs are attached to, by their numbers, and at which hooks.
    ///
    /// A link that is gone is among them until the next agent has started.
    pub fn links(&self) -> Result<Vec<(u32, LinkMode)>, LookError> {
        let links = pins::links(&self.dir)
            .map_err(|error| LookError { dir: self.dir.clone(), why: error.to_string() })?;
        Ok(links.into_iter().map(|index| (index, mode(&LinkPins::within(&self.dir, index)))).collect())
    }
}

fn mode(pins: &LinkPins) -> LinkMode {
    let form = FORMS.into_iter().find(|form| pins.has(form.name()));
    form.map_or(LinkMode::Tc, |form| LinkMode::Xdp { native: form.is_native() })
}

fn failed(dir: &Path, error: &MapError) -> LookError {
    LookError { dir: dir.to_owned(), why: cause::told(error) }
}
