//! Who votes in a cluster, read fresh with the reading credential.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use crate::inventory::ClusterStatus;
use crate::pve::wire::{List, Number, Text};
use crate::pve::{self, Answer, Client, Reason};

/// Nobody waits longer for them.
const PATIENCE: Duration = Duration::from_secs(10);
const NODES: &str = "/cluster/config/nodes";
const DEVICE: &str = "/cluster/config/qdevice";

/// Who votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Votes {
    /// Each node: its name, whether it is online, how many votes it has.
    pub(super) nodes: Vec<(String, bool, u64)>,
    /// The quorum device.
    pub(super) device: Option<Device>,
    /// Whether there is a quorum now.
    pub(super) quorate: Option<bool>,
}

/// A quorum device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) votes: u64,
    /// Whether it gives them.
    pub(super) connected: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    node: Text<'a>,
    quorum_votes: Number,
}

impl Votes {
    /// How many votes a quorum needs.
    pub(super) fn needed(&self) -> u64 {
        let all: u64 = self.nodes.iter().map(|(_, _, votes)| votes).sum();
        (all + self.device.map_or(0, |device| device.votes)) / 2 + 1
    }

    /// How many votes there are without these nodes.
    pub(super) fn left(&self, without: &[&str]) -> u64 {
        let stays = self.nodes.iter().filter(|(name, online, _)| *online && !without.contains(&name.as_str()));
        let nodes: u64 = stays.map(|(_, _, votes)| votes).sum();
        nodes + self.device.filter(|device| device.connected).map_or(0, |device| device.votes)
    }
}

/// Asks who votes. Fails with what is in the way.
pub(super) async fn votes(client: &Client, status: &ClusterStatus) -> Result<Votes, String> {
    let told = get(client, NODES).await.map_err(|error| error.to_string())?;
    let listed = told.and_then(|answer| weights(&answer).ok()).unwrap_or_default();
    let weight = |name: &str| listed.iter().find(|(known, _)| known == name).map_or(1, |(_, votes)| *votes);
    let nodes: Vec<(String, bool, u64)> = status
        .members
        .iter()
        .map(|member| (member.name.clone(), member.online == Some(true), weight(&member.name)))
        .collect();
    let device = get(client, DEVICE).await.map_err(|error| error.to_string())?;
    let device = match &device {
        None => None,
        Some(answer) => device_of(answer, nodes.len()).map_err(|error| error.to_string())?,
    };
    Ok(Votes { nodes, device, quorate: status.cluster.as_ref().and_then(|cluster| cluster.quorate) })
}

/// `None`: this Proxmox VE does not know the call, or there is no such thing.
async fn get(client: &Client, path: &'static str) -> Result<Option<Answer>, pve::Error> {
    let answer = timeout(PATIENCE, client.get(path)).await.unwrap_or_else(|_| Err(client.late(path, PATIENCE)));
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match &error.reason {
            Reason::Status(501, _) => Ok(None),
            Reason::Status(_, words) | Reason::NotFoundHere(words)
                if words.contains("not configured") || words.contains("not in a cluster") =>
            {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

fn weights(answer: &Answer) -> Result<Vec<(String, u64)>, pve::Error> {
    let List { items, .. } = answer.data::<List<Listed<'_>>>()?;
    let of = |entry: &Listed<'_>| {
        let name = entry.name.filled().or(entry.node.filled())?;
        Some((name.to_owned(), entry.quorum_votes.whole()?.min(1000)))
    };
    Ok(items.iter().filter_map(of).collect())
}

/// A tie is broken by one vote; the last of several nodes needs as many as all others have.
fn device_of(answer: &Answer, nodes: usize) -> Result<Option<Device>, pve::Error> {
    let Some(device) = pve::qdevice(answer)? else { return Ok(None) };
    let algorithm = device.algorithm.filled().unwrap_or_default().to_ascii_lowercase();
    let is_last = algorithm.contains("last man") || algorithm == "lms";
    let is_split = algorithm.contains("fifty") || algorithm.contains("split");
    let votes = if is_last { u64::try_from(nodes).unwrap_or(1).saturating_sub(1).max(1) } else { 1 };
    let connected = device.state.filled() == Some("Connected") && (is_last || is_split);
    Ok(Some(Device { votes, connected }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::testing::recorded;

    #[test]
    fn recorded_votes_are_read() {
        let nodes = weights(&recorded("pve-9.2-cluster/GET_cluster__config__nodes.json")).unwrap();
        assert_eq!(nodes, [("pve-lab".to_owned(), 1), ("pve-lab2".to_owned(), 1)]);
        let none = recorded("pve-9.2-cluster/GET_cluster__config__qdevice.json");
        assert_eq!(device_of(&none, 2).unwrap(), None);
        let split = recorded("hand-made/GET_cluster__config__qdevice.json");
        assert_eq!(device_of(&split, 2).unwrap(), Some(Device { votes: 1, connected: true }));
    }

    #[test]
    fn a_device_that_is_not_understood_gives_no_votes() {
        for (told, votes, connected) in [
            (r#"{"Algorithm":"Last Man Standing","State":"Connected"}"#, 3, true),
            (r#"{"Algorithm":"LMS","State":"Disconnected"}"#, 3, false),
            (r#"{"Algorithm":"Dancing","State":"Connected"}"#, 1, false),
            (r#"{"Algorithm":"Fifty-Fifty split"}"#, 1, false),
        ] {
            let answer = Answer::of(&format!(r#"{{"data":{told}}}"#));
            assert_eq!(device_of(&answer, 4).unwrap(), Some(Device { votes, connected }), "{told}");
        }
    }
}
