//! In which order guests are switched: all at once, or as their `startup` says.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::super::action::Action;
use super::super::batches::{Chosen, Stage};
use super::select::Pick;
use super::spec::Spec;
use crate::api::{Code, Error};
use crate::pve::{self, Path, Startup};

/// Nobody waits longer for all their settings.
const PATIENCE: Duration = Duration::from_secs(40);
/// So many are read at once; the gate of each node lets fewer in.
const AT_ONCE: usize = 8;
/// All pauses together are no longer, in seconds.
const LONGEST_PAUSES: u64 = 600;
/// A guest may take no longer to shut down, in seconds.
const LONGEST_DOWN: u64 = 3600;

/// The stages of a batch. With `startup`, the reading credential reads the settings of each guest.
pub(super) async fn stages(picks: &[Pick], spec: &Spec) -> Result<Vec<Stage>, Error> {
    let chosen = |pick: &Pick| Chosen { cluster: pick.acting.name.clone(), vmid: pick.vmid, timeout: None };
    if !spec.by_startup {
        let guests: Vec<Chosen> = picks.iter().map(chosen).collect();
        return Ok(if guests.is_empty() { Vec::new() } else { vec![Stage { guests, pause: 0 }] });
    }
    let late = |_| Error::new(Code::PveUnreachable, "the startup settings of the guests could not be read in time");
    let reading: Vec<_> = picks.iter().map(startup).collect();
    let reading = stream::iter(reading).buffered(AT_ONCE).collect::<Vec<_>>();
    let read = timeout(PATIENCE, reading).await.map_err(late)?;
    let startups = read.into_iter().collect::<Result<Vec<_>, _>>()?;
    let all = picks.iter().map(chosen).zip(startups).collect();
    Ok(grouped(all, spec.wish.action, spec.wish.timeout.is_none()))
}

async fn startup(pick: &Pick) -> Result<Startup, Error> {
    let client = pick.acting.inventory.client();
    let vmid = pick.vmid.to_string();
    let names = [("node", pick.node.as_str()), ("kind", pick.kind), ("vmid", &vmid)];
    let path = Path::new("/nodes/{node}/{kind}/{vmid}/config", &names);
    let permit = client.gate().enter(&pick.node, false).await;
    let answer = client.get_node(&path, &permit).await;
    let read = answer.and_then(|answer| Ok(pve::guest_config(&answer)?.startup()));
    read.map_err(|error| {
        let (cluster, vmid) = (&pick.acting.name, pick.vmid);
        Error::new(Code::PveUnreachable, format!("the startup setting of {cluster}/{vmid} could not be read: {error}"))
    })
}

/// Those of the same order are one stage. What switches off goes the other way round, and lasts no longer than `down` says
/// where its caller says nothing; after what switches on, the longest `up` of the stage is waited (pure).
fn grouped(all: Vec<(Chosen, Startup)>, action: Action, takes_down: bool) -> Vec<Stage> {
    let is_up = matches!(action, Action::Start | Action::Resume | Action::Reboot | Action::Reset);
    let waits = matches!(action, Action::Start | Action::Resume);
    let mut groups: BTreeMap<u64, Stage> = BTreeMap::new();
    for (mut chosen, startup) in all {
        if action == Action::Shutdown && takes_down {
            chosen.timeout = startup.down.filter(|down| *down > 0).map(|down| down.min(LONGEST_DOWN));
        }
        let stage =
            groups.entry(startup.order.unwrap_or(u64::MAX)).or_insert_with(|| Stage { guests: Vec::new(), pause: 0 });
        stage.guests.push(chosen);
        if waits {
            stage.pause = stage.pause.max(startup.up.unwrap_or(0));
        }
    }
    let mut stages: Vec<Stage> = groups.into_values().collect();
    if !is_up {
        stages.reverse();
    }
    if let Some(last) = stages.last_mut() {
        last.pause = 0;
    }
    let mut left = LONGEST_PAUSES;
    for stage in &mut stages {
        stage.pause = stage.pause.min(left);
        left = left.saturating_sub(stage.pause);
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers with timeouts, and the pause after them.
    type Told = (Vec<(u64, Option<u64>)>, u64);

    fn told(action: Action, takes_down: bool) -> Vec<Told> {
        let guest = |vmid, order, up, down| {
            (Chosen { cluster: "home".to_owned(), vmid, timeout: None }, Startup { order, up, down })
        };
        let all = vec![
            guest(100, None, Some(900), None),
            guest(101, Some(2), None, Some(30)),
            guest(102, Some(1), Some(400), Some(0)),
            guest(103, Some(2), Some(500), Some(99_999)),
            guest(104, Some(1), Some(5), None),
        ];
        let stages = grouped(all, action, takes_down);
        let of =
            |stage: Stage| (stage.guests.into_iter().map(|guest| (guest.vmid, guest.timeout)).collect(), stage.pause);
        stages.into_iter().map(of).collect()
    }

    #[test]
    fn who_is_first_up_is_last_down_and_pauses_end() {
        let up = [(vec![(102, None), (104, None)], 400), (vec![(101, None), (103, None)], 200), (vec![(100, None)], 0)];
        assert_eq!(told(Action::Start, true), up);
        let still: Vec<_> = up.iter().map(|(guests, _)| (guests.clone(), 0)).collect();
        assert_eq!(told(Action::Reboot, true), still);
        let reversed: Vec<_> = still.into_iter().rev().collect();
        assert_eq!(told(Action::Stop, true), reversed);
        assert_eq!(told(Action::Shutdown, false), reversed);
        let down = told(Action::Shutdown, true);
        assert_eq!(down[1].0, [(101, Some(30)), (103, Some(3600))]);
        assert_eq!(down[2].0, [(102, None), (104, None)]);
        assert!(grouped(Vec::new(), Action::Start, true).is_empty());
    }
}
