//! The file system that what is pinned lives in.

use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Where every Linux tool expects it.
pub(super) const ROOT: &str = "/sys/fs/bpf";

/// Mounts it unless it is there.
pub(super) fn mounted() -> io::Result<&'static Path> {
    if !is_mounted()? {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("bpf"), ROOT, Some("bpf"), flags, Some("mode=0700"))?;
        tracing::info!("mounted the BPF file system at {ROOT}");
    }
    Ok(Path::new(ROOT))
}

/// Whether it is there.
pub(super) fn is_mounted() -> io::Result<bool> {
    Ok(statfs(ROOT)?.filesystem_type() == BPF_FS_MAGIC)
}
