//! When a user logs in: once for all calls of a cluster, again before the ticket ends, and not at all for a while after a
//! refusal. It decides and remembers; [`super::admission`] asks.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared};
use reqwest::header::HeaderValue;
use tokio::time::Instant;

use super::error::{Error, Reason};
use super::ticket::{Echoes, Ticket};
use crate::config::Secret;

/// Tickets are used no longer than this; PVE takes them for two hours.
const USED: Duration = Duration::from_mins(119);
/// The first call after this time, up to [`JITTER`] later, renews the ticket.
const RENEWED: Duration = Duration::from_mins(85);
/// Exporters that were started together are not to log in together for ever.
const JITTER: Duration = Duration::from_mins(10);

/// Pauses after refusals, doubling: each costs PVE three seconds, and may lock the user out.
const REFUSED: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));
/// Pauses after logins that were sent and not answered well, doubling.
const UNANSWERED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// The pause where no connection came about: the calls of one scrape need not all find out.
const UNREACHABLE: Duration = Duration::from_secs(1);

/// The login of one cluster, which all its calls share.
pub(super) struct Login {
    user: String,
    password: Secret,
    /// How the password may come back in messages.
    echoes: Echoes,
    renewed_after: Duration,
    state: Mutex<State>,
}

/// A login under way: the number of its ticket, for all who wait.
pub(super) type UnderWay = Shared<BoxFuture<'static, Result<u64, Error>>>;

/// What a caller is to do.
pub(super) enum Step {
    /// Ask, with the ticket of this number.
    Ask(u64),
    /// Wait for the login that is under way.
    Wait(UnderWay),
    /// Nothing: no login is to be tried now.
    Stop(Error),
}

/// What a login is tried with.
pub(super) enum Proof {
    /// A ticket that is still valid; the password, if it is refused.
    Ticket(Arc<Ticket>),
    /// The password.
    Password,
}

#[derive(Default)]
struct State {
    ticket: Option<Kept>,
    /// No longer used; but an answer may still repeat it.
    former: Option<Arc<Ticket>>,
    /// How many tickets there were.
    given: u64,
    under_way: Option<UnderWay>,
    /// Why the last login failed, and until when none is tried.
    failure: Option<(Error, Instant)>,
    /// Logins refused since the last ticket.
    refused: u32,
    /// Logins not answered since the last ticket.
    unanswered: u32,
    /// The last time that a ticket was not accepted, and how many of these there were in a row.
    rejected: Option<(Instant, u32)>,
}

struct Kept {
    ticket: Arc<Ticket>,
    number: u64,
    since: Instant,
    /// It was not accepted. It is sent where only a living endpoint is looked for, and replaced before anything else.
    is_rejected: bool,
}

impl Kept {
    fn is_good(&self, now: Instant) -> bool {
        !self.is_rejected && now.duration_since(self.since) < USED
    }
}

impl Login {
    /// Nobody is logged in yet.
    pub(super) fn new(user: &str, password: &Secret) -> Self {
        let mut seed = RandomState::new().build_hasher();
        seed.write(user.as_bytes());
        let jitter = JITTER * u32::try_from(seed.finish() % 1000).unwrap_or(0) / 1000;
        Self {
            user: user.to_owned(),
            password: password.clone(),
            echoes: Echoes::new(password.expose()),
            renewed_after: RENEWED + jitter,
            state: Mutex::default(),
        }
    }

    /// `user@realm`.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The text that stands for the proof.
    pub(super) fn secret<'a>(&'a self, proof: &'a Proof) -> &'a Secret {
        match proof {
            Proof::Ticket(ticket) => ticket.text(),
            Proof::Password => &self.password,
        }
    }

    /// What a caller is to do; `start` starts a login, which must end in [`Login::settle`].
    pub(super) fn step(&self, now: Instant, start: impl FnOnce(Proof) -> UnderWay) -> Step {
        let mut state = self.state();
        // One that ended without a word, as its runtime did, is none.
        state.under_way.take_if(|login| login.peek().is_some());
        let is_paused = state.failure.as_ref().is_some_and(|(_, until)| now < *until);
        let kept = state.ticket.as_ref().map(|kept| (kept, now.duration_since(kept.since)));
        if let Some((kept, age)) = kept.filter(|(kept, _)| kept.is_good(now)) {
            let number = kept.number;
            if age >= self.renewed_after && !is_paused && state.under_way.is_none() {
                let proof = Proof::Ticket(Arc::clone(&kept.ticket));
                state.under_way = Some(start(proof));
            }
            return Step::Ask(number);
        }
        match (&state.under_way, &state.failure) {
            (Some(login), _) => Step::Wait(login.clone()),
            (None, Some((error, _))) if is_paused => Step::Stop(error.clone()),
            _ => {
                let login = start(Proof::Password);
                state.under_way = Some(login.clone());
                Step::Wait(login)
            }
        }
    }

