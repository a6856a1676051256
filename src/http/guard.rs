//! Basic auth: names and bcrypt hashes, as exporter-toolkit has them.
//!
//! A check of a password takes tens of milliseconds by design. So it is made beside the async threads, few at a time,
//! for one client after the other whatever a single one sends; and what was right once is remembered by a keyed hash.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rustls::crypto::ring;
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::config::Secret;
use crate::ids::neighbourhood;

/// What came of a request's credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answered, with the name of the user where one was asked for.
    Welcome(Option<String>),
    /// Not answered, with the name where it is a known one.
    Refused(Option<String>),
}

/// Knows the users of one configuration.
pub(super) struct Guard {
    users: BTreeMap<String, Secret>,
    /// With a key for this process only.
    keyed: Hmac<Sha256>,
    /// What the right password of a user looked like, as HMAC.
    good: Mutex<HashMap<String, [u8; 32]>>,
    desk: Arc<Desk>,
}

/// Where passwords are checked: few seats, and one line per client.
struct Desk {
    seats: Arc<Semaphore>,
    lines: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

struct Credentials {
    name: String,
    password: Zeroizing<Vec<u8>>,
}

impl Guard {
    /// Hashes are bcrypt's, and there is at least one.
    pub(super) fn new(users: &BTreeMap<String, Secret>) -> Result<Self, String> {
        let mut key = Zeroizing::new([0; 64]);
        let random = ring::default_provider().secure_random;
        random.fill(key.as_mut_slice()).map_err(|_| "the system gives no random numbers".to_owned())?;
        let keyed = Hmac::new_from_slice(key.as_slice()).map_err(|error| error.to_string())?;
        Ok(Self { users: users.clone(), keyed, good: Mutex::default(), desk: Arc::new(Desk::new()) })
    }

    /// Knows what `former` found out of users whose hash is still the same: a scrape that was welcome is not to stand in
    /// line again because the configuration was read again.
    pub(super) fn succeed(&mut self, former: &Self) {
        let same = |name: &String| self.users.get(name).is_some_and(|hash| former.users.get(name) == Some(hash));
        let mut good = lock(&former.good).clone();
        good.retain(|name, _| same(name));
        self.good = Mutex::new(good);
        self.keyed = former.keyed.clone();
        self.desk = Arc::clone(&former.desk);
    }

    /// Reads and checks the credentials of a request.
    pub(super) async fn judge(&self, headers: &HeaderMap, client: Option<IpAddr>) -> Verdict {
        let Some(Credentials { name, password }) = credentials(headers) else { return Verdict::Refused(None) };
        let seen = self.hmac(name.as_bytes(), &password);
        let known = self.users.contains_key(&name);
        if known && lock(&self.good).get(&name).is_some_and(|good| same(good, &seen)) {
            return Verdict::Welcome(Some(name));
        }
        let Some(hash) = self.hash_for(&name) else { return Verdict::Refused(None) };
        let right = self.desk.check(client, password, hash).await;
        if !known {
            return Verdict::Refused(None);
        }
        if !right {
            return Verdict::Refused(Some(name));
        }
        lock(&self.good).insert(name.clone(), seen);
        Verdict::Welcome(Some(name))
    }

    /// The hash to check a password with. An unknown name gets that of some user, always the same one, so that the time
    /// of an answer does not tell which names there are.
    fn hash_for(&self, name: &str) -> Option<Secret> {
        if let Some(hash) = self.users.get(name) {
            return Some(hash.clone());
        }
        let [first, second, ..] = self.hmac(name.as_bytes(), &[]);
        let index = usize::from(u16::from_be_bytes([first, second])).checked_rem(self.users.len())?;
        self.users.values().nth(index).cloned()
    }

    fn hmac(&self, name: &[u8], password: &[u8]) -> [u8; 32] {
        let named = self.keyed.clone().chain_update(name.len().to_be_bytes()).chain_update(name);
        named.chain_update(password).finalize().into_bytes().into()
    }
}

impl Desk {
    /// Half of the processors at most: scrapes go on beside.
    fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { seats: Arc::new(Semaphore::new((processors / 2).max(1))), lines: Mutex::default() }
    }

    /// Whether the password is that of the hash. Who drops this gives up its place in the line.
    async fn check(&self, client: Option<IpAddr>, password: Zeroizing<Vec<u8>>, hash: Secret) -> bool {
        let Some(seat) = self.seat(client).await else { return false };
        let check = move || {
            let right = bcrypt::verify(password.as_slice(), hash.expose()).unwrap_or(false);
            // Kept to the end, also where nobody waits any more.
            drop(seat);
            right
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }

    async fn seat(&self, client: Option<IpAddr>) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let line = self.line(client.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), neighbourhood));
        let first = line.acquire_owned().await.ok()?;
        let seat = Arc::clone(&self.seats).acquire_owned().await.ok()?;
        Some((first, seat))
    }

    fn line(&self, client: IpAddr) -> Arc<Semaphore> {
        let mut lines = lock(&self.lines);
        lines.retain(|_, line| line.strong_count() > 0);
        if let Some(line) = lines.get(&client).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Semaphore::new(1));
        lines.insert(client, Arc::downgrade(&line));
        line
    }
}

/// The one pair of credentials of a request, if it has one.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = Zeroizing::new(BASE64.decode(encoded.trim().as_bytes()).ok()?);
    let colon = both.iter().position(|byte| *byte == b':')?;
    let (name, password) = both.split_at(colon);
    let name = std::str::from_utf8(name).ok()?.to_owned();
    Some(Credentials { name, password: Zeroizing::new(password.get(1..)?.to_vec()) })
}

