//! What carries a connection: TCP, TLS over it, or a socket in the file system.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;

use super::door::{Door, Way};
use super::listener::Raw;
use super::tls;

/// TCP, on which a write that gets nowhere ends the connection.
pub(super) type Plain = Pin<Box<TimeoutStream<TcpStream>>>;

/// TLS over TCP.
pub(super) type Encrypted = TlsStream<Plain>;

/// A socket in the file system, alike.
type Socket = Pin<Box<TimeoutStream<UnixStream>>>;

/// One of them.
pub(super) enum Wire {
    Plain(Plain),
    Socket(Socket),
    Encrypted(Box<Encrypted>),
}

impl Wire {
    /// Comes in through `door`; none where the client spoke HTTP at a port for TLS, and was told so. The time that takes
    /// is bounded by who calls; a write may take `patience`.
    pub(super) async fn open(stream: Raw, door: &Door, patience: Duration) -> io::Result<Option<(Self, Way)>> {
        let mut stream = match stream {
            Raw::Tcp(stream) => stream,
            Raw::Socket(stream) => {
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(patience));
                return Ok(Some((Self::Socket(Box::pin(stream)), Way::Socket)));
            }
        };
        // Without it the last piece of a page can wait for an acknowledgement that the client delays.
        stream.set_nodelay(true)?;
        if door.tls.is_some() && tls::speaks_http(&mut stream).await? {
            return Ok(None);
        }
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(patience));
        let stream = Box::pin(stream);
        let Some(tls) = &door.tls else { return Ok(Some((Self::Plain(stream), Way::Plain))) };
        let (stream, way) = tls.greet(stream).await?;
        Ok(Some((Self::Encrypted(Box::new(stream)), way)))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => stream.as_mut().poll_read(cx, buffer),
            Self::Socket(stream) => stream.as_mut().poll_read(cx, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => stream.as_mut().poll_write(cx, data),
            Self::Socket(stream) => stream.as_mut().poll_write(cx, data),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => stream.as_mut().poll_write_vectored(cx, data),
            Self::Socket(stream) => stream.as_mut().poll_write_vectored(cx, data),
            Self::Encrypted(stream) => Pin::new(stream).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Socket(stream) => stream.is_write_vectored(),
            Self::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => stream.as_mut().poll_flush(cx),
            Self::Socket(stream) => stream.as_mut().poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => stream.as_mut().poll_shutdown(cx),
            Self::Socket(stream) => stream.as_mut().poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
