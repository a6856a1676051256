//! Who was refused: how often one address may be wrong, and what the log hears of it. Bounded, whoever comes.
//!
//! A right token is never asked for here, so that nobody is kept out by the failures of others behind the same address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pace::{Allowance, Orders};
use crate::ids::neighbourhood;

/// How often an address may be wrong at once …
const GUESSES: u32 = 10;

/// … and how long it takes until it may be so once more.
const GUESS: Duration = Duration::from_secs(6);

/// How long the log hears nothing more of the same address.
const QUIET: Duration = Duration::from_mins(1);

/// How many lines the log gets at once, of all addresses …
const LINES: u32 = 20;

/// … and how long it takes until it may get one more.
const LINE: Duration = Duration::from_secs(3);

/// How many addresses are told apart; the others share what one may.
const MOST: usize = 4096;

/// What outlives a reload: who was refused lately, and how many orders each token gave.
pub struct Refusals {
    strangers: Mutex<State>,
    pub(super) orders: Orders,
}

/// What is to be done about somebody who was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// Set where it was wrong too often: how long to wait.
    pub(super) wait: Option<Duration>,
    /// Set where the log should hear of it: how often this address was refused since the last line.
    pub(super) line: Option<u64>,
}

struct State {
    addresses: HashMap<IpAddr, Record>,
    others: Record,
    lines: Allowance,
    swept: Instant,
}

#[derive(Clone, Copy)]
struct Record {
    guesses: Allowance,
    quiet_until: Instant,
    untold: u64,
}

impl Default for Refusals {
    /// Nobody was refused yet.
    fn default() -> Self {
        let now = Instant::now();
        let lines = Allowance::new(now);
        let strangers = State { addresses: HashMap::new(), others: Record::new(now), lines, swept: now };
        Self { strangers: Mutex::new(strangers), orders: Orders::default() }
    }
}

impl Refusals {
    /// Somebody is refused; `guess` where it may be trying tokens.
    pub(super) fn note(&self, from: Option<IpAddr>, guess: bool) -> Noted {
        let now = Instant::now();
        let address = from.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), neighbourhood);
        let mut state = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let State { addresses, others, lines, swept } = &mut *state;
        if addresses.len() >= MOST && !addresses.contains_key(&address) && now.duration_since(*swept) >= LINE {
            *swept = now;
            addresses.retain(|_, record| !record.is_over(now));
        }
        let record = if addresses.len() < MOST || addresses.contains_key(&address) {
            addresses.entry(address).or_insert_with(|| Record::new(now))
        } else {
            others
        };
        record.untold = record.untold.saturating_add(1);
        let wait = if guess { record.guesses.take(now, GUESSES, GUESS).err() } else { None };
        let heard = record.quiet_until <= now && lines.take(now, LINES, LINE).is_ok();
        let line = heard.then(|| {
            record.quiet_until = now + QUIET;
            std::mem::take(&mut record.untold)
        });
        Noted { wait, line }
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { guesses: Allowance::new(now), quiet_until: now, untold: 0 }
    }

    /// Whether it is as if it had never been.
    fn is_over(&self, now: Instant) -> bool {
        self.guesses.whole <= now && self.quiet_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn of_number(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(number.into()))
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_are_limited_by_address_and_come_back() {
        let refusals = Refusals::default();
        let guess = |text: &str| refusals.note(address(text), true).wait;
        for _ in 0..GUESSES {
            assert_eq!(guess("192.0.2.1"), None);
        }
        assert_eq!(guess("192.0.2.1"), Some(GUESS));
        assert_eq!(guess("::ffff:192.0.2.1"), Some(GUESS), "the same address");
        assert_eq!(guess("192.0.2.2"), None, "another address");
        assert_eq!(refusals.note(address("192.0.2.1"), false).wait, None, "no guess");
        tokio::time::advance(GUESS / 2).await;
        assert_eq!(guess("192.0.2.1"), Some(GUESS / 2));
        tokio::time::advance(GUESS / 2).await;
        assert_eq!((guess("192.0.2.1"), guess("192.0.2.1")), (None, Some(GUESS)), "one more");
        tokio::time::advance(GUESS * GUESSES).await;
        assert!((0..GUESSES).all(|_| guess("192.0.2.1").is_none()) && guess("192.0.2.1").is_some(), "all of them");
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_is_one_caller() {
        let refusals = Refusals::default();
        for host in 1..=GUESSES {
            assert_eq!(refusals.note(address(&format!("2001:db8::{host}")), true).wait, None);
        }
        assert_eq!(refusals.note(address("2001:db8::ffff:1"), true).wait, Some(GUESS));
        assert_eq!(refusals.note(address("2001:db8:0:1::1"), true).wait, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_hears_once_a_minute_of_an_address_and_not_of_a_crowd() {
        let refusals = Refusals::default();
        let line = |from| refusals.note(from, true).line;
        assert_eq!(line(address("192.0.2.1")), Some(1));
        assert!((0..50).all(|_| line(address("192.0.2.1")).is_none()));
        tokio::time::advance(QUIET).await;
        assert_eq!(line(address("192.0.2.1")), Some(51));
        let crowd = (0..1000).filter(|number| line(of_number(*number)).is_some()).count();
        assert_eq!(crowd, LINES as usize - 1);
        tokio::time::advance(LINE).await;
        assert_eq!((line(of_number(500)), line(of_number(501))), (Some(2), None));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_given_back() {
        let refusals = Refusals::default();
        let known = || refusals.strangers.lock().unwrap().addresses.len();
        for number in 0..100_000 {
            refusals.note(of_number(number), true);
        }
        assert_eq!(known(), MOST);
        assert!(refusals.note(of_number(200_000), true).wait.is_some(), "those beyond share what one may");
        assert_eq!(refusals.note(of_number(1), true).wait, None, "those that are known do not");
        tokio::time::advance(QUIET).await;
        refusals.note(of_number(300_000), true);
        assert_eq!(known(), 1);
    }
}
