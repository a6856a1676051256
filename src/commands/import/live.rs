//! `--live`: each target is asked who it is, with its own module's credential and nothing else.

use std::path::Path;

use futures_util::future::join_all;

use super::modules::DEFAULT;
use super::plan::Member;
use super::print;
use super::read::key_shown;
use super::targets::{Assigned, Group, ambiguous};
use crate::app::{self, Seen};
use crate::{collectors, config};

/// How a target was found.
pub(super) struct Found<'m> {
    /// What is known of it now, or what to type.
    pub(super) member: Result<Member<'m>, String>,
    /// What people should know; a line each.
    pub(super) notes: Vec<String>,
}

/// Asks all targets at once. Must run on the runtime.
pub(super) async fn ask<'m>(assigned: Vec<Assigned<'m>>) -> Vec<Found<'m>> {
    join_all(assigned.into_iter().map(ask_one)).await
}

async fn ask_one(assigned: Assigned<'_>) -> Found<'_> {
    let Assigned { target, candidates } = assigned;
    let mut notes = Vec::new();
    let mut last = String::new();
    for group in &candidates {
        match look(&target.url(group.settings), group).await {
            Ok(seen) => {
                if candidates.len() > 1 {
                    let module = group.modules.first().map(|name| key_shown(name)).unwrap_or_default();
                    notes.push(format!(
                        "--target {}: the credential of module {module} works and is taken",
                        target.typed
                    ));
                }
                return Found { member: Ok(Member { target, group, seen: Some(seen), fault: None }), notes };
            }
            Err(reason) => {
                let module = group.modules.first().map(|name| key_shown(name)).unwrap_or_default();
                notes.push(format!("--target {}: module {module}: it could not be asked: {reason}", target.typed));
                last = reason;
            }
        }
    }
    let member = match candidates.first() {
        // A scrape that names no module means the default, also where it fails.
        Some(group) if candidates.len() == 1 || group.modules.contains(&DEFAULT) => {
            Ok(Member { target, group, seen: None, fault: Some(last) })
        }
        _ => {
            let groups: Vec<Group<'_>> = candidates
                .iter()
                .map(|group| Group { modules: group.modules.clone(), settings: group.settings })
                .collect();
            Err(ambiguous(&target, &groups))
        }
    };
    Found { member, notes }
}

/// Reads the configuration of this target alone, as it would be printed, and asks.
async fn look(url: &str, group: &Group<'_>) -> Result<Seen, String> {
    let cluster = print::Cluster {
        comments: Vec::new(),
        name: "target".to_owned(),
        endpoints: vec![url.to_owned()],
        modules: group.modules.clone(),
        credential: &group.settings.credential,
        secret_file: None,
        verify: &group.settings.verify,
        shown: Vec::new(),
        node_addresses: Vec::new(),
    };
    let text = print::document(&[], &[cluster], &[]);
    let env = config::Env::new(&app::environment);
    let loaded = config::parse(&text, Path::new("its settings"), &env, &collectors::known())
        .map_err(|error| error.to_string().replace('\n', "; "))?;
    let cluster = loaded.config.clusters.first().ok_or("no cluster")?;
    app::look(cluster).await.map_err(|reason| reason.trim_start_matches("cluster target: ").to_owned())
}
