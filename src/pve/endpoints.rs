//! The addresses of one cluster: which is asked first, which belong to it, and what the log says of them.
//!
//! A cluster with one endpoint leaves no choice: nothing is noted of it and nothing asked for its sake.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::answer::Answer;
use super::error::{Error, Reason};
use super::health::{Change, Health, Probe};
use super::identity::{self, Names};
use super::known::Condition;
use crate::config::Cluster;

/// What is known of the addresses of one cluster: its endpoints in configured order, then further node addresses.
pub(super) struct Endpoints {
    cluster: String,
    urls: Vec<String>,
    /// How many of the addresses are endpoints.
    count: usize,
    direct: BTreeMap<String, usize>,
    state: Mutex<State>,
    /// Whoever compares an address' nodes has its turn.
    turns: Vec<tokio::sync::Mutex<()>>,
}

/// An endpoint in the order of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) index: usize,
    pub(super) well: bool,
}

struct State {
    addresses: Vec<Address>,
    /// Empty until an answer told.
    names: Names,
    /// The first endpoint that ever answered: the others are compared with it.
    first: Option<usize>,
}

struct Address {
    health: Health,
    /// It belongs to the cluster, as far as is known since it came up.
    checked: bool,
    /// Why it is never used again.
    refused: Option<String>,
    /// Which node it is.
    node: Option<String>,
}

