//! Which guest is meant: by name, by number, or by cluster and either.

use serde::Deserialize;
use serde_json::Value;

use super::Failure;
use super::client::Client;

/// So many are told where a name stands for several.
const SHOWN: usize = 10;
/// A name that is less like than this is no suggestion.
const LIKE: f64 = 0.7;

/// A guest that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) cluster: String,
    pub(super) vmid: u64,
    /// Where it was looked up.
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    cluster: String,
    vmid: u64,
    #[serde(default)]
    name: Option<String>,
}

impl Guest {
    /// For people: `web01 (home/100)`.
    pub(super) fn shown(&self) -> String {
        let place = format!("{}/{}", self.cluster, self.vmid);
        self.name.as_ref().map_or(place.clone(), |name| format!("{name} ({place})"))
    }
}

/// Finds all that are meant, each once. Fails where one is none or several, so that nothing is done to any of them.
pub(super) async fn find(client: &Client, words: &[String]) -> Result<Vec<Guest>, Failure> {
    let mut known: Option<Vec<Guest>> = None;
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for word in words {
        let guest = match plain_place(word) {
            Some(guest) => Ok(guest),
            None => {
                if known.is_none() {
                    known = Some(read(&client.read("/api/v1/guests").await?));
                }
                one(known.as_deref().unwrap_or_default(), word)
            }
        };
        match guest {
            Ok(guest) if found.iter().any(|other| same(other, &guest)) => {}
            Ok(guest) => found.push(guest),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(Failure::Runtime(format!("{}; nothing was done", wrong.join("; ")))) }
}

fn same(one: &Guest, other: &Guest) -> bool {
    (&one.cluster, one.vmid) == (&other.cluster, other.vmid)
}

/// `home/100`, which needs no looking up.
fn plain_place(word: &str) -> Option<Guest> {
    let (cluster, vmid) = word.split_once('/')?;
    Some(Guest { cluster: Some(cluster).filter(|name| !name.is_empty())?.to_owned(), vmid: number(vmid)?, name: None })
}

fn number(word: &str) -> Option<u64> {
    word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read(told: &Value) -> Vec<Guest> {
    let entries = told["guests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let guest = |entry: &Value| {
        let Listed { cluster, vmid, name } = Listed::deserialize(entry).ok()?;
        Some(Guest { cluster, vmid, name })
    };
    entries.iter().filter_map(guest).collect()
}

/// The one guest that a word stands for. The error names the candidates, or the nearest name.
fn one(known: &[Guest], word: &str) -> Result<Guest, String> {
    let (cluster, name) = match word.split_once('/') {
        Some((cluster, name)) => (Some(cluster), name),
        None => (None, word),
    };
    let is_meant = |guest: &&Guest| {
        cluster.is_none_or(|cluster| guest.cluster == cluster)
            && number(name).map_or_else(|| guest.name.as_deref() == Some(name), |number| guest.vmid == number)
    };
    let mut meant = known.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(guest), None) => Ok(guest.clone()),
        (Some(_), Some(_)) => {
            let all: Vec<String> =
                known.iter().filter(is_meant).map(|guest| format!("{}/{}", guest.cluster, guest.vmid)).collect();
            let more = if all.len() > SHOWN { format!(" and {} more", all.len() - SHOWN) } else { String::new() };
            let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            Err(format!("{word} stands for {} guests: {shown}{more}; name one of them", all.len()))
        }
        (None, _) => {
            let names = known.iter().filter_map(|guest| guest.name.as_deref());
            let near = names.map(|known| (strsim::jaro_winkler(known, name), known)).filter(|(like, _)| *like > LIKE);
            let near = near.max_by(|one, other| one.0.total_cmp(&other.0));
            let hint = near
                .map(|(_, name)| format!("did you mean {name}?"))
                .unwrap_or("ctl ls tells all there are".to_owned());
            Err(format!("there is no guest {word}, or it is a template; {hint}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn known() -> Vec<Guest> {
        let of =
            |cluster: &str, vmid: u64, name: &str| json!({"cluster": cluster, "vmid": vmid, "name": name, "more": 1});
        let mut told = vec![
            of("home", 100, "web01"),
            of("home", 101, "db"),
            of("lab", 100, "web02"),
            of("lab", 102, "db"),
            json!(7),
        ];
        told.push(json!({"cluster": "lab", "vmid": 103}));
        read(&json!({"guests": told}))
    }

    #[test]
    fn a_word_stands_for_one_guest_or_none() {
        let of = |word: &str| one(&known(), word).map(|guest| guest.shown());
        for (word, shown) in [
            ("web01", "web01 (home/100)"),
            ("101", "db (home/101)"),
            ("lab/db", "db (lab/102)"),
            ("lab/100", "web02 (lab/100)"),
            ("103", "lab/103"),
        ] {
            assert_eq!(of(word).as_deref(), Ok(shown));
        }
        for (word, words) in [
            ("db", "db stands for 2 guests: home/101, lab/102; name one"),
            ("100", "100 stands for 2 guests: home/100, lab/100"),
            ("web03", "there is no guest web03, or it is a template; did you mean web0"),
            ("zzz", "ctl ls tells"),
            ("nowhere/web01", "no guest nowhere/web01"),
            ("", "no guest"),
        ] {
            let wrong = of(word).unwrap_err();
            assert!(wrong.contains(words), "{word}: {wrong}");
        }
        let many: Vec<Guest> =
            (0..30).map(|n| Guest { cluster: "a".into(), vmid: n, name: Some("x".into()) }).collect();
        assert!(one(&many, "x").unwrap_err().contains("a/9 and 20 more"));
    }

    #[test]
    fn a_number_of_a_cluster_needs_no_looking_up() {
        assert_eq!(plain_place("home/100").unwrap().shown(), "home/100");
        for word in ["100", "home/", "/100", "home/web01", "home/+1", "home/100/x", "home/99999999999999999999"] {
            assert_eq!(plain_place(word), None, "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(word in any::<String>(), close in "[a-z0-9/+]{0,9}") {
            for word in [word, close] {
                let _ = (plain_place(&word), one(&known(), &word));
            }
        }
    }
}
