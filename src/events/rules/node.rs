//! Nodes lost and returned, quorum lost and regained.

use super::{Ground, State};
use crate::events::finding::{Finding, Kind, Span};

pub(super) fn findings(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let Some(status) = &ground.look.status else { return Vec::new() };
    let mut found = Vec::new();
    // After `pvecm expected`, the one call goes on to deny the quorum that there is, and the other does not.
    let by_ha = ground.look.ha.as_ref().is_some_and(|ha| ha.quorate);
    let quorate = status.cluster.as_ref().and_then(|cluster| cluster.quorate).map(|quorate| quorate || by_ha);
    let id = format!("cluster/{}", ground.cluster);
    let lost = ground.condition(state, (Kind::QuorumLost, &id), quorate.map(|quorate| !quorate), || {
        format!("Cluster {} has no quorum", ground.cluster)
    });
    with_return(ground, &mut found, lost, Kind::QuorumRegained, || {
        format!("Cluster {} has quorum again", ground.cluster)
    });
    for member in &status.members {
        let id = format!("node/{}", member.name);
        // It stopped its guests before: somebody reboots it, and has some time to.
        let planned = state.stopping.contains_key(&member.name);
        let is_lost = member.online.map(|online| !online && !planned);
        let lost = ground.condition(state, (Kind::NodeLost, &id), is_lost, || {
            format!("Node {} of cluster {} is offline", member.name, ground.cluster)
        });
        let lost = lost.map(|finding| Finding { node: Some(member.name.clone()), ..finding });
        with_return(ground, &mut found, lost, Kind::NodeReturned, || {
            format!("Node {} of cluster {} is online again", member.name, ground.cluster)
        });
    }
    found
}

/// The end of a condition is also told by itself.
pub(super) fn with_return(
    ground: &Ground<'_>,
    found: &mut Vec<Finding>,
    news: Option<Finding>,
    kind: Kind,
    summary: impl Fn() -> String,
) {
    let Some(news) = news else { return };
    if let Span::Ended { at, .. } = news.span {
        let mut again = ground.finding(kind, &news.id, Span::Occurred { at }, summary());
        again.node.clone_from(&news.node);
        found.push(again);
    }
    found.push(news);
}
