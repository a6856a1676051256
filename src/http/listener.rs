//! What we listen on, and what comes in there: TCP, or a socket in the file system.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};

const BACKLOG: u32 = 1024;

/// What we listen on.
pub enum Listener {
    /// An address.
    Tcp(TcpListener),
    /// A socket in the file system, whose file is removed with it.
    Socket(UnixListener, SocketFile),
}

/// The file of a socket; removed when dropped, if it is still the same.
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// For what somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// All pages: a listener of `[web]`.
    Web,
    /// The API: a listener of `[control]`.
    Control,
}

/// Somebody who came in.
pub(super) struct Arrival {
    pub(super) stream: Raw,
    pub(super) side: Side,
}

/// What carries a connection, before anything was said.
pub(super) enum Raw {
    Tcp(TcpStream),
    Socket(UnixStream),
}

impl Listener {
    /// A socket at `path` that only those may use whom `mode` lets. What a process left that is no more is replaced; a
    /// socket that somebody listens on is not. The error names the path and what to do. Must run on the runtime.
    pub async fn at(path: &Path, mode: u32) -> io::Result<Self> {
        let bound = async {
            clear(path).await?;
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            // Nobody gets in before it listens, so that nobody gets in before the mode is right.
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
            Ok(Self::Socket(socket.listen(BACKLOG)?, file))
        };
        bound.await.map_err(|error: io::Error| explain(path, &error))
    }

    /// Where it listens, for people.
    pub(super) fn shown(&self, scheme: &str) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(format!("{scheme}://{}", listener.local_addr()?)),
            Self::Socket(_, file) => Ok(format!("unix:{}", file.path.display())),
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Raw>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| Raw::Tcp(stream)),
            Self::Socket(listener, _) => listener.poll_accept(cx).map_ok(|(stream, _)| Raw::Socket(stream)),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Arrival {
    /// The client's address for the log; sockets have none.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let Raw::Tcp(stream) = &self.stream else { return None };
        let address = stream.peer_addr().ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another one in its place.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Removes what a process left that is no more.
async fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        // Also where its queue is full.
        Ok(_) | Err(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
    }
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    let what_to_do = match error.kind() {
        ErrorKind::AddrInUse => "stop the program that listens there, or choose another path",
        ErrorKind::AlreadyExists => "remove it, or choose another path",
        ErrorKind::NotFound => "make its folder, as RuntimeDirectory= of systemd does",
        ErrorKind::PermissionDenied => "choose a folder in which this user may write",
        _ => "choose another path",
    };
    io::Error::new(error.kind(), format!("cannot listen on unix:{}: {error}; {what_to_do}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wrong(path: &Path) -> String {
        Listener::at(path, 0o660).await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        for mode in [0o660, 0o600] {
            let listener = Listener::at(&path, mode).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(listener.shown("http").unwrap(), format!("unix:{}", path.display()));
            let busy = wrong(&path).await;
            assert!(busy.ends_with("stop the program that listens there, or choose another path"), "{busy}");
            assert!(path.exists(), "a live one stays");
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn what_was_left_is_replaced_and_what_is_another_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = Listener::at(&path, 0o660).await.unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(listener);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let said = wrong(&path).await;
        assert!(said.contains("control.sock: there is a file that is no socket; remove it"), "{said}");
        let said = wrong(&folder.path().join("none/x.sock")).await;
        assert!(said.ends_with("make its folder, as RuntimeDirectory= of systemd does"), "{said}");
    }
}
