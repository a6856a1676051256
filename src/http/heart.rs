//! Whether the loops that take clients turn: whoever must know asks, and each loop answers between two clients.

use tokio::sync::{mpsc, oneshot};

/// The side of a loop.
pub struct Heart(mpsc::Receiver<oneshot::Sender<()>>);

/// The side of who asks.
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

impl Heart {
    /// For a loop that does not turn yet.
    pub fn new() -> (Self, Pulse) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(receiver), Pulse(sender))
    }

    /// Answers who asks next; waits for ever where nobody does. Nothing is lost when it is dropped.
    pub(super) async fn beat(&mut self) {
        match self.0.recv().await {
            // Whoever asked may have left.
            Some(asker) => drop(asker.send(())),
            None => std::future::pending().await,
        }
    }

    /// A loop that does nothing else.
    #[cfg(test)]
    pub(crate) async fn turns(&mut self) {
        loop {
            self.beat().await;
        }
    }
}

impl Pulse {
    /// Waits until the loop has come to this question; for ever where it does not turn, or has ended.
    pub async fn felt(&self) {
        let (question, answer) = oneshot::channel();
        if self.0.send(question).await.is_err() || answer.await.is_err() {
            std::future::pending().await
        }
    }
}
