//! One question: asked again and again, waited for a while, and left alone where it fails.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::pve::Error;

/// One that fails is asked again after this at the latest.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// A question to a cluster.
pub(super) struct Question<T> {
    cluster: String,
    /// Such as `/cluster/status`.
    what: &'static str,
    /// Not asked more often.
    every: Duration,
    /// The first rest after a failure.
    rest: Duration,
    /// At most one; ended when dropped.
    under_way: JoinSet<Result<T, Error>>,
    next: Option<Instant>,
    failures: u32,
    failed: Option<Error>,
}

impl<T: Send + 'static> Question<T> {
    pub(super) fn new(cluster: &str, what: &'static str, every: Duration, rest: Duration) -> Self {
        let (cluster, under_way) = (cluster.to_owned(), JoinSet::new());
        Self { cluster, what, every, rest, under_way, next: None, failures: 0, failed: None }
    }

    /// Asks if it is time to, and waits so long; an answer that is late is had the next time.
    pub(super) async fn ask<F>(&mut self, until: Instant, ask: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let now = Instant::now();
        if self.under_way.is_empty() {
            if self.next.is_some_and(|next| now < next) {
                return None;
            }
            self.next = Some(now + self.every);
            self.under_way.spawn(ask());
        }
        match timeout_at(until, self.under_way.join_next()).await {
            Ok(Some(Ok(Ok(answer)))) => {
                if self.failures > 0 {
                    tracing::info!(cluster = %self.cluster, path = self.what, "the watch for events is answered again");
                }
                (self.failures, self.failed) = (0, None);
                Some(answer)
            }
            Ok(Some(Ok(Err(error)))) => {
                self.failed(&error);
                None
            }
            // Late, or cut off.
            _ => None,
        }
    }

    /// Why it was not answered the last time, unless it was.
    pub(super) fn error(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    fn failed(&mut self, error: &Error) {
        if self.failures == 0 {
            tracing::warn!(cluster = %self.cluster, path = self.what, %error, "the watch for events gets no answer");
        } else {
            tracing::debug!(cluster = %self.cluster, path = self.what, %error, "the watch for events gets no answer again");
        }
        let rest = self.rest.saturating_mul(1 << self.failures.min(10)).min(LONGEST_REST);
        self.next = Some(Instant::now() + rest.max(self.every));
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(error.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::Reason;

    fn error() -> Error {
        Error { endpoint: "x".into(), path: "/x".into(), reason: Reason::Unreachable("gone".into()) }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_had_the_next_time_and_not_asked_for_twice() {
        let mut question = Question::new("home", "/x", Duration::ZERO, Duration::from_secs(10));
        let late = || async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            Ok(1)
        };
        assert_eq!(question.ask(soon(), late).await, None);
        assert_eq!(question.ask(soon(), || async { Ok(2) }).await, Some(1));
        assert_eq!(question.ask(soon(), || async { Ok(3) }).await, Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_rests_ever_longer_up_to_a_minute() {
        let mut question = Question::new("home", "/x", Duration::ZERO, Duration::from_secs(10));
        let mut asked = Vec::new();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(200) {
            let (now, times) = (started.elapsed().as_secs(), &mut asked);
            let answer = question.ask(soon(), || {
                times.push(now);
                async { Err::<(), _>(error()) }
            });
            assert_eq!(answer.await, None);
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(asked, [0, 10, 30, 70, 130, 190]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(question.ask(soon(), || async { Ok(()) }).await, Some(()));
        assert_eq!(question.ask(soon(), || async { Ok(()) }).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_seldom_changes_is_seldom_asked() {
        let mut question = Question::new("home", "/x", Duration::from_mins(1), Duration::from_secs(10));
        assert_eq!(question.ask(soon(), || async { Ok(()) }).await, Some(()));
        assert_eq!(question.ask(soon(), || async { Ok(()) }).await, None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(question.ask(soon(), || async { Ok(()) }).await, Some(()));
    }
}
