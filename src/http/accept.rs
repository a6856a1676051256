//! From listeners to streams, also where the system has no more of them.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::listener::{Arrival, Listener, Raw, Side};

/// The wait after an error that concerns the listener, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// An episode of errors is over when none came for so long: under pressure every freed file lets one client in.
const QUIET: Duration = Duration::from_secs(10);

/// Takes clients from all listeners.
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    side: Side,
    trouble: Trouble,
}

/// The errors of an episode, which is logged when it begins and when it is over.
#[derive(Default)]
struct Trouble {
    last: Option<Instant>,
    /// Outlives a dropped wait.
    pause_until: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>, side: Side) -> Self {
        Self { listeners, side, trouble: Trouble::default() }
    }

    /// The next client. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Arrival {
        loop {
            self.trouble.pause().await;
            let accepted = accept(&self.listeners).await;
            if let Some(stream) = self.trouble.judge(accepted) {
                return Arrival { stream, side: self.side };
            }
        }
    }
}

impl Trouble {
    async fn pause(&mut self) {
        if let Some(until) = self.pause_until {
            tokio::time::sleep_until(until).await;
            self.pause_until = None;
        }
    }

    fn judge<T>(&mut self, accepted: io::Result<T>) -> Option<T> {
        let now = Instant::now();
        match accepted {
            Ok(stream) => {
                if self.last.is_some_and(|last| now.duration_since(last) >= QUIET) {
                    self.last = None;
                    tracing::info!("accepting connections again");
                }
                Some(stream)
            }
            // The client gave up while it waited in the backlog.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => None,
            Err(error) => {
                if self.last.replace(now).is_none() {
                    tracing::warn!(%error, "cannot accept connections; trying again every second");
                }
                self.pause_until = Some(now + PAUSE);
                None
            }
        }
    }
}

async fn accept(listeners: &[Listener]) -> io::Result<Raw> {
    poll_fn(|cx| {
        for listener in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn no_more_files() -> io::Result<()> {
        Err(io::Error::from_raw_os_error(24))
    }

    #[tokio::test(start_paused = true)]
    async fn an_episode_is_logged_once() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let count = |words: &str| String::from_utf8(lines.0.lock().unwrap().clone()).unwrap().matches(words).count();
        let mut trouble = Trouble::default();
        for episode in 1..=2 {
            for _ in 0..5 {
                assert_eq!(trouble.judge(no_more_files()), None);
                trouble.pause().await;
                assert_eq!(trouble.judge(Ok(())), Some(()), "a freed file lets one in");
            }
            assert_eq!((count("cannot accept connections"), count("connections again")), (episode, episode - 1));
            tokio::time::advance(QUIET).await;
            assert_eq!(trouble.judge(Ok(())), Some(()));
            assert_eq!(trouble.judge(Ok(())), Some(()));
            assert_eq!((count("cannot accept connections"), count("connections again")), (episode, episode));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_goes_on_when_its_wait_is_dropped() {
        let started = Instant::now();
        let mut trouble = Trouble::default();
        assert_eq!(trouble.judge(no_more_files()), None);
        for _ in 0..3 {
            let short = tokio::time::timeout(PAUSE / 4, trouble.pause()).await;
            assert!(short.is_err(), "the pause was cut short");
        }
        trouble.pause().await;
        assert!(started.elapsed() >= PAUSE && started.elapsed() < PAUSE * 2, "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn a_client_that_gave_up_is_no_trouble() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.judge::<()>(Err(ErrorKind::ConnectionAborted.into())), None);
        assert!(trouble.last.is_none() && trouble.pause_until.is_none());
    }
}