    /// Whether there is a ticket to ask with, without any ado.
    pub(super) fn is_admitted(&self, now: Instant) -> bool {
        self.state().ticket.as_ref().is_some_and(|kept| kept.is_good(now))
    }

    /// The ticket of this number was not accepted. Whether to ask again: there is a newer one, or one may be had.
    pub(super) fn reject(&self, number: u64, now: Instant) -> bool {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(kept) = state.ticket.as_mut().filter(|kept| kept.number == number && !kept.is_rejected) else {
            return true;
        };
        let row = match state.rejected {
            // Where tickets are not accepted as soon as they were given, another one is no remedy.
            Some((at, row)) if now < at + pause(REFUSED, row) => return false,
            Some((at, row)) if now < at + 2 * REFUSED.1 => row.saturating_add(1),
            _ => 0,
        };
        state.rejected = Some((now, row));
        kept.is_rejected = true;
        true
    }

    /// A login that began then has ended. Gives the ticket's number, or the error for all who waited.
    pub(super) fn settle(&self, began: Instant, now: Instant, result: Result<Ticket, Error>) -> Result<u64, Error> {
        let mut state = self.state();
        state.under_way = None;
        match result {
            Ok(ticket) => {
                let number = state.given + 1;
                let kept = Kept { ticket: Arc::new(ticket), number, since: began, is_rejected: false };
                if let Some(former) = state.ticket.replace(kept) {
                    state.former = Some(former.ticket);
                }
                (state.given, state.failure, state.refused, state.unanswered) = (number, None, 0, 0);
                Ok(number)
            }
            Err(mut error) => {
                let is_of_the_way = error.is_of_the_way();
                let rest = match &mut error.reason {
                    Reason::NotLoggedIn(words) => {
                        let rest = pause(REFUSED, state.refused);
                        let minutes = rest.as_secs() / 60;
                        words.push_str(&format!(
                            "; not tried again for {minutes} min, unless the configuration is loaded anew"
                        ));
                        state.refused = state.refused.saturating_add(1);
                        rest
                    }
                    _ if is_of_the_way => UNREACHABLE,
                    _ => {
                        let rest = pause(UNANSWERED, state.unanswered);
                        state.unanswered = state.unanswered.saturating_add(1);
                        rest
                    }
                };
                state.failure = Some((error.clone(), now + rest));
                Err(error)
            }
        }
    }

    /// The `Cookie` header, if anybody is logged in.
    pub(super) fn cookie(&self) -> Option<HeaderValue> {
        self.state().ticket.as_ref().map(|kept| kept.ticket.cookie())
    }

    /// The `CSRFPreventionToken` header of the same login, if it gave one.
    pub(super) fn csrf(&self) -> Option<HeaderValue> {
        self.state().ticket.as_ref().and_then(|kept| kept.ticket.csrf())
    }

