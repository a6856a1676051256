//! What `check` finds out about an Alertmanager, and what it asks of one with `--live`. Nothing is posted.

use serde::Deserialize;

use super::notify::{Client, Refusal};
use crate::config::Alertmanager;

/// What is read of the answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version_info: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// Whether an Alertmanager can be told at all; nothing is asked. Fails with a sentence that names the URL.
pub fn can_tell(config: &Alertmanager) -> Result<(), String> {
    Client::new(config).map(|_| ())
}

/// Tries whether an Alertmanager is reachable, speaks API v2 and lets us in. Gives what was found, or fails with what to do:
/// sentences without secrets.
pub async fn try_alertmanager(config: Alertmanager) -> Result<String, String> {
    let answer = Client::new(&config)?.status().await.map_err(|refusal| match refusal {
        Refusal::Something(why) | Refusal::Whole(why) => why,
    })?;
    let status: Status = serde_json::from_str(&answer)
        .map_err(|_| "something answers there, but not with the API v2 of Alertmanager; check its url".to_owned())?;
    let version: String = status.version_info.version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
    Ok(format!("API v2 of Alertmanager {version}"))
}
