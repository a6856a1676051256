//! A TCP connection that can be cut from outside, whatever the protocol above it is doing.
//!
//! The task that speaks SSH belongs to the library and ends with its connection only; in the middle of an exchange of
//! keys it would wait for a silent host for ever.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Cuts the connection when told to or dropped.
pub(super) struct Cord(Mutex<Option<oneshot::Sender<()>>>);

/// The connection.
pub(super) struct Corded {
    stream: TcpStream,
    cut: oneshot::Receiver<()>,
    is_cut: bool,
}

/// Ties a connection to a cord.
pub(super) fn tie(stream: TcpStream) -> (Cord, Corded) {
    let (sender, cut) = oneshot::channel();
    (Cord(Mutex::new(Some(sender))), Corded { stream, cut, is_cut: false })
}

impl Cord {
    /// Ends the connection at once.
    pub(super) fn cut(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether it was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Corded {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || Pin::new(&mut self.cut).poll(context).is_ready();
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Corded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Corded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_read_that_waits_ends_when_the_cord_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other_side, _) = listener.accept().await.unwrap();
        let (cord, mut corded) = tie(stream);
        let mut byte = [0];
        let reading = tokio::spawn(async move { corded.read(&mut byte).await });
        tokio::task::yield_now().await;
        assert!(!cord.is_cut());
        cord.cut();
        cord.cut();
        assert!(cord.is_cut());
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(other_side.read(&mut [0]).await.unwrap(), 0, "the other side sees the end");
    }
}
