//! What would be sent for an order.

use serde_json::{Map, Value, json};

use super::action::Plan;
use super::ending::Ending;
use super::guest::Guest;
use super::job::Job;
use crate::pve::{self, Held, Permissions, Writer};

/// What the acting credential may do, if that can be read.
pub(super) async fn rights(writer: &Writer) -> Option<Permissions> {
    match writer.permissions().await.and_then(|answer| pve::permissions(&answer)) {
        Ok(held) => Some(held),
        Err(error) => {
            tracing::debug!(%error, "the rights of who acts cannot be read");
            None
        }
    }
}

/// What would be sent, and which rights that needs (pure).
pub(super) fn would(job: &Job, guest: &Guest, plan: &Plan, rights: Option<&Permissions>) -> Ending {
    let subject = job.subject(&guest.node, guest.kind, guest.name.clone());
    let mut ending = Ending::well(&subject, false, &guest.seen.word, None);
    (ending.outcome, ending.body["dry_run"]) = ("dry_run", true.into());
    let Plan::Send(order) = plan else { return ending };
    let held = |privilege: &str, path: &str| rights.as_ref().map(|rights| rights.held(privilege, path) == Held::Wholly);
    let needs: Vec<Value> = order
        .needs
        .iter()
        .map(|(privilege, path)| json!({"privilege": privilege, "path": path, "held": held(privilege, path)}))
        .collect();
    let form: Map<String, Value> =
        order.fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let path = format!("/nodes/{}/{}/{}/status/{}", guest.node, guest.kind, guest.vmid, order.verb);
    ending.body["changed"] = true.into();
    ending.body["request"] = json!({"method": "POST", "path": path, "form": form});
    ending.body["needs"] = needs.into();
    if order.via_ha {
        ending.body["via"] = "ha".into();
    }
    ending
}
