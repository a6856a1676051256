//! A TCP connection that can be cut from outside, whatever the protocol above it is doing, and that tells when something
//! was sent.
//!
//! The task that speaks SSH belongs to the library and ends with its connection only; in the middle of an exchange of
//! keys it would wait for a silent host for ever.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

/// Cuts the connection when told to or dropped.
pub(super) struct Cord {
    uncut: Mutex<Option<oneshot::Sender<()>>>,
    sent: Arc<Notify>,
}

/// The connection.
pub(super) struct Corded {
    stream: TcpStream,
    cut: oneshot::Receiver<()>,
    is_cut: bool,
    /// Told whenever all that was to be written is with the system.
    sent: Arc<Notify>,
}

/// Ties a connection to a cord.
pub(super) fn tie(stream: TcpStream) -> (Cord, Corded) {
    let ((sender, cut), sent) = (oneshot::channel(), Arc::<Notify>::default());
    let cord = Cord { uncut: Mutex::new(Some(sender)), sent: Arc::clone(&sent) };
    (cord, Corded { stream, cut, is_cut: false, sent })
}

impl Cord {
    /// Ends the connection at once.
    pub(super) fn cut(&self) {
        self.uncut.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether it was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.uncut.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Ends when something was sent after this was called; never on a connection that has ended.
    pub(super) fn sent(&self) -> Notified<'_> {
        self.sent.notified()
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
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.sent.notify_waiters();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

    #[tokio::test]
    async fn what_was_sent_after_somebody_began_to_wait_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (cord, mut corded) = tie(stream);
        corded.write_all(b"before").await.unwrap();
        corded.flush().await.unwrap();
        let mut sent = pin!(cord.sent());
        corded.write_all(b"after").await.unwrap();
        assert!(sent.as_mut().now_or_never().is_none(), "nothing was flushed since");
        corded.flush().await.unwrap();
        assert!(sent.now_or_never().is_some());

        let unpolled = cord.sent();
        corded.flush().await.unwrap();
        assert!(unpolled.now_or_never().is_some(), "told also to who looks later");
    }
}
