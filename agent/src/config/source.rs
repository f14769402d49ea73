//! The files of a config: which they are, and their text.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::Fault;
use super::origin::Position;

/// The largest file that is read: a Talos machine config with its manifests has some hundred kilobytes.
pub(super) const LARGEST_FILE: u64 = 4 << 20;
/// The most files of a directory.
pub(super) const MOST_FILES: usize = 256;

/// The files of a config: the one named, or all `*.yaml` and `*.yml` of a directory in the order of their names.
/// Directories in it and hidden files are left alone: editors and Kubernetes keep their own things in those.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    if !fs::metadata(path).map_err(Fault::Unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(Fault::Unreadable)? {
        let file = entry.map_err(Fault::Unreadable)?.path();
        if is_config(&file) && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Fault::NoFile);
    }
    if files.len() > MOST_FILES {
        return Err(Fault::TooManyFiles);
    }
    files.sort();
    Ok(files)
}

/// The text of a file.
pub(super) fn text(file: &Path) -> Result<String, (Option<Position>, Fault)> {
    let whole = |fault| (None, fault);
    let unreadable = |error| whole(Fault::Unreadable(error));
    let opened = File::open(file).map_err(unreadable)?;
    // Not by what the file says of its size: a pipe or a device says nothing, and a file may grow.
    let mut bytes = Vec::new();
    opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(whole(Fault::TooLarge));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let (good, bad) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        (
            Some(end_of(&String::from_utf8_lossy(good))),
            Fault::NotUtf8(bad.first().copied().unwrap_or_default()),
        )
    })?;
    // Editors on Windows begin a text with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn is_config(file: &Path) -> bool {
    let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && matches!(file.extension().and_then(OsStr::to_str), Some("yaml" | "yml"))
}

/// The place right after a text.
fn end_of(text: &str) -> Position {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
}