/// Compares without telling by its time how much is right.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn guard(users: &[(&str, &str)], cost: u32) -> Guard {
        let hash = |password: &str| Secret::new(bcrypt::hash(password, cost).unwrap());
        Guard::new(&users.iter().map(|(name, password)| ((*name).to_owned(), hash(password))).collect()).unwrap()
    }

    fn headers(credentials: &str) -> HeaderMap {
        let value = format!("Basic {}", BASE64.encode(credentials.as_bytes()));
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test]
    async fn what_was_right_once_is_not_checked_again() {
        let guard = guard(&[("a", "1"), ("b", "2")], 4);
        let here = address("127.0.0.1");
        let welcome = |name: &str| Verdict::Welcome(Some(name.to_owned()));
        assert_eq!(guard.judge(&headers("a:1"), here).await, welcome("a"));
        // Nobody can be checked any more.
        let _all = guard.desk.seats.acquire_many(guard.desk.seats.available_permits() as u32).await.unwrap();
        assert_eq!(guard.judge(&headers("a:1"), here).now_or_never(), Some(welcome("a")));
        for other in ["a:2", "a:", "b:2", "b:1", "c:1"] {
            assert_eq!(guard.judge(&headers(other), here).now_or_never(), None, "{other}");
        }
    }

    #[tokio::test]
    async fn what_was_right_stays_so_in_the_next_configuration() {
        let mut before = guard(&[("a", "1"), ("b", "2"), ("c", "3")], 4);
        let here = address("127.0.0.1");
        for right in ["a:1", "b:2", "c:3"] {
            assert_ne!(before.judge(&headers(right), here).await, Verdict::Refused(None), "{right}");
        }
        let mut after = guard(&[("b", "new")], 4);
        after.users.insert("a".to_owned(), before.users.remove("a").unwrap());
        before.users.insert("a".to_owned(), after.users["a"].clone());
        after.succeed(&before);
        assert_eq!(after.judge(&headers("a:1"), here).now_or_never(), Some(Verdict::Welcome(Some("a".to_owned()))));
        assert_eq!(after.judge(&headers("a:2"), here).await, Verdict::Refused(Some("a".to_owned())));
        assert_eq!(after.judge(&headers("b:2"), here).await, Verdict::Refused(Some("b".to_owned())), "another hash");
        assert_eq!(after.judge(&headers("b:new"), here).await, Verdict::Welcome(Some("b".to_owned())));
        assert_eq!(after.judge(&headers("c:3"), here).await, Verdict::Refused(None), "no longer known");
    }

    #[tokio::test]
    async fn refusals_tell_known_names_only() {
        let guard = guard(&[("a", "1")], 4);
        let judge = async |credentials: &str| guard.judge(&headers(credentials), None).await;
        assert_eq!(judge("a:2").await, Verdict::Refused(Some("a".to_owned())));
        assert_eq!(judge("1:a").await, Verdict::Refused(None));
        // The hash that stands in for the one of an unknown name lets nobody in.
        assert_eq!(judge("c:1").await, Verdict::Refused(None));
        assert_eq!(lock(&guard.good).len(), 0);
    }

    #[test]
    fn an_unknown_name_costs_what_a_known_one_does() {
        let guard = guard(&[("a", "1"), ("b", "2"), ("c", "3")], 4);
        let mut used = std::collections::HashSet::new();
        for n in 0..64 {
            let name = format!("nobody{n}");
            let hash = guard.hash_for(&name).unwrap();
            assert!(guard.hash_for(&name).unwrap() == hash && guard.users.values().any(|known| *known == hash));
            used.insert(hash.expose().to_owned());
        }
        assert_eq!(used.len(), 3, "one user's hash could have another cost than the others'");
    }

    #[tokio::test]
    async fn a_flood_of_one_client_holds_up_no_other() {
        let desk = Desk { seats: Arc::new(Semaphore::new(1)), lines: Mutex::default() };
        let taken = desk.seat(address("192.0.2.1")).await;
        let mut flood: Vec<_> = (0..50).map(|_| Box::pin(desk.seat(address("192.0.2.1")))).collect();
        assert!(flood.iter_mut().all(|seat| seat.now_or_never().is_none()));
        let mut other = Box::pin(desk.seat(address("192.0.2.2")));
        assert!((&mut other).now_or_never().is_none());
        drop(taken);
        assert!((&mut other).now_or_never().is_some(), "the other client is next");
        // Whoever leaves gives up its place.
        flood.truncate(1);
        drop(other);
        assert!(flood.pop().unwrap().now_or_never().is_some());
        drop(desk.seat(None).await);
        assert_eq!(lock(&desk.lines).len(), 1, "lines without anybody are forgotten");
    }

    #[test]
    fn names_and_passwords_do_not_run_into_each_other() {
        let guard = guard(&[("a", "1")], 4);
        assert_ne!(guard.hmac(b"ab", b"c"), guard.hmac(b"a", b"bc"));
        assert!(same(&[7; 32], &[7; 32]) && !same(&[7; 32], &[8; 32]));
    }

    proptest! {
        #[test]
        fn no_header_panics(value: Vec<u8>, text in "[Bb]asic [A-Za-z0-9+/= ]{0,40}") {
            for value in [value, text.into_bytes()] {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    let _ = credentials(&HeaderMap::from_iter([(AUTHORIZATION, value)]));
                }
            }
        }

        #[test]
        fn credentials_read_back(name in "[^:]{0,20}", password: Vec<u8>) {
            let value = BASE64.encode(&[name.as_bytes(), b":", &password].concat());
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&format!("Basic {value}")).unwrap())]);
            let read = credentials(&headers).unwrap();
            prop_assert_eq!((read.name, read.password.to_vec()), (name, password));
        }
    }
}
