//! What is asked of many guests, and which ones are meant (pure).

use std::collections::BTreeSet;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use super::super::action::{Action, Wish};
use crate::api::{Error, Request};
use crate::inventory::Guest;
use crate::pve::wire::Object;

/// So many guests may be selected unless another number is said.
const USUAL_MAX: usize = 20;
/// No other number may be higher.
const HIGHEST_MAX: usize = 100;
/// So many are asked at once unless another number is said.
const USUAL_PARALLEL: usize = 4;
/// No other number may be higher.
const HIGHEST_PARALLEL: usize = 16;
/// The highest number that PVE gives.
const HIGHEST_VMID: u64 = 999_999_999;
/// More tags or numbers than these are a mistake.
const MOST_WORDS: usize = 1000;

/// What stands in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    action: String,
    select: Object<RawSelect>,
    #[serde(default, deserialize_with = "said")]
    max: Option<usize>,
    #[serde(default, deserialize_with = "said")]
    parallel: Option<usize>,
    #[serde(default, deserialize_with = "said")]
    order: Option<String>,
    #[serde(default, deserialize_with = "said")]
    confirm: Option<usize>,
    #[serde(default, deserialize_with = "said")]
    dry_run: Option<bool>,
    #[serde(default, deserialize_with = "said")]
    timeout: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default, deserialize_with = "said")]
    wait: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSelect {
    #[serde(deserialize_with = "said")]
    cluster: Option<String>,
    #[serde(deserialize_with = "said")]
    tags: Option<Vec<String>>,
    #[serde(deserialize_with = "said")]
    pool: Option<String>,
    #[serde(deserialize_with = "said")]
    vmids: Option<Vec<u64>>,
    #[serde(deserialize_with = "said")]
    status: Option<String>,
}

/// `null` is what a template leaves that found nothing: it must not select everything.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) wish: Wish,
    pub(super) select: Select,
    pub(super) max: usize,
    pub(super) parallel: usize,
    /// One after the other, as their `startup` says.
    pub(super) by_startup: bool,
    /// How many its caller expects; `None`: nothing is to be sent.
    pub(super) confirm: Option<usize>,
    /// How long its caller waits, where the body says so.
    pub(super) wait: Option<String>,
}

/// Which guests are meant: those for which all holds that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Select {
    pub(super) cluster: Option<String>,
    /// One of them is enough.
    pub(super) tags: BTreeSet<String>,
    pub(super) pool: Option<String>,
    /// One of them.
    pub(super) vmids: BTreeSet<u64>,
    /// PVE's own word.
    pub(super) status: Option<String>,
}

impl Spec {
    /// Reads a request strictly.
    pub(super) fn read(request: &Request) -> Result<Self, Error> {
        let body: Body = request.json()?;
        let wrong = |what: &str| Error::bad_request(format!("expected {what}"));
        let action = Action::parse(&body.action).ok_or_else(|| {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
            wrong(&format!("action to be one of {}", known.join(", ")))
        })?;
        let within = |name: &str, number: Option<usize>, usual: usize, most: usize| {
            let number = number.unwrap_or(usual);
            let fits = (1..=most).contains(&number);
            fits.then_some(number).ok_or_else(|| wrong(&format!("{name} to be a number from 1 to {most}")))
        };
        let by_startup = match body.order.as_deref() {
            None | Some("number") => false,
            Some("startup") => true,
            Some(_) => return Err(wrong("order to be \"number\" or \"startup\"")),
        };
        let confirm = match (body.dry_run, body.confirm) {
            (Some(true), _) => None,
            (Some(false), None) => {
                return Err(wrong("confirm to be the number of guests, which a batch without it tells"));
            }
            (_, confirm) => confirm,
        };
        Ok(Self {
            wish: Wish::read(action, body.timeout.as_deref(), body.force)?,
            select: Select::read(body.select.0)?,
            max: within("max", body.max, USUAL_MAX, HIGHEST_MAX)?,
            parallel: within("parallel", body.parallel, USUAL_PARALLEL, HIGHEST_PARALLEL)?,
            by_startup,
            confirm,
            wait: body.wait,
        })
    }

    /// All that makes it another batch.
    pub(super) fn name(&self) -> String {
        let Self { wish, select, max, parallel, by_startup, confirm, wait: _ } = self;
        // A struct of texts and numbers can always be written.
        let select = serde_json::to_string(select).unwrap_or_default();
        let wish = wish.name("batch", 0);
        format!("{wish} of {select}, {max} at most, {parallel} at once, by startup {by_startup}, {confirm:?}")
    }
}

impl Select {
    fn read(raw: RawSelect) -> Result<Self, Error> {
        let RawSelect { cluster, tags, pool, vmids, status } = raw;
        let wrong = |what: &str| Err(Error::bad_request(format!("expected select to have {what}")));
        if tags.is_none() && pool.is_none() && vmids.is_none() && status.is_none() && cluster.is_none() {
            return wrong("at least one of cluster, tags, pool, vmids and status");
        }
        if tags.as_ref().is_some_and(|tags| tags.is_empty() || tags.len() > MOST_WORDS) {
            return wrong("at least one tag in tags, or no tags");
        }
        let is_number = |vmid: &u64| (1..=HIGHEST_VMID).contains(vmid);
        if vmids.as_ref().is_some_and(|all| all.is_empty() || all.len() > MOST_WORDS || !all.iter().all(is_number)) {
            return wrong("numbers of guests in vmids, such as [100, 101]");
        }
        let texts = [&cluster, &pool, &status].into_iter().flatten().chain(tags.iter().flatten());
        if texts.into_iter().any(String::is_empty) {
            return wrong("no empty texts");
        }
        let tags = tags.unwrap_or_default().into_iter().collect();
        Ok(Self { cluster, tags, pool, vmids: vmids.unwrap_or_default().into_iter().collect(), status })
    }

