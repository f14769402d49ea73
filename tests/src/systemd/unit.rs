//! A unit as a package has it, fitted to a host.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// A unit, a drop-in of it, and the files that both name.
#[derive(Clone, Debug)]
pub struct Unit {
    name: String,
    text: String,
    drop_in: Option<String>,
    installed: Vec<(String, PathBuf)>,
}

impl Unit {
    /// A unit of that name with this text.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), drop_in: None, installed: Vec::new() }
    }

    /// With this drop-in, as `systemctl edit` would lay it beside the unit.
    #[must_use]
    pub fn with_drop_in(mut self, text: &str) -> Self {
        self.drop_in = Some(text.to_owned());
        self
    }

    /// With a file in the place of the one that the unit and its drop-in know by that path, which the machine need not have: they name
    /// where it is laid instead. That is not where it really is, since a unit may be kept from that (`ProtectHome=`, `PrivateTmp=`).
    #[must_use]
    pub fn with_file(mut self, known_as: &str, file: &Path) -> Self {
        self.installed.push((known_as.to_owned(), file.to_owned()));
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its files, by their paths below a directory of units.
    pub(super) fn files(&self, installed: &Path) -> Vec<(PathBuf, String)> {
        let fit = |text: &str| {
            self.installed.iter().fold(text.to_owned(), |text, (known_as, file)| {
                text.replace(known_as, &laid(installed, file).to_string_lossy())
            })
        };
        let drop_in = self.drop_in.as_deref();
        let drop_in =
            drop_in.map(|text| (PathBuf::from(format!("{}.d/override.conf", self.name)), fit(text)));
        [(PathBuf::from(&self.name), fit(&self.text))].into_iter().chain(drop_in).collect()
    }

    /// Lays the files that it names into a directory of the host.
    pub(super) fn install(&self, host: &Host, directory: &Path) {
        for (_, file) in &self.installed {
            let laid = laid(directory, file);
            let place = laid.clone();
            host.run(move || {
                fs::create_dir_all(place.parent().expect("it lies in the directory"))
                    .expect("/run is the host's own");
                fs::write(place, "").expect("/run is the host's own");
            });
            host.lay_over(&laid.to_string_lossy(), file);
        }
    }
}

fn laid(directory: &Path, file: &Path) -> PathBuf {
    directory.join(file.file_name().unwrap_or_else(|| panic!("{} is no file", file.display())))
}
