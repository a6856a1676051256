//! Calls with a ticket: the login before them, at the endpoint that does best, and once more after a 401.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use super::asking::Asking;
use super::error::{Error, LOGIN, Reason};
use super::login::{Login, Proof, Step, UnderWay, under_way};
use super::minted::MintedToken;
use super::ticket::{NoTicket, Ticket, form};
use super::transport::Bounds;

/// Bounds of a login at one endpoint: a refusal takes 3 s, and a realm whose first server is down longer.
const BOUNDS: Bounds = Bounds { head: Duration::from_secs(20), total: Duration::from_secs(20) };
/// After so long without an answer, the next endpoint is asked as well: no sooner, since a password that is wrong is wrong
/// everywhere.
const PATIENCE: Duration = Duration::from_secs(5);
/// All of a login.
const LONGEST: Duration = Duration::from_mins(1);

impl Asking {
    /// A call with a valid ticket, where one is needed; once more if a newer ticket may do better.
    pub(super) async fn admitted<T, F>(self: &Arc<Self>, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if let Some(token) = self.transport.minted() {
            return self.with(token, call).await;
        }
        let Some(login) = self.transport.login() else { return call().await };
        let number = self.admit(login).await?;
        let error = match call().await {
            Err(error) if matches!(error.reason, Reason::Unauthorized(_)) => error,
            result => return result,
        };
        if !login.reject(number, Instant::now()) {
            return Err(told(login, error));
        }
        tracing::debug!(cluster = self.cluster, %error, "logging in again");
        self.admit(login).await?;
        call().await.map_err(|error| told(login, error))
    }

    /// A call with a token that comes later, and is got anew where it is not accepted.
    async fn with<T, F>(&self, token: &MintedToken, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let number = token.number().map_err(|words| self.login_error(self.first(), Reason::NoToken(words)))?;
        call().await.inspect_err(|error| {
            if matches!(error.reason, Reason::Unauthorized(_)) {
                token.reject(number);
            }
        })
    }

    /// The endpoint that is asked first to let us in.
    fn first(&self) -> usize {
        self.endpoints.order(LOGIN).first().map_or(0, |first| first.index)
    }

    /// Whether calls can be made at once.
    pub(super) fn is_admitted(&self) -> bool {
        if let Some(token) = self.transport.minted() {
            return token.is_there();
        }
        self.transport.login().is_none_or(|login| login.is_admitted(Instant::now()))
    }

    /// The number of the ticket to ask with.
    async fn admit(self: &Arc<Self>, login: &Login) -> Result<u64, Error> {
        match login.step(Instant::now(), |proof| self.start(proof)) {
            Step::Ask(number) => Ok(number),
            Step::Wait(under_way) => under_way.await,
            Step::Stop(error) => Err(error),
        }
    }

    /// A login goes on when nobody waits for it any more: the next scrape would only begin it anew.
    fn start(self: &Arc<Self>, proof: Proof) -> UnderWay {
        let asking = Arc::clone(self);
        let task = Handle::current().spawn(async move { asking.log_in(proof).await });
        let endpoint = self.endpoints.url(self.first()).to_owned();
        under_way(async move {
            let cut_off = |_| Error {
                endpoint,
                path: LOGIN.to_owned(),
                reason: Reason::Broken("the login was cut off".to_owned()),
            };
            task.await.map_err(cut_off).flatten()
        })
    }

    async fn log_in(&self, proof: Proof) -> Result<u64, Error> {
        // Only who has a login starts one.
        let Some(login) = self.transport.login() else { return Ok(0) };
        let began = Instant::now();
        let mut result = self.ticket(login, &proof).await;
        let is_renewal = matches!(proof, Proof::Ticket(_));
        if is_renewal
            && let Err(error) = &result
            && matches!(error.reason, Reason::NotLoggedIn(_))
        {
            tracing::debug!(cluster = self.cluster, %error, "the ticket was not renewed; logging in with the password");
            result = self.ticket(login, &Proof::Password).await;
        }
        let result = login.settle(began, Instant::now(), result);
        match &result {
            Ok(_) => tracing::debug!(cluster = self.cluster, user = login.user(), is_renewal, "logged in"),
            // Nobody waits for it, so that nobody else will tell.
            Err(error) if is_renewal => {
                tracing::warn!(cluster = self.cluster, %error, "the ticket was not renewed; it is used until it ends");
            }
            Err(_) => {}
        }
        result
    }

    /// Asks the endpoints, one after the other, until one gives or refuses a ticket.
    async fn ticket(&self, login: &Login, proof: &Proof) -> Result<Ticket, Error> {
        let mut order = self.endpoints.order(LOGIN).into_iter();
        let attempt = |index| self.ticket_of(index, login, proof);
        let mut running = FuturesUnordered::new();
        let race = async {
            let mut failed = None;
            loop {
                if let Some(next) = order.next() {
                    running.push(attempt(next.index));
                } else if running.is_empty() {
                    return Err(failed.unwrap_or_else(|| self.endpoints.all_refused(LOGIN)));
                }
                tokio::select! {
                    biased;
                    Some(result) = running.next() => match result {
                        Err(error) if error.is_of_the_endpoint() => failed = Some(error),
                        result => return result,
                    },
                    () = sleep(PATIENCE) => {}
                }
            }
        };
        let first = self.first();
        let too_long = |_| self.login_error(first, Reason::Timeout(LONGEST));
        timeout(LONGEST, race).await.map_err(too_long).flatten()
    }

    async fn ticket_of(&self, index: usize, login: &Login, proof: &Proof) -> Result<Ticket, Error> {
        let started = Instant::now();
        let form = form(login.user(), login.secret(proof));
        let answer = self.transport.log_in(self.endpoints.url(index), form, BOUNDS).await;
        let ticket = answer.and_then(|body| {
            Ticket::parse(&body).map_err(|wrong| match wrong {
                NoTicket::Half => self.login_error(index, Reason::NotLoggedIn(second_factor(login.user()))),
                NoTicket::Malformed(detail) => self.login_error(index, Reason::Malformed(detail.to_owned())),
            })
        });
        let ticket = ticket.map_err(refusal);
        self.endpoints.note(index, LOGIN, started, ticket.as_ref().map(|_| ()));
        ticket
    }

    fn login_error(&self, index: usize, reason: Reason) -> Error {
        Error { endpoint: self.endpoints.url(index).to_owned(), path: LOGIN.to_owned(), reason }
    }
}

/// A refused login, in other words than those for tokens.
fn refusal(mut error: Error) -> Error {
    const ADVICE: &str = "check username with its realm, and the password";
    error.reason = match error.reason {
        Reason::Unauthorized(words) => Reason::NotLoggedIn(format!("401 {words}: {ADVICE}")),
        Reason::Forbidden(words) => Reason::NotLoggedIn(format!("403 {words}: {ADVICE}")),
        Reason::Status(code @ 400..=499, words) => Reason::NotLoggedIn(format!("{code} {words}: {ADVICE}")),
        other => other,
    };
    error
}

fn second_factor(user: &str) -> String {
    format!(
        "a second factor is asked of {user}, which nobody can give here: use an API token (token_id and a token secret), \
         which needs none"
    )
}

/// A ticket that is not accepted although it is new.
fn told(login: &Login, mut error: Error) -> Error {
    if let Reason::Unauthorized(words) = &error.reason {
        error.reason = Reason::NotLoggedIn(format!(
            "401 {words}: the ticket of {} is not accepted although it is new; check that the endpoints are of one \
             cluster and their clocks agree, or use an API token",
            login.user()
        ));
    }
    error
}
