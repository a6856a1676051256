//! Storages gone and returned, on nodes that are online.

use super::node::with_return;
use super::{Ground, State};
use crate::events::finding::{Finding, Kind};

pub(super) fn findings(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let Some(resources) = &ground.look.resources else { return Vec::new() };
    let mut found = Vec::new();
    for storage in &resources.storages {
        let id = format!("storage/{}/{}", storage.node, storage.name);
        if storage.available == Some(true) {
            state.storages.insert(id.clone());
        }
        // What never was there, such as a disabled storage, cannot go.
        let gone = storage.available.filter(|_| state.storages.contains(&id)).map(|available| !available);
        let news = ground.condition(state, (Kind::StorageGone, &id), gone, || {
            format!("Storage {} is not available on node {}", storage.name, storage.node)
        });
        let news = news.map(|finding| Finding { node: Some(storage.node.clone()), ..finding });
        with_return(ground, &mut found, news, Kind::StorageReturned, || {
            format!("Storage {} is available on node {} again", storage.name, storage.node)
        });
    }
    found
}
