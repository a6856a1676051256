//! The guests that are meant and may be switched, as the reading credential sees them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::super::job;
use super::super::{Acting, Control};
use super::spec::{Select, Spec, tags};
use crate::api::{Caller, Code, Error};
use crate::ids::GuestSelection;
use crate::inventory::{Guest, Resources};

/// Nobody waits longer for the list of a cluster.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who was found.
#[derive(Default)]
pub(super) struct Found {
    /// By cluster and number.
    pub(super) picks: Vec<Pick>,
    /// How many the token does not reach.
    pub(super) refused: usize,
    /// Numbers that no guest has, as far as the token may know that.
    pub(super) unknown: Vec<u64>,
}

/// A guest that is to be switched.
#[derive(Clone)]
pub(super) struct Pick {
    pub(super) acting: Arc<Acting>,
    pub(super) vmid: u64,
    /// `qemu` or `lxc`.
    pub(super) kind: &'static str,
    pub(super) node: String,
}

/// Finds them. Nobody is asked where the token reaches none of the numbers that are named.
pub(super) async fn find(control: &Control, spec: &Spec, caller: &Caller) -> Result<Found, Error> {
    let clusters = meant(control, &spec.select)?;
    let scope = caller.guests.as_ref();
    let mut select = spec.select.clone();
    let out_of_reach = |vmid: &u64| scope.and_then(|scope| scope.by_number(*vmid)) == Some(false);
    let (refused, left): (Vec<u64>, Vec<u64>) = select.vmids.iter().partition(|vmid| out_of_reach(vmid));
    let mut found = Found { refused: refused.len(), ..Found::default() };
    if left.is_empty() && !refused.is_empty() {
        return Ok(found);
    }
    select.vmids = left.into_iter().collect();
    let lists = join_all(clusters.iter().map(|acting| resources(acting))).await;
    found.unknown.extend(&select.vmids);
    for (acting, list) in clusters.into_iter().zip(lists) {
        let list = list?;
        let among = among(list.guests.iter(), &select, scope);
        found.refused = found.refused.saturating_add(among.refused);
        found.unknown.retain(|vmid| !among.known.contains(vmid));
        found.picks.extend(among.meant.into_iter().map(|guest| Pick {
            acting: Arc::clone(&acting),
            vmid: guest.identity.vmid,
            kind: guest.identity.kind.as_str(),
            node: guest.node.to_string(),
        }));
    }
    found.picks.sort_by(|one, other| (&one.acting.name, one.vmid).cmp(&(&other.acting.name, other.vmid)));
    Ok(found)
}

/// The clusters in which guests may be meant and switched.
fn meant(control: &Control, select: &Select) -> Result<Vec<Arc<Acting>>, Error> {
    if let Some(name) = &select.cluster {
        let acting = control.cluster(name)?;
        return if acting.writer.is_some() { Ok(vec![Arc::clone(acting)]) } else { Err(job::disabled(name)) };
    }
    let acting: Vec<_> = control.clusters.iter().filter(|acting| acting.writer.is_some()).map(Arc::clone).collect();
    if acting.len() > 1 && !select.vmids.is_empty() {
        let names: Vec<&str> = acting.iter().map(|acting| acting.name.as_str()).collect();
        let message = format!("expected cluster beside vmids, as numbers are not the same in {}", names.join(", "));
        return Err(Error::bad_request(message));
    }
    if acting.is_empty() { Err(disabled()) } else { Ok(acting) }
}

/// Said where nothing can be switched anywhere.
pub(super) fn disabled() -> Error {
    Error::new(Code::ControlDisabled, "nothing is switched here: no [[clusters]] has control, the acting credential")
}

async fn resources(acting: &Acting) -> Result<Arc<Resources>, Error> {
    let failed = |why: String| {
        Error::new(Code::PveUnreachable, format!("the guests of {} could not be read: {why}", acting.name))
    };
    let view = acting.inventory.view();
    let read = timeout(PATIENCE, view.resources()).await.map_err(|_| failed("no answer in time".to_owned()))?;
    read.map_err(|error| failed(error.to_string()))
}

/// What one cluster has of them.
struct Among<'a> {
    meant: Vec<&'a Guest>,
    refused: usize,
    /// Numbers of those that are there, meant or not.
    known: Vec<u64>,
}

fn among<'a>(guests: impl Iterator<Item = &'a Guest>, select: &Select, scope: Option<&GuestSelection>) -> Among<'a> {
    let mut among = Among { meant: Vec::new(), refused: 0, known: Vec::new() };
    for guest in guests {
        let identity = &guest.identity;
        if select.vmids.contains(&identity.vmid) {
            among.known.push(identity.vmid);
        }
        if !select.has(guest) {
            continue;
        }
        if scope.is_none_or(|scope| scope.has(identity.vmid, tags(guest), identity.pool.as_deref())) {
            among.meant.push(guest);
        } else {
            among.refused = among.refused.saturating_add(1);
        }
    }
    among
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{GuestKind, Identity};

    fn guest(vmid: u64, tags: &str, pool: Option<&str>, status: Option<&str>, template: bool) -> Guest {
        let identity = Identity {
            kind: GuestKind::Qemu,
            vmid,
            name: None,
            tags: tags.into(),
            pool: pool.map(Into::into),
            template: Some(template),
        };
        Guest {
            identity: Arc::new(identity),
            node: "pve1".into(),
            status: status.map(Into::into),
            lock: None,
            ha_state: None,
            usage: Default::default(),
            memory_host: Default::default(),
            traffic: Default::default(),
            ghost: None,
        }
    }

    #[test]
    fn guests_are_meant_by_all_that_is_said_and_reached_by_the_token() {
        let guests = [
            guest(100, "dev;web", Some("lab"), Some("running"), false),
            guest(101, "dev", None, Some("stopped"), false),
            guest(102, "prod", Some("lab"), Some("running"), false),
            guest(103, "dev", None, None, false),
            guest(104, "dev", None, Some("stopped"), true),
        ];
        let select = |change: &dyn Fn(&mut Select)| {
            let mut select = Select::default();
            change(&mut select);
            select
        };
        let words = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let scope = GuestSelection::parse(["tag:dev", "!101"]).unwrap();
        for (select, all, meant, refused) in [
            (select(&|s| s.tags = words(&["dev", "x"])), vec![100, 101, 103], vec![100, 103], 1),
            (select(&|s| s.pool = Some("lab".to_owned())), vec![100, 102], vec![100], 1),
            (select(&|s| s.status = Some("running".to_owned())), vec![100, 102], vec![100], 1),
            (select(&|s| s.status = Some("unknown".to_owned())), vec![103], vec![103], 0),
            (select(&|s| s.vmids = [101, 102, 104].into()), vec![101, 102, 104], vec![104], 2),
            (select(&|s| (s.vmids, s.tags) = ([100, 102].into(), words(&["prod"]))), vec![102], vec![], 1),
            (select(&|s| s.pool = Some("Lab".to_owned())), vec![], vec![], 0),
        ] {
            let numbers = |among: &Among<'_>| among.meant.iter().map(|guest| guest.identity.vmid).collect::<Vec<_>>();
            assert_eq!(numbers(&among(guests.iter(), &select, None)), all, "{select:?}");
            let some = among(guests.iter(), &select, Some(&scope));
            assert_eq!((numbers(&some), some.refused), (meant, refused), "{select:?}");
        }
    }
}
