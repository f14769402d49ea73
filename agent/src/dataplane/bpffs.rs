//! The file system that what is pinned lives in.

use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Where every Linux tool expects it.
pub(super) const ROOT: &str = "/sys/fs/bpf";

/// Mounts it unless it is there.
pub(super) fn mounted() -> io::Result<&'static Path> {
    let root = Path::new(ROOT);
    if statfs(root)?.filesystem_type() != BPF_FS_MAGIC {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("bpf"), root, Some("bpf"), flags, Some("mode=0700"))?;
        tracing::info!("mounted the BPF file system at {ROOT}");
    }
    Ok(root)
}
