//! `/nodes/N/storage/S/content`: what lies on a storage; only backups, for now.

use super::super::world::{World, second};
use super::nodes::pass_on;
use super::{Answer, Call, Parameters, Reply, audit, check_names, invalid, not_implemented, protected};

/// A caller sees the storage with `Datastore.Audit`, and guests' backups only with `Datastore.AllocateSpace` and
/// `VM.Backup`, or with `Datastore.Allocate`: without them the list is empty.
pub(super) fn content(
    world: &World,
    call: &Call<'_>,
    (node, storage): (&str, &str),
    parameters: &Parameters<'_>,
) -> Result<Answer, Reply> {
    check_names(parameters, &["content", "vmid"])?;
    audit(call, &format!("/storage/{storage}"), "Datastore.Audit|Datastore.AllocateSpace")?;
    match parameters {
        [("content", "backup")] => {}
        [("content", other)] if !["images", "rootdir", "iso", "vztmpl", "snippets"].contains(other) => {
            return Err(invalid("content", "value does not look like a valid content type"));
        }
        _ => return Err(not_implemented(call)),
    }
    let holds = |privilege| call.rights.holds(privilege);
    let may = holds("Datastore.Allocate") || (holds("Datastore.AllocateSpace") && holds("VM.Backup"));
    pass_on(world, call, node, |_| match world.facts().archives(storage, may, second(call.now), call.order()) {
        Some(body) => protected(body),
        None => invalid("storage", "No such storage."),
    })
}