    /// Whether a guest is meant. A template is where it is named by its number.
    pub(super) fn has(&self, guest: &Guest) -> bool {
        let identity = &guest.identity;
        let is_named = self.vmids.contains(&identity.vmid);
        (is_named || self.vmids.is_empty() && identity.template != Some(true))
            && (self.tags.is_empty() || tags(guest).any(|tag| self.tags.contains(tag)))
            && self.pool.as_deref().is_none_or(|pool| identity.pool.as_deref() == Some(pool))
            && self.status.as_deref().is_none_or(|status| guest.status.as_deref().unwrap_or("unknown") == status)
    }
}

/// Its tags.
pub(super) fn tags(guest: &Guest) -> impl Iterator<Item = &str> + Clone {
    guest.identity.tags.split(';').filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::Caller;

    fn read(body: &str) -> Result<Spec, Error> {
        let caller = Caller { name: "ops".to_owned(), scopes: Vec::new(), guests: None, from: None };
        let body = body.to_owned().into();
        Spec::read(&Request { path: Vec::new(), query: Vec::new(), body, key: None, caller, id: "1".to_owned() })
    }

    #[test]
    fn what_is_asked_is_read_and_named() {
        let spec = read(r#"{"action":"stop","select":{"tags":["b","a"]}}"#).unwrap();
        assert_eq!((spec.max, spec.parallel, spec.by_startup, spec.confirm), (20, 4, false, None));
        assert_eq!(read(r#"{"action":"stop","select":{"tags":["a","b","a"]}}"#).unwrap().name(), spec.name());
        let whole = r#"{"action":"shutdown","select":{"cluster":"home","vmids":[1,2],"pool":"lab","status":"running"},
            "max":5,"parallel":2,"order":"startup","confirm":2,"timeout":"30s","force":true,"wait":"1m"}"#;
        let all = read(whole).unwrap();
        assert_eq!((all.max, all.parallel, all.by_startup, all.confirm), (5, 2, true, Some(2)));
        assert_eq!(read(&whole.replace("1m", "2m")).unwrap().name(), all.name());
        for (from, to) in [
            ("shutdown", "shutdown\",\"dry_run\":false,\"action2"),
            ("30s", "31s"),
            ("[1,2]", "[1,3]"),
            ("\"max\":5", "\"max\":6"),
            ("confirm\":2", "confirm\":3"),
            ("lab", "lab2"),
        ] {
            assert_ne!(read(&whole.replace(from, to)).map(|spec| spec.name()).ok(), Some(all.name()), "{to}");
        }
        let dry = whole.replace("\"confirm\"", "\"dry_run\":true,\"confirm\"");
        assert_eq!(read(&dry).unwrap().confirm, None);
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        let whole = r#"{"action":"stop","select":{"tags":["a"]}}"#;
        assert!(read(whole).is_ok());
        for wrong in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"action":"stop"}"#,
            r#"{"action":"stop","select":{}}"#,
            r#"{"action":"stop","select":null}"#,
            r#"{"action":"stop","select":["home"]}"#,
            r#"{"action":"stop","select":{"tags":["a"]},"select":{"tags":["b"]}}"#,
            r#"{"action":"stop","select":{"tags":["a"],"tags":["b"]}}"#,
            r#"{"action":"stop","select":{"tags":["a"],"cluster":null}}"#,
            r#"{"action":"stop","select":{"tags":["a"],"pool":""}}"#,
            r#"{"action":"stop","select":{"tags":[]}}"#,
            r#"{"action":"stop","select":{"tags":[""]}}"#,
            r#"{"action":"stop","select":{"tags":"a"}}"#,
            r#"{"action":"stop","select":{"vmids":[]}}"#,
            r#"{"action":"stop","select":{"vmids":[0]}}"#,
            r#"{"action":"stop","select":{"vmids":[-1]}}"#,
            r#"{"action":"stop","select":{"vmids":[1.5]}}"#,
            r#"{"action":"stop","select":{"vmids":["1"]}}"#,
            r#"{"action":"stop","select":{"vmids":[18446744073709551617]}}"#,
            r#"{"action":"stop","select":{"tag":["a"]}}"#,
            &whole.replace("stop", "explode"),
            &whole.replace("}}", "},\"max\":0}"),
            &whole.replace("}}", "},\"max\":101}"),
            &whole.replace("}}", "},\"parallel\":17}"),
            &whole.replace("}}", "},\"order\":\"random\"}"),
            &whole.replace("}}", "},\"dry_run\":false}"),
            &whole.replace("}}", "},\"dryrun\":false}"),
            &whole.replace("}}", "},\"confirm\":null}"),
            &whole.replace("}}", "},\"confirm\":-1}"),
            &whole.replace("}}", "},\"timeout\":\"30s\"}"),
            &whole.replace("}}", "},\"force\":true}"),
        ] {
            assert_eq!(read(wrong).map_err(|error| error.code.as_str()).err(), Some("bad_request"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(text in "\\{\"action\":\"st(op|art)\",\"select\":\\{[\"a-z:,0-9\\[\\]{}-]{0,40}\\}.{0,9}|.{0,60}") {
            if let Ok(spec) = read(&text) {
                prop_assert!(spec.confirm.is_none() || text.contains("confirm"));
            }
        }
    }
}
