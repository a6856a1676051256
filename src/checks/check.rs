//! One check: name, connection, what the kind asks, outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::close::Open;
use super::name::{Host, Names, addresses};
use super::tls::{Handshakes, NotAfter};
use super::{Kind, Outcome, Step, Target, Why, banner, connect, request};

/// A limit above this counts as this.
const LONGEST: Duration = Duration::from_hours(1);

/// Checks that are under way at once: each holds a descriptor, of which a process has 1024 by default.
const AT_ONCE: usize = 128;

/// Does checks; one is shared by all that check, because it bounds how many of them are under way at once (128), and how
/// many names are looked up at once (16).
#[derive(Debug, Clone)]
pub struct Checker {
    turns: Arc<Semaphore>,
    names: Names,
    handshakes: Handshakes,
}

/// How far a check got; read also when it is ended from outside.
struct Progress {
    step: Step,
    until: Instant,
    not_after: NotAfter,
}

/// What the service answered.
struct Answer {
    status: Option<u16>,
    open: Option<Open>,
}

impl Checker {
    /// Opens nothing yet.
    pub fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), names: Names::new(), handshakes: Handshakes::new() }
    }

    /// Checks one service within `limit`, which begins when it is its turn. All addresses of a name are tried in their order, until one takes the
    /// connection; what comes after that is asked of this one only.
    pub async fn check(&self, target: &Target, limit: Duration) -> Outcome {
        let limit = limit.min(LONGEST);
        if limit.is_zero() {
            return outcome(Err(Why::NotAsked("no time was left".to_owned())), limit, None);
        }
        // Never closed: this cannot fail.
        let _turn = self.turns.acquire().await;
        let begun = Instant::now();
        let mut progress = Progress { step: Step::Place, until: begun + limit, not_after: NotAfter::default() };
        let answered = timeout(limit, self.ask(target, &mut progress)).await;
        let took = begun.elapsed();
        let answered = match answered {
            Ok(Ok(Answer { status, open })) => {
                if let Some(open) = open {
                    open.close(limit.saturating_sub(took)).await;
                }
                Ok(status)
            }
            Ok(Err(why)) => Err(why),
            Err(_) if progress.step == Step::Place => {
                Err(Why::NotAsked(format!("too many names were being looked up for {limit:?}")))
            }
            Err(_) => Err(Why::Timeout(progress.step, limit)),
        };
        outcome(answered, took, progress.not_after.get().copied())
    }

    async fn ask(&self, target: &Target, progress: &mut Progress) -> Result<Answer, Why> {
        let Target { host, port, kind } = target;
        let host = Host::read(host)?;
        let place = self.names.place(&host).await;
        progress.step = Step::Name;
        let addresses = addresses(&host, *port, place).await?;
        progress.step = Step::Connect;
        let mut stream = connect::connect(&addresses, progress.until).await?;
        progress.step = Step::Answer;
        match kind {
            Kind::Tcp => Ok(Answer { status: None, open: None }),
            Kind::Ssh => {
                banner::read(&mut stream).await?;
                Ok(Answer { status: None, open: Some(Open { stream: Box::new(stream), farewell: banner::farewell() }) })
            }
            Kind::Http => {
                let status = request::ask(&mut stream, &host.header(*port, 80)).await?;
                Ok(Answer { status: Some(status), open: Some(Open { stream: Box::new(stream), farewell: Vec::new() }) })
            }
            Kind::Https => {
                progress.step = Step::Tls;
                let peer = stream.peer_addr().map_err(|error| super::why::of(&error, Why::Connect))?.ip();
                let name = host.server_name(peer);
                let mut stream = self.handshakes.shake(name, stream, &progress.not_after).await?;
                progress.step = Step::Answer;
                let status = request::ask(&mut stream, &host.header(*port, 443)).await?;
                Ok(Answer { status: Some(status), open: Some(Open { stream: Box::new(stream), farewell: Vec::new() }) })
            }
        }
    }

    /// Takes all places for lookups.
    #[cfg(test)]
    pub(super) async fn hold_lookups(&self) -> Vec<super::name::Place> {
        let host = Host::read("nas.invalid").expect("a name");
        let places = (0..super::name::MOST_LOOKUPS).map(|_| self.names.place(&host));
        futures_util::future::join_all(places).await
    }
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

fn outcome(answered: Result<Option<u16>, Why>, took: Duration, certificate_not_after: Option<i64>) -> Outcome {
    let (status, took, why) = match answered {
        Ok(status) => (status, Some(took), status.filter(|status| *status >= 500).map(Why::Status)),
        Err(why) => (None, None, Some(why)),
    };
    let up = match why {
        None => Some(true),
        Some(Why::NotAsked(_)) => None,
        Some(_) => Some(false),
    };
    Outcome { up, took, status, certificate_not_after, why }
}
