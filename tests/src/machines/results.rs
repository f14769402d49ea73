//! Which rows were green, kept so that a run that was ended goes on where it was.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::rows::Row;
use crate::binaries;

/// What is known of the rows.
pub(super) struct Results {
    path: PathBuf,
    green: BTreeMap<String, String>,
}

impl Results {
    /// What an earlier run of these very programs left.
    pub(super) fn read(fresh: bool) -> Self {
        let path = binaries::target().join("machines.txt");
        let built = built();
        let text = if fresh { String::new() } else { fs::read_to_string(&path).unwrap_or_default() };
        let mut lines = text.lines();
        let is_same = lines.next() == Some(built.as_str());
        let green = lines.filter(|_| is_same).filter_map(|line| line.split_once('\t'));
        let green = green.map(|(name, said)| (name.to_owned(), said.to_owned())).collect();
        Self { path, green }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.green.contains_key(name)
    }

    /// Takes down what came of a row, and says whether that is as it is to be. A row that is expected to be red is wrong when
    /// it is green: its mark has to go.
    #[expect(clippy::print_stdout, reason = "a command for people talks on the terminal")]
    pub(super) fn judge(&mut self, row: &Row, said: Result<String, String>, seconds: u64) -> bool {
        match (said, &row.red) {
            (Ok(said), None) => {
                println!("green  {seconds:>4} s  {}: {said}", row.name);
                self.green.insert(row.name.to_owned(), format!("{seconds} s\t{said}"));
                self.write();
                true
            }
            (Err(why), Some(red)) if first_line(&why).contains(red.says) => {
                println!("as expected   {}: {} ({})", row.name, red.because, red.says);
                true
            }
            (Ok(said), Some(red)) => {
                println!(
                    "RED    {seconds:>4} s  {}: it is green ({said}), though marked: {}",
                    row.name, red.because
                );
                false
            }
            (Err(why), _) => {
                println!("RED    {seconds:>4} s  {}: {}", row.name, first_line(&why));
                false
            }
        }
    }

    fn write(&self) {
        let lines = self.green.iter().map(|(name, said)| format!("{name}\t{said}\n"));
        let text = std::iter::once(format!("{}\n", built())).chain(lines).collect::<String>();
        // A result that is not kept is measured again.
        let _ = fs::write(&self.path, text);
    }
}

/// When the agent that is tried was built.
fn built() -> String {
    let modified = fs::metadata(binaries::mantle()).and_then(|of| of.modified());
    modified.map_or_else(|_| "unknown".to_owned(), |at| format!("{at:?}"))
}

/// What a panic said.
pub(super) fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