impl Endpoints {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let mut urls: Vec<String> = cluster.endpoints.iter().map(|endpoint| endpoint.url.clone()).collect();
        let count = urls.len();
        let mut direct = BTreeMap::new();
        for (node, address) in &cluster.node_addresses {
            let index = urls.iter().position(|url| *url == address.url).unwrap_or_else(|| {
                urls.push(address.url.clone());
                urls.len() - 1
            });
            direct.insert(node.clone(), index);
        }
        let seeds = RandomState::new();
        let address = |index: usize| {
            let mut seed = seeds.build_hasher();
            seed.write_usize(index);
            let node = direct.iter().find(|(_, direct)| **direct == index).map(|(node, _)| node.clone());
            Address { health: Health::new(seed.finish()), checked: false, refused: None, node }
        };
        let addresses: Vec<Address> = (0..urls.len()).map(address).collect();
        let turns = urls.iter().map(|_| tokio::sync::Mutex::default()).collect();
        let state = Mutex::new(State { addresses, names: Names::new(), first: None });
        Self { cluster: cluster.name.clone(), urls, count, direct, state, turns }
    }

    pub(super) fn url(&self, index: usize) -> &str {
        self.urls.get(index).map_or("", String::as_str)
    }

    /// The endpoints: well ones as configured, then the others, the last that answered first. Refused ones are left out.
    pub(super) fn order(&self, call: &str) -> Vec<Candidate> {
        let state = self.state();
        let usable =
            state.addresses.iter().enumerate().take(self.count).filter(|(_, address)| address.refused.is_none());
        let mut order: Vec<(Candidate, Option<Instant>)> = usable
            .map(|(index, address)| {
                (Candidate { index, well: address.health.is_well(call) }, address.health.last_good())
            })
            .collect();
        order.sort_by_key(|(candidate, last_good)| {
            (!candidate.well, std::cmp::Reverse(last_good.filter(|_| !candidate.well)))
        });
        order.into_iter().map(|(candidate, _)| candidate).collect()
    }

    /// The error where every endpoint is refused.
    pub(super) fn all_refused(&self, path: &str) -> Error {
        let state = self.state();
        let refused = state.addresses.iter().position(|address| address.refused.is_some()).unwrap_or(0);
        let words = state.addresses.get(refused).and_then(|address| address.refused.clone()).unwrap_or_default();
        self.foreign(refused, path, words)
    }

    /// The address at which a node is asked directly, unless it is refused or did not answer just now.
    pub(super) fn direct(&self, node: &str) -> Option<usize> {
        let index = *self.direct.get(node)?;
        let state = self.state();
        let address = state.addresses.get(index)?;
        let known = !self.is_watched(index) || address.checked || !state.names.is_empty();
        (address.refused.is_none() && known && address.health.is_due(Instant::now())).then_some(index)
    }

    /// The node that an address is, or the address while that is unknown.
    pub(super) fn place(&self, index: usize) -> String {
        let node = self.state().addresses.get(index).and_then(|address| address.node.clone());
        node.unwrap_or_else(|| self.url(index).to_owned())
    }

    /// Whether it is known which node an address is.
    pub(super) fn is_known(&self, index: usize) -> bool {
        self.state().addresses.get(index).is_some_and(|address| address.node.is_some())
    }

    /// Which address this is.
    pub(super) fn index(&self, url: &str) -> Option<usize> {
        self.urls.iter().position(|known| known == url)
    }

    /// The node that an address is, if that is known.
    pub(super) fn node_at(&self, url: &str) -> Option<String> {
        let index = self.index(url)?;
        self.state().addresses.get(index)?.node.clone()
    }

    /// Whether a place at the gate that was taken under this name is one of this address.
    pub(super) fn is_at(&self, index: usize, place: &str) -> bool {
        place == self.url(index) || place == self.place(index)
    }

    /// What an answer told: the names of all nodes, and which of them answered. Gives the address that got its name.
    pub(super) fn learn<B>(&self, answer: &Answer<B>, nodes: &[&str], local: Option<&str>) {
        let mut state = self.state();
        if !nodes.is_empty() {
            state.names = nodes.iter().map(|node| (*node).to_owned()).collect();
        }
        let index = self.index(&answer.endpoint);
        if let (Some(address), Some(local)) = (index.and_then(|index| state.addresses.get_mut(index)), local) {
            address.node = Some(local.to_owned());
        }
    }

    /// Whether there is anything to choose, so that health and identity matter.
    fn is_watched(&self, index: usize) -> bool {
        self.count > 1 || index >= self.count
    }

    fn foreign(&self, index: usize, path: &str, words: String) -> Error {
        Error { endpoint: self.url(index).to_owned(), path: path.to_owned(), reason: Reason::Foreign(words) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Identity.
impl Endpoints {
    /// Waits for the turn to compare an address' nodes.
    pub(super) async fn turn(&self, index: usize) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        Some(self.turns.get(index)?.lock().await)
    }

    /// Whether the address' nodes must be compared before it is asked. An error: it is refused.
    pub(super) fn is_unchecked(&self, index: usize) -> Result<bool, Error> {
        let state = self.state();
        let Some(address) = state.addresses.get(index) else { return Ok(false) };
        match &address.refused {
            Some(words) => Err(self.foreign(index, "/nodes", words.clone())),
            None => Ok(self.is_watched(index) && !address.checked && (state.first.is_some() || index >= self.count)),
        }
    }

    /// Whether the address' answers may be used: it was compared, or it is the first that ever answered.
    pub(super) fn claim(&self, index: usize) -> bool {
        let mut state = self.state();
        let claims = state.first.is_none() && index < self.count;
        let Some(address) = state.addresses.get_mut(index) else { return false };
        address.checked |= claims || !self.is_watched(index);
        let checked = address.checked;
        if claims {
            state.first = Some(index);
        }
        checked
    }

    /// The endpoint to be asked for the names to compare with, where they are not known yet.
    pub(super) fn reference(&self, index: usize) -> Option<usize> {
        let state = self.state();
        state.first.filter(|first| state.names.is_empty() && *first != index)
    }

    /// Names that came from the reference itself.
    pub(super) fn keep_names(&self, names: Names) {
        let mut state = self.state();
        if state.names.is_empty() {
            state.names = names;
        }
    }

    /// Compares; where nothing is known to compare with, these names are what is known from now on.
    pub(super) fn compare(&self, index: usize, found: Names) -> Result<(), Error> {
        let mut state = self.state();
        if state.names.is_empty() {
            state.names = found;
            state.first = Some(index).filter(|_| index < self.count).or(state.first);
        } else if let Some(words) = identity::fault(&state.names, &found) {
            let error = self.foreign(index, "/nodes", words.clone());
            let news = state.addresses.get_mut(index).is_some_and(|address| address.refused.replace(words).is_none());
            drop(state);
            if news {
                tracing::error!(cluster = self.cluster, endpoint = self.url(index), %error, "endpoint refused");
            }
            return Err(error);
        }
        if let Some(address) = state.addresses.get_mut(index) {
            address.checked = true;
        }
        Ok(())
    }
}

/// Health.
impl Endpoints {
    /// How a call of the fast lane went.
    pub(super) fn note(&self, index: usize, label: &'static str, started: Instant, result: Result<(), &Error>) {
        let now = Instant::now();
        self.change(index, |health| match result {
            Err(error) if error.is_of_the_way() => Vec::from_iter(health.unreachable(error, started, now)),
            Err(error) if error.is_of_the_endpoint() => {
                health.failed(label, error, started, now);
                Vec::new()
            }
            _ => health.good(label, started, now),
        });
    }

    /// How a call of the slow lane went; who fails there may do so for the sake of the node or the guest it is about.
    pub(super) fn note_slow(&self, index: usize, label: &'static str, started: Instant, result: Result<(), &Error>) {
        if result.is_ok_and(|()| true) || result.is_err_and(Error::is_of_the_way) {
            self.note(index, label, started, result);
        }
    }

    /// A call of the fast lane was given up.
    pub(super) fn note_silence(&self, index: usize, label: &'static str, started: Instant, path: &str) {
        let now = Instant::now();
        let reason = Reason::Timeout(now.duration_since(started));
        let error = Error { endpoint: self.url(index).to_owned(), path: path.to_owned(), reason };
        self.change(index, |health| {
            health.silent(label, &error, started, now);
            Vec::new()
        });
    }

    /// What a call gives occasion to ask in the background; all of it must be asked, and `probed` called.
    pub(super) fn probes(&self, label: &'static str) -> Vec<(usize, Probe)> {
        if self.count <= 1 {
            return Vec::new();
        }
        let now = Instant::now();
        let mut state = self.state();
        let usable = state.addresses.iter_mut().enumerate().take(self.count);
        usable
            .filter(|(_, address)| address.refused.is_none())
            .filter_map(|(index, address)| Some((index, address.health.probe(label, now)?)))
            .collect()
    }

    /// What came of a probe that started then.
    pub(super) fn probed(&self, index: usize, probe: Probe, started: Instant, result: Result<(), &Error>) {
        let now = Instant::now();
        self.change(index, |health| {
            health.probed();
            match (probe, result) {
                (Probe::Call(label), Err(error)) if error.is_of_the_endpoint() => {
                    health.failed(label, error, started, now);
                    Vec::new()
                }
                (Probe::Call(label), _) => health.good(label, started, now),
                (Probe::Address, Err(error)) if error.is_of_the_endpoint() => {
                    Vec::from_iter(health.confirmed_down(error.clone(), started, now))
                }
                (Probe::Address, _) => health.confirmed_well(started, now),
            }
        });
    }

    /// How each endpoint does, what is in the way, which node it is, and whether it is its certificate.
    pub(super) fn seen(&self) -> Vec<(Condition, Option<String>, Option<String>, bool)> {
        let state = self.state();
        let seen = |address: &Address| match (&address.refused, address.health.trouble()) {
            (Some(words), _) => (Condition::Refused, Some(words.clone()), address.node.clone(), false),
            (None, Some((condition, error))) => {
                let distrusted = matches!(error.reason, Reason::Tls(_));
                (condition, Some(error.to_string()), address.node.clone(), distrusted)
            }
            (None, None) if address.health.last_good().is_some() => {
                (Condition::Well, None, address.node.clone(), false)
            }
            (None, None) => (Condition::Unknown, None, address.node.clone(), false),
        };
        state.addresses.iter().take(self.count).map(seen).collect()
    }

    fn change(&self, index: usize, what: impl FnOnce(&mut Health) -> Vec<Change>) {
        if !self.is_watched(index) {
            return;
        }
        let mut state = self.state();
        let Some(address) = state.addresses.get_mut(index).filter(|address| address.refused.is_none()) else { return };
        let changes = what(&mut address.health);
        // Who comes back may be another one.
        address.checked &= !changes.iter().any(|change| matches!(change, Change::Down(_)));
        drop(state);
        for change in changes {
            self.tell(index, &change);
        }
    }

    fn tell(&self, index: usize, change: &Change) {
        let (cluster, endpoint) = (&self.cluster, self.url(index));
        match change {
            Change::Down(error) => tracing::warn!(cluster, endpoint, %error, "endpoint down"),
            Change::Well => tracing::info!(cluster, endpoint, "endpoint well again"),
            Change::CallFails(error) => {
                tracing::warn!(cluster, endpoint, %error, "endpoint fails at one call, which goes to others first");
            }
            Change::CallAnswers(path) => tracing::info!(cluster, endpoint, path, "endpoint answers the call again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Credential, Endpoint, Secret, Tls};

    const CALL: &str = "/cluster/status";

    fn url(number: usize) -> String {
        format!("https://pve{number}:8006")
    }

    fn endpoints(count: usize, direct: &[(&str, usize)]) -> Endpoints {
        let endpoint = |number: usize| Endpoint { url: url(number) };
        Endpoints::new(&Cluster {
            control: None,
            name: "home".into(),
            endpoints: (1..=count).map(endpoint).collect(),
            modules: Vec::new(),
            node_addresses: direct.iter().map(|(node, number)| ((*node).to_owned(), endpoint(*number))).collect(),
            credential: Credential::Token { id: "a@pve!b".into(), secret: Secret::new("x".into()) },
            tls: Tls::SystemRoots,
            ssh: None,
            wakes: BTreeMap::new(),
        })
    }

    fn order(endpoints: &Endpoints, call: &str) -> Vec<(usize, bool)> {
        endpoints.order(call).iter().map(|candidate| (candidate.index, candidate.well)).collect()
    }

    fn unreachable(index: usize) -> Error {
        let reason = Reason::Unreachable("refused".into());
        Error { endpoint: url(index + 1), path: CALL.into(), reason }
    }

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn answer(index: usize) -> Answer {
        Answer { endpoint: url(index + 1), path: CALL.into(), ..Answer::of("") }
    }

    #[tokio::test(start_paused = true)]
    async fn well_ones_as_configured_then_the_last_that_answered() {
        let endpoints = endpoints(4, &[]);
        assert_eq!(order(&endpoints, CALL), [(0, true), (1, true), (2, true), (3, true)]);
        for index in [1, 2, 0] {
            endpoints.note(index, CALL, Instant::now(), Ok(()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(order(&endpoints, CALL), [(0, true), (1, true), (2, true), (3, true)], "whoever answered last");
        for index in [0, 1] {
            endpoints.note(index, CALL, Instant::now(), Err(&unreachable(index)));
        }
        assert_eq!(order(&endpoints, CALL), [(2, true), (3, true), (0, false), (1, false)]);
        for index in [2, 3] {
            endpoints.note(index, CALL, Instant::now(), Err(&unreachable(index)));
        }
        assert_eq!(order(&endpoints, CALL), [(0, false), (2, false), (1, false), (3, false)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        endpoints.note(3, CALL, Instant::now(), Ok(()));
        assert_eq!(order(&endpoints, CALL)[0], (3, true), "an answer makes it well");
    }

    #[tokio::test]
    async fn a_refusal_by_pve_is_an_answer_and_a_fault_of_one_call_is_its_own() {
        let endpoints = endpoints(2, &[]);
        let error = |reason| Error { endpoint: url(1), path: CALL.into(), reason };
        for reason in [
            Reason::Unauthorized("no".into()),
            Reason::Forbidden("no".into()),
            Reason::NotFoundHere("Configuration file x".into()),
            Reason::Status(501, "not implemented".into()),
            Reason::Status(400, "Parameter verification failed.".into()),
            Reason::TooLarge(1),
        ] {
            endpoints.note(0, CALL, Instant::now(), Err(&error(reason)));
            assert_eq!(order(&endpoints, CALL), [(0, true), (1, true)]);
        }
        for reason in [
            Reason::Status(500, "out of order".into()),
            Reason::Status(595, "No route to host".into()),
            Reason::Broken("reset".into()),
            Reason::Malformed("no JSON".into()),
            Reason::Timeout(Duration::from_secs(60)),
        ] {
            let endpoints = self::endpoints(2, &[]);
            endpoints.note_slow(0, CALL, Instant::now(), Err(&error(reason.clone())));
            assert_eq!(order(&endpoints, CALL), [(0, true), (1, true)], "the slow lane asks about sick nodes");
            endpoints.note(0, CALL, Instant::now(), Err(&error(reason.clone())));
            assert_eq!(order(&endpoints, CALL), [(1, true), (0, false)], "{reason:?}");
            assert_eq!(order(&endpoints, "/version"), [(0, true), (1, true)], "{reason:?}");
            assert_eq!(endpoints.probes("/version"), [(0, Probe::Address)], "{reason:?}");
        }
    }

    #[tokio::test]
    async fn a_lone_endpoint_is_never_down_probed_or_compared() {
        let endpoints = endpoints(1, &[("pve2", 2)]);
        endpoints.note(0, CALL, Instant::now(), Err(&unreachable(0)));
        assert_eq!((order(&endpoints, CALL), endpoints.probes(CALL)), (vec![(0, true)], vec![]));
        assert!(!endpoints.is_unchecked(0).unwrap() && endpoints.claim(0));
        endpoints.note(0, CALL, Instant::now(), Err(&unreachable(0)));
        assert!(!endpoints.is_unchecked(0).unwrap() && endpoints.claim(0));
        assert!(endpoints.is_unchecked(1).unwrap(), "a node address is");
    }

    #[tokio::test]
    async fn the_first_that_answers_is_what_others_are_compared_with() {
        let endpoints = endpoints(3, &[]);
        assert!((0..3).all(|index| !endpoints.is_unchecked(index).unwrap()), "one of them is the first");
        assert!(endpoints.claim(1));
        assert!(!endpoints.claim(0), "an answer that came second is not used unseen");
        assert_eq!((endpoints.reference(0), endpoints.reference(1)), (Some(1), None));
        endpoints.learn(&answer(1), &["pve1", "pve2"], Some("pve2"));
        assert_eq!(endpoints.reference(0), None, "the names are known");
        assert!(endpoints.compare(0, names(&["pve2", "pve3"])).is_ok() && endpoints.claim(0));

        let error = endpoints.compare(2, names(&["other"])).unwrap_err();
        assert!(
            matches!(&error.reason, Reason::Foreign(words) if words.contains("pve1, pve2, found other")),
            "{error}"
        );
        assert_eq!(order(&endpoints, CALL), [(0, true), (1, true)]);
        assert_eq!(endpoints.is_unchecked(2), Err(Error { path: "/nodes".into(), ..error }));

        endpoints.note(1, CALL, Instant::now(), Err(&unreachable(1)));
        assert!(endpoints.is_unchecked(1).unwrap(), "who was down may be another one now");
        assert!(endpoints.compare(1, names(&["new"])).is_err());
        endpoints.note(0, CALL, Instant::now(), Err(&unreachable(0)));
        assert!(endpoints.compare(0, names(&["new"])).is_err());
        assert_eq!(order(&endpoints, CALL), []);
        assert!(endpoints.all_refused(CALL).to_string().contains("another cluster"));
    }

    #[tokio::test]
    async fn where_nothing_is_known_the_names_that_come_first_count() {
        let endpoints = endpoints(2, &[]);
        assert!(endpoints.claim(0));
        assert!(endpoints.compare(1, names(&["pve1"])).is_ok(), "the first one cannot tell any more");
        assert!(endpoints.compare(0, names(&["other"])).is_err());
    }

    #[tokio::test]
    async fn addresses_get_their_nodes_by_configuration_or_answer() {
        let endpoints = endpoints(2, &[("pve1", 1), ("pve3", 3)]);
        assert_eq!(
            (endpoints.place(0), endpoints.place(1), endpoints.place(2)),
            ("pve1".into(), url(2), "pve3".into())
        );
        endpoints.learn(&answer(1), &["pve1", "pve2", "pve3"], Some("pve2"));
        assert_eq!(endpoints.place(1), "pve2");
        assert!(endpoints.is_at(1, "pve2") && endpoints.is_at(1, &url(2)) && !endpoints.is_at(1, "pve1"));
        assert_eq!(
            (endpoints.direct("pve1"), endpoints.direct("pve2"), endpoints.direct("pve3")),
            (Some(0), None, Some(2))
        );
        assert_eq!(order(&endpoints, CALL).len(), 2, "a node address is no endpoint");
        endpoints.note_slow(2, CALL, Instant::now(), Err(&unreachable(2)));
        assert_eq!(endpoints.direct("pve3"), None, "it has just failed");
    }
}
