//! Where the agent listens: one TCP address, and a Unix socket that only root may open.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{Mode, fchmod};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

/// The control socket's name in the runtime directory.
pub const SOCKET: &str = "mantle.sock";

/// Why the agent cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The HTTP address is not to be had.
    #[error(
        "cannot listen on http://{address}: {source}; set http.listen to an address of this node and a free port"
    )]
    Tcp {
        /// What was asked for.
        address: SocketAddr,
        /// What came back.
        source: io::Error,
    },
    /// The runtime directory is not to be had.
    #[error("cannot make the runtime directory {}: {source}; set runtimeDir to a place that may be written", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// Something that is no socket has the socket's name.
    #[error("{} is no socket: it is left alone; move it away or set another runtimeDir", path.display())]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
    },
    /// The control socket is not to be had.
    #[error("cannot listen on the control socket {}: {source}; see that runtimeDir is on a local file system that may be written and its path is short", path.display())]
    Unix {
        /// The socket.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
}

/// Listens on a TCP address.
pub async fn tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Tcp { address, source })
}

/// Listens on the control socket in `runtime_dir`, in place of the one that an agent before this one left there.
///
/// The caller holds the node's lock, so that no other agent is listening on it. To be called within a runtime.
pub fn control(runtime_dir: &Path) -> Result<UnixListener, ListenError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(runtime_dir)
        .map_err(|source| ListenError::Directory { path: runtime_dir.to_owned(), source })?;
    let path = runtime_dir.join(SOCKET);
    let failed = |source| ListenError::Unix { path: path.clone(), source };
    match fs::symlink_metadata(&path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(&path).map_err(failed)?,
        Ok(_) => return Err(ListenError::InTheWay { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    bind_root_only(&path).map_err(failed)
}

/// Binds a socket whose file has mode 0600 from its first moment: Linux makes the file with the mode of the socket's own
/// inode (`unix_bind_bsd`), so nobody can slip in between bind and chmod, whatever the umask.
fn bind_root_only(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&fd, Backlog::MAXCONN)?;
    UnixListener::from_std(fd.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn only_its_owner_may_open_the_control_socket_and_a_stale_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let runtime_dir = dir.path().join("run/mantle");
        drop(control(&runtime_dir).unwrap());
        let _listener = control(&runtime_dir).unwrap();
        let mode = fs::metadata(runtime_dir.join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(runtime_dir).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(SOCKET), "precious").unwrap();
        let error = control(dir.path()).unwrap_err();
        assert!(matches!(error, ListenError::InTheWay { .. }), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(SOCKET)).unwrap(), "precious");
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = tcp(address).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("http.listen"), "{error}");
    }
}
