//! Leaving politely: what the other side still writes is read, or its log would tell of a broken connection.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::time::timeout;

/// How long the other side may take for its end; nothing depends on it any more.
const PATIENCE: Duration = Duration::from_millis(250);

/// What is still read, in bytes.
const MOST: u64 = 64 * 1024;

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An answered connection that is still open.
pub(super) struct Open {
    pub(super) stream: Box<dyn Stream>,
    /// Said before the end.
    pub(super) farewell: Vec<u8>,
}

impl Open {
    /// Closes the connection, within `limit` and a bound of its own.
    pub(super) async fn close(mut self, limit: Duration) {
        let leave = async {
            self.stream.write_all(&self.farewell).await?;
            self.stream.shutdown().await?;
            copy(&mut self.stream.take(MOST), &mut sink()).await
        };
        // Whatever goes wrong now, the connection is dropped.
        let _ = timeout(PATIENCE.min(limit), leave).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_close_is_left_soon() {
        for (limit, waited) in [(Duration::from_secs(9), 250), (Duration::from_millis(20), 20), (Duration::ZERO, 0)] {
            let (ours, mut theirs) = duplex(1024);
            let begun = Instant::now();
            Open { stream: Box::new(ours), farewell: b"bye".to_vec() }.close(limit).await;
            assert_eq!(begun.elapsed().as_millis(), waited);
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).await.expect("the end");
            assert_eq!(heard, b"bye");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_closes_is_not_waited_for() {
        let (ours, mut theirs) = duplex(1024);
        let begun = Instant::now();
        let close = Open { stream: Box::new(ours), farewell: Vec::new() }.close(Duration::from_secs(9));
        let other = async move { theirs.write_all(b"the rest").await };
        assert!(futures_util::future::join(close, other).await.1.is_ok());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