    /// A text of the other side, which may repeat what we sent it.
    pub(super) fn hide<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        let state = self.state();
        let tickets = state.ticket.as_ref().map(|kept| &kept.ticket).into_iter().chain(&state.former);
        self.echoes.hide(tickets.fold(text, |text, ticket| ticket.hide(text)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A task's end as what others can wait for.
pub(super) fn under_way(login: impl Future<Output = Result<u64, Error>> + Send + 'static) -> UnderWay {
    login.boxed().shared()
}

/// The first, doubled each time, up to the last.
fn pause((first, last): (Duration, Duration), times: u32) -> Duration {
    last.min(first.saturating_mul(2_u32.saturating_pow(times)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    /// A login, a clock, and what was started.
    struct Bench {
        login: Login,
        now: Instant,
        started: RefCell<Vec<&'static str>>,
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Told {
        Ask(u64),
        Wait,
        Stop(String),
    }

    impl Bench {
        fn new() -> Self {
            let login = Login::new("monitor@pve", &Secret::new("pass word".to_owned()));
            Self { login, now: Instant::now(), started: RefCell::default() }
        }

        fn step(&self) -> Told {
            let step = self.login.step(self.now, |proof| {
                self.started.borrow_mut().push(match proof {
                    Proof::Ticket(_) => "ticket",
                    Proof::Password => "password",
                });
                under_way(std::future::pending())
            });
            match step {
                Step::Ask(number) => Told::Ask(number),
                Step::Wait(_) => Told::Wait,
                Step::Stop(error) => Told::Stop(error.to_string()),
            }
        }

        fn given(&self, ticket: &str) -> u64 {
            let body = format!("{{\"data\":{{\"ticket\":\"{ticket}\"}}}}");
            let ticket = Ticket::parse(&body).expect("a ticket");
            self.login.settle(self.now, self.now, Ok(ticket)).expect("a number")
        }

        fn fails(&self, reason: Reason) -> String {
            let error = Error { endpoint: "https://pve1:8006".into(), path: "/access/ticket".into(), reason };
            self.login.settle(self.now, self.now, Err(error)).expect_err("an error").to_string()
        }

        fn refused(&self) -> String {
            self.fails(Reason::NotLoggedIn("401 authentication failure: check it".into()))
        }

        /// What was started since the last time.
        fn started(&self) -> Vec<&'static str> {
            self.started.take()
        }

        /// For how long nothing is started, in seconds.
        fn rest(&mut self) -> u64 {
            let before = self.now;
            while matches!(self.step(), Told::Stop(_)) {
                self.now += SECOND;
            }
            (self.now - before).as_secs()
        }
    }

    #[test]
    fn everybody_waits_for_one_login_and_asks_with_its_ticket() {
        let bench = Bench::new();
        assert!(!bench.login.is_admitted(bench.now) && bench.login.cookie().is_none());
        assert_eq!([bench.step(), bench.step(), bench.step()], [Told::Wait, Told::Wait, Told::Wait]);
        assert_eq!(bench.started(), ["password"]);
        assert_eq!(bench.given("one"), 1);
        assert_eq!([bench.step(), bench.step()], [Told::Ask(1), Told::Ask(1)]);
        assert!(bench.started().is_empty() && bench.login.is_admitted(bench.now));
        assert_eq!(bench.login.cookie().expect("a cookie"), "PVEAuthCookie=one");
    }

    #[test]
    fn a_ticket_is_renewed_by_itself_while_it_is_used() {
        for _ in 0..50 {
            let mut bench = Bench::new();
            bench.step();
            bench.given("one");
            bench.started();
            bench.now += 85 * MINUTE - SECOND;
            assert_eq!((bench.step(), bench.started()), (Told::Ask(1), vec![]));
            bench.now += 10 * MINUTE + SECOND;
            assert_eq!((bench.step(), bench.started()), (Told::Ask(1), vec!["ticket"]), "nobody waits for it");
            assert_eq!((bench.step(), bench.started()), (Told::Ask(1), vec![]), "one at a time");
            assert_eq!(bench.given("two"), 2);
            assert_eq!((bench.step(), bench.started()), (Told::Ask(2), vec![]));
        }
        let renewed = |_| Login::new("monitor@pve", &Secret::new(String::new())).renewed_after;
        let times: std::collections::BTreeSet<Duration> = (0..20).map(renewed).collect();
        assert!(times.len() > 5, "not all at once: {times:?}");
    }

    #[test]
    fn a_ticket_that_cannot_be_renewed_is_used_to_its_end() {
        let mut bench = Bench::new();
        bench.step();
        bench.given("one");
        bench.now += 100 * MINUTE;
        assert_eq!(bench.step(), Told::Ask(1));
        bench.refused();
        assert_eq!((bench.step(), bench.started().len()), (Told::Ask(1), 2));
        bench.now += MINUTE;
        assert_eq!((bench.step(), bench.started()), (Told::Ask(1), vec!["ticket"]), "after the pause");
        bench.now += 18 * MINUTE;
        assert_eq!((bench.step(), bench.started()), (Told::Wait, vec![]), "it has ended");
        bench.refused();
        assert!(matches!(bench.step(), Told::Stop(_)));
    }

    #[test]
    fn who_comes_back_after_hours_logs_in_with_the_password() {
        let mut bench = Bench::new();
        bench.step();
        bench.given("one");
        bench.now += 119 * MINUTE;
        assert!(!bench.login.is_admitted(bench.now));
        assert_eq!((bench.step(), bench.started()), (Told::Wait, vec!["password", "password"]));
    }

    #[test]
    fn refusals_are_followed_by_longer_and_longer_pauses() {
        let mut bench = Bench::new();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(bench.step(), Told::Wait);
            bench.started();
            let told = bench.refused();
            assert_eq!(bench.step(), Told::Stop(told), "everybody is told the same");
            assert_eq!(bench.started(), [""; 0]);
            pauses.push(bench.rest() / 60);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        bench.given("one");
        bench.now += 119 * MINUTE;
        bench.step();
        let told = bench.refused();
        assert!(
            told.starts_with("POST https://pve1:8006/api2/json/access/ticket: 401 authentication failure"),
            "{told}"
        );
        assert!(told.ends_with("; not tried again for 1 min, unless the configuration is loaded anew"), "{told}");
    }

    #[test]
    fn other_failures_are_tried_again_sooner_and_do_not_shorten_a_refusals_pause() {
        let mut bench = Bench::new();
        let unanswered = || Reason::Timeout(SECOND);
        let pauses: Vec<u64> = (0..6)
            .map(|_| {
                bench.step();
                bench.fails(unanswered());
                bench.rest()
            })
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        for _ in 0..3 {
            bench.fails(Reason::Unreachable("refused".into()));
            assert_eq!(bench.rest(), 1);
        }
        bench.refused();
        assert_eq!(bench.rest(), 60);
        bench.fails(unanswered());
        assert_eq!(bench.rest(), 60);
        bench.refused();
        assert_eq!(bench.rest(), 120);
    }

    #[test]
    fn a_ticket_that_is_not_accepted_is_replaced_once() {
        let mut bench = Bench::new();
        bench.step();
        bench.given("one");
        bench.started();
        bench.now += 10 * MINUTE;
        assert!(bench.login.reject(1, bench.now));
        assert!(bench.login.reject(1, bench.now), "a second call in flight");
        assert_eq!((bench.step(), bench.step(), bench.started()), (Told::Wait, Told::Wait, vec!["password"]));
        bench.given("two");
        assert!(bench.login.reject(1, bench.now), "a third one, late: there is a newer ticket");
        assert_eq!((bench.step(), bench.started()), (Told::Ask(2), vec![]));
        assert!(!bench.login.reject(2, bench.now), "that did not help");
        assert_eq!((bench.step(), bench.started()), (Told::Ask(2), vec![]));
    }

    #[test]
    fn tickets_that_are_never_accepted_cost_few_logins() {
        let mut bench = Bench::new();
        bench.step();
        let mut logins = Vec::new();
        let start = bench.now;
        let mut number = bench.given("one");
        while bench.now < start + 300 * MINUTE {
            if bench.login.reject(number, bench.now) {
                assert_eq!(bench.step(), Told::Wait);
                number = bench.given("another");
                logins.push((bench.now - start).as_secs() / 60);
            }
            bench.now += 15 * SECOND;
        }
        assert_eq!(logins, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
        bench.now += 120 * MINUTE;
        bench.given("one");
        assert!(bench.login.reject(number + 1, bench.now));
        bench.given("two");
        bench.now += MINUTE;
        assert!(bench.login.reject(number + 2, bench.now), "old sorrows are forgotten");
    }

    #[test]
    fn a_login_that_ended_without_a_word_is_none() {
        let bench = Bench::new();
        let cut_off = || {
            under_way(std::future::ready(Err(Error {
                endpoint: String::new(),
                path: String::new(),
                reason: Reason::Broken("cut off".into()),
            })))
        };
        let Step::Wait(login) = bench.login.step(bench.now, |_| cut_off()) else { panic!("nothing to wait for") };
        assert!(login.now_or_never().expect("it has ended").is_err());
        assert_eq!((bench.step(), bench.started()), (Told::Wait, vec!["password"]));
    }

    #[test]
    fn nothing_of_it_can_be_printed() {
        let bench = Bench::new();
        bench.step();
        bench.given("PVE:first");
        bench.given("PVE:second");
        let told = bench.login.hide("PVE:first, PVE%3Asecond, pass word and pass%20word".into());
        assert_eq!(told, "[secret], [secret], [secret] and [secret]");
        assert_eq!(format!("{:?}", bench.login), "Login { user: \"monitor@pve\", .. }");
    }
}
