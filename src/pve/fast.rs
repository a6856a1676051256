//! The fast lane: one call, asked of several endpoints if the first fails or is silent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::Answer;
use super::asking::Asking;
use super::body::Intake;
use super::endpoints::Candidate;
use super::error::{Error, Reason};
use super::health::PATIENCE;
use super::path::Path;
use super::transport::{Call, Line};

/// A call ends by itself after this, whoever waits for it.
const LONGEST: Duration = Duration::from_secs(60);

/// Asks until there is an answer, or an error that another endpoint would only repeat.
pub(super) async fn get(asking: &Arc<Asking>, path: &Path) -> Result<Answer, Error> {
    take(asking, Call::whole(path)).await
}

/// The same of a call whose answer is taken in otherwise.
pub(super) async fn take<B: Intake>(asking: &Arc<Asking>, call: Call<'_, B>) -> Result<Answer<B>, Error> {
    let path = call.path;
    let _background = Background::new(asking, path.label());
    match timeout(LONGEST, asking.admitted(|| race(asking, call))).await {
        Ok(result) => result,
        Err(_) => {
            let endpoint = asking.endpoints.order(path.label()).first().map_or(0, |first| first.index);
            let endpoint = asking.endpoints.url(endpoint).to_owned();
            Err(Error { endpoint, path: path.as_str().to_owned(), reason: Reason::Timeout(LONGEST) })
        }
    }
}

async fn race<B: Intake>(asking: &Asking, call: Call<'_, B>) -> Result<Answer<B>, Error> {
    let mut plan = Plan::new(asking.endpoints.order(call.path.label()));
    let Some(first) = plan.after_failure() else { return Err(asking.endpoints.all_refused(call.path.as_str())) };
    let attempt = |(index, line)| asking.attempt(index, call, line);
    let mut running = FuturesUnordered::from_iter([attempt(first)]);
    let mut impatient_at = Instant::now() + PATIENCE;
    loop {
        let next = tokio::select! {
            biased;
            Some(result) = running.next() => match result {
                Err(error) if error.is_of_the_endpoint() => {
                    tracing::debug!(cluster = asking.cluster, %error, "asking the next endpoint");
                    match plan.after_failure() {
                        None if running.is_empty() => return Err(error),
                        next => next,
                    }
                }
                result => return result,
            },
            () = sleep_until(impatient_at), if plan.has_more() => plan.after_silence(),
        };
        if let Some(next) = next {
            running.push(attempt(next));
            impatient_at = Instant::now() + PATIENCE;
        }
    }
}

/// Who is asked after whom.
struct Plan {
    order: std::vec::IntoIter<Candidate>,
    /// Asked last.
    newest: Option<Candidate>,
    /// The same endpoint is asked again once at most.
    again: bool,
}

impl Plan {
    fn new(order: Vec<Candidate>) -> Self {
        Self { order: order.into_iter(), newest: None, again: true }
    }

    fn has_more(&self) -> bool {
        self.again || self.order.len() > 0
    }

    /// The next endpoint, at once.
    fn after_failure(&mut self) -> Option<(usize, Line)> {
        self.newest = self.order.next();
        // There is nobody left whose silence could be met by asking again.
        self.again &= self.newest.is_some();
        self.newest.map(|candidate| (candidate.index, Line::Kept))
    }

    /// The next endpoint if it is as good as the silent one, else the same on a new connection.
    fn after_silence(&mut self) -> Option<(usize, Line)> {
        let silent = self.newest?;
        let as_good = self.order.as_slice().first().is_some_and(|next| next.well >= silent.well);
        if as_good || !self.again {
            self.newest = Some(self.order.next()?);
            return self.newest.map(|candidate| (candidate.index, Line::Kept));
        }
        self.again = false;
        Some((silent.index, Line::Fresh))
    }
}

/// Looks for what is due in the background before a call and after it, also if it is given up.
struct Background<'a> {
    asking: &'a Arc<Asking>,
    label: &'static str,
}

impl<'a> Background<'a> {
    fn new(asking: &'a Arc<Asking>, label: &'static str) -> Self {
        asking.probe(label);
        Self { asking, label }
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        self.asking.probe(self.label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(wells: &[bool]) -> Plan {
        Plan::new(wells.iter().enumerate().map(|(index, well)| Candidate { index, well: *well }).collect())
    }

    fn told(asked: Option<(usize, Line)>) -> String {
        match asked {
            None => "nobody".to_owned(),
            Some((index, Line::Kept)) => index.to_string(),
            Some((index, Line::Fresh)) => format!("{index} again"),
        }
    }

    #[test]
    fn failures_and_silences_lead_on() {
        // f: the newest fails, s: it is silent.
        let cases: [(&[bool], &str, &[&str]); 9] = [
            (&[true], "fs", &["nobody", "nobody"]),
            (&[true], "sss", &["0 again", "nobody", "nobody"]),
            (&[true], "sf", &["0 again", "nobody"]),
            (&[true, true], "sss", &["1", "1 again", "nobody"]),
            (&[true, true], "fsf", &["1", "1 again", "nobody"]),
            (&[true, false], "sss", &["0 again", "1", "nobody"]),
            (&[true, false], "fs", &["1", "1 again"]),
            (&[false, false], "sss", &["1", "1 again", "nobody"]),
            (&[true, true, false], "sfss", &["1", "2", "2 again", "nobody"]),
        ];
        for (wells, events, expected) in cases {
            let mut plan = plan(wells);
            assert_eq!(told(plan.after_failure()), "0");
            let asked: Vec<String> = events
                .chars()
                .map(|event| told(if event == 'f' { plan.after_failure() } else { plan.after_silence() }))
                .collect();
            assert_eq!(asked, expected, "{wells:?} {events}");
        }
    }

    #[test]
    fn without_endpoints_nobody_is_asked() {
        let mut plan = plan(&[]);
        assert_eq!(told(plan.after_silence()), "nobody");
        assert_eq!(told(plan.after_failure()), "nobody");
        assert!(!plan.has_more());
    }
}
