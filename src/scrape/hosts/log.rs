//! What the log hears of a host: each change once. Changes of the connection are logged where it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::lock;
use crate::collectors::{Failure, Heard};
use crate::ssh::Session;

/// What was logged last of one host.
#[derive(Default)]
pub(super) struct Log(Mutex<BTreeMap<&'static str, State>>);

/// Of one collector.
#[derive(Default)]
struct State {
    /// The reasons told since it began to fail.
    failing: BTreeSet<&'static str>,
    /// The sections told since the host told all.
    silent: BTreeSet<String>,
}

impl Log {
    /// Compares an answer with what was logged before, and logs what is new.
    pub(super) fn note(&self, session: &Session, collector: &'static str, heard: &Heard) {
        let (host, address) = (session.id(), session.address());
        let mut states = lock(&self.0);
        let state = states.entry(collector).or_default();
        match &heard.error {
            Some(error) if state.is_news(error) => {
                tracing::warn!(host, %address, collector, %error, "the host did not tell what it was asked");
            }
            Some(_) => {}
            None => {
                if state.recovered() {
                    tracing::info!(host, %address, collector, "the host tells again what it is asked");
                }
                let news = state.new_gaps(&heard.troubles);
                if !news.is_empty() {
                    let gaps = news.join("; ");
                    tracing::warn!(host, %address, collector, gaps, "the host does not tell everything");
                }
            }
        }
    }
}

impl State {
    fn is_news(&mut self, error: &Failure) -> bool {
        !error.is_of_connection() && self.failing.insert(error.label())
    }

    fn recovered(&mut self) -> bool {
        !std::mem::take(&mut self.failing).is_empty()
    }

    fn new_gaps(&mut self, troubles: &[(String, String)]) -> Vec<String> {
        if troubles.is_empty() {
            self.silent.clear();
        }
        let news = troubles.iter().filter(|(section, _)| self.silent.insert(section.clone()));
        news.map(|(section, why)| format!("{section}: {why}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SshAddress;
    use crate::ssh::{Error, Reason};

    fn failure(reason: Reason) -> Failure {
        let address = SshAddress::parse("nas", 22).expect("an address");
        Failure::Ssh(Error { host: "nas".to_owned(), address, reason })
    }

    #[test]
    fn each_failure_is_told_once_and_those_of_the_connection_elsewhere() {
        let mut state = State::default();
        let exit = failure(Reason::Exit { how: "exit status 1".to_owned(), stderr: String::new() });
        assert!(!state.recovered());
        assert!(!state.is_news(&failure(Reason::Auth("refused".to_owned()))) && !state.recovered());
        assert!(state.is_news(&exit) && !state.is_news(&exit));
        assert!(state.is_news(&failure(Reason::TooLarge(1))), "another reason");
        assert!(!state.is_news(&exit), "reasons that take turns");
        assert!(state.recovered() && !state.recovered());
        assert!(state.is_news(&exit), "a new failure");
    }

    #[test]
    fn each_gap_is_told_once() {
        let mut state = State::default();
        let gaps = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "why".to_owned())).collect::<Vec<_>>();
        assert_eq!(state.new_gaps(&gaps(&["edac", "rapl"])), ["edac: why", "rapl: why"]);
        assert!(state.new_gaps(&gaps(&["rapl"])).is_empty() && state.new_gaps(&gaps(&["edac"])).is_empty());
        assert_eq!(state.new_gaps(&gaps(&["edac", "zfs"])), ["zfs: why"]);
        assert!(state.new_gaps(&[]).is_empty());
        assert_eq!(state.new_gaps(&gaps(&["edac"])), ["edac: why"], "after all was told");
    }
}
