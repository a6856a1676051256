//! A guest as it is now: where it lives, and what its own node says of it.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::Acting;
use crate::api::{Code, Error};
use crate::ids::GuestSelection;
use crate::pve::wire::{Flag, Number, Object, Text};
use crate::pve::{self, Answer, Place, Reason, Writer};

/// How long the reading credential is waited for, where it must say what a token may do.
const PATIENCE: Duration = Duration::from_secs(10);

/// A guest that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) vmid: u64,
    /// `qemu` or `lxc`.
    pub(super) kind: &'static str,
    pub(super) node: String,
    pub(super) name: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) pool: Option<String>,
    pub(super) template: bool,
    pub(super) ha_state: Option<String>,
    pub(super) seen: Seen,
}

/// What its node says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) condition: Condition,
    /// PVE's own word.
    pub(super) word: String,
    pub(super) lock: Option<String>,
    /// In seconds.
    pub(super) uptime: u64,
    /// Whether HA manages it.
    pub(super) is_managed: bool,
    /// When this was said, in seconds since 1970 by the cluster's clock.
    pub(super) at: Option<u64>,
}

/// What matters of its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Running,
    Paused,
    Stopped,
    /// Its process is there, and does not do what it should, as with an I/O error.
    Odd,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Current<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    qmpstatus: Text<'a>,
    #[serde(borrow)]
    lock: Text<'a>,
    uptime: Number,
    ha: Ha<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ha<'a> {
    managed: Flag,
    #[serde(borrow)]
    state: Text<'a>,
}

impl Guest {
    pub(super) fn is_container(&self) -> bool {
        self.kind == "lxc"
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { node: &self.node, kind: self.kind, vmid: self.vmid }
    }

    /// Whether a token reaches it. Who sees it with less rights may not see a tag or pool that takes it away, so that the
    /// reading credential must agree.
    pub(super) async fn is_meant(&self, selection: Option<&GuestSelection>, acting: &Acting) -> Result<bool, Error> {
        let Some(selection) = selection else { return Ok(true) };
        let view = acting.inventory.view();
        let unread = |why: String| {
            let name = &acting.name;
            Error::new(
                Code::PveUnreachable,
                format!("the tags and pools of {name}, by which the token is limited: {why}"),
            )
        };
        let read = timeout(PATIENCE, view.resources()).await.map_err(|_| unread("no answer in time".to_owned()))?;
        let read = read.map_err(|error| unread(error.to_string()))?;
        let told = read.guests.iter().find(|guest| guest.identity.vmid == self.vmid);
        let Some(identity) = told.map(|guest| &guest.identity) else { return Ok(false) };
        let pool = self.pool.as_deref().or(identity.pool.as_deref());
        let own = self.tags.iter().map(String::as_str);
        let others = identity.tags.split(';').filter(|tag| !tag.is_empty());
        Ok(selection.has(self.vmid, own, pool) && selection.has(self.vmid, others, identity.pool.as_deref()))
    }
}

impl Seen {
    /// Whether its memory lies on disk.
    pub(super) fn sleeps(&self) -> bool {
        self.condition == Condition::Stopped && self.lock.as_deref() == Some("suspended")
    }

    fn read(answer: &Answer) -> Result<Self, pve::Error> {
        let Object(current): Object<Current<'_>> = answer.data()?;
        let Some(status) = current.status.filled() else {
            return Err(answer.malformed("it has no status; expected the state of a guest".to_owned()));
        };
        let word = current.qmpstatus.filled().filter(|_| status != "stopped").unwrap_or(status);
        let condition = match word {
            "running" => Condition::Running,
            "stopped" => Condition::Stopped,
            "paused" | "suspended" => Condition::Paused,
            _ => Condition::Odd,
        };
        Ok(Self {
            condition,
            word: word.to_owned(),
            lock: current.lock.filled().map(str::to_owned),
            uptime: Number(current.uptime.0.map(f64::floor)).whole().unwrap_or(0),
            is_managed: current.ha.managed.0 == Some(true) && current.ha.state.filled() != Some("ignored"),
            at: Number(answer.date()).whole(),
        })
    }
}

/// Finds a guest: its node by the cluster, its state by the node. One that moved meanwhile is looked for once more.
pub(super) async fn look(acting: &Acting, writer: &Writer, vmid: u64) -> Result<Guest, Error> {
    let unreachable =
        |error: &pve::Error| Error::new(Code::PveUnreachable, format!("{vmid} could not be looked up: {error}"));
    for _ in 0..2 {
        let answer = writer.resources().await.map_err(|error| refused_or(&error, unreachable(&error)))?;
        let found = find(&answer, vmid).map_err(|error| unreachable(&error))?;
        let Some(mut guest) = found else {
            let (name, who) = (&acting.name, writer.identity());
            let message = format!("there is no guest {vmid} in {name} that {who} may see (VM.Audit on /vms/{vmid})");
            return Err(Error::new(Code::NotFound, message));
        };
        match current(writer, guest.place()).await {
            Ok(seen) => {
                guest.seen = seen;
                return Ok(guest);
            }
            Err(error) if matches!(error.reason, Reason::NotFoundHere(_)) => {}
            Err(error) => return Err(refused_or(&error, unreachable(&error))),
        }
    }
    Err(Error::new(
        Code::NotFound,
        format!("the guest {vmid} is not where the cluster says; it is being moved or removed"),
    ))
}

/// What its node says of a guest.
pub(super) async fn current(writer: &Writer, place: Place<'_>) -> Result<Seen, pve::Error> {
    Seen::read(&writer.guest_status(place).await?)
}

/// A look that was refused is no unreachable PVE.
fn refused_or(error: &pve::Error, otherwise: Error) -> Error {
    match &error.reason {
        Reason::Unauthorized(words)
        | Reason::Forbidden(words)
        | Reason::NotLoggedIn(words)
        | Reason::NoToken(words) => {
            Error::new(Code::PveRefused, format!("the acting credential is not let in: {words}"))
        }
        _ => otherwise,
    }
}

fn find(answer: &Answer, vmid: u64) -> Result<Option<Guest>, pve::Error> {
    let mut found = None;
    pve::resources(answer, |resource| {
        let kind = match resource.kind.filled() {
            Some("qemu") => "qemu",
            Some("lxc") => "lxc",
            _ => return,
        };
        if resource.vmid.whole() != Some(vmid) {
            return;
        }
        let text = |text: &Text<'_>| text.filled().map(str::to_owned);
        let tags = resource.tags.filled().unwrap_or_default().split(';').filter(|tag| !tag.is_empty());
        let Some(node) = text(&resource.node) else { return };
        found = Some(Guest {
            vmid,
            kind,
            node,
            name: text(&resource.name),
            tags: tags.map(str::to_owned).collect(),
            pool: text(&resource.pool),
            template: resource.template.0 == Some(true),
            ha_state: text(&resource.hastate),
            seen: Seen {
                condition: Condition::Odd,
                word: "unknown".to_owned(),
                lock: None,
                uptime: 0,
                is_managed: false,
                at: None,
            },
        });
    })?;
    Ok(found)
}
