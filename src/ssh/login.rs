//! Proving to a host who we are, after it has proved who it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::MethodSet;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::connection::Guard;
use super::error::one_line;
use crate::config::{SshKey, SshKeys};

/// So many keys of an agent are offered: servers end the connection after six.
const MOST_KEYS: usize = 5;
/// An agent on this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Logs in. The error says what was refused and what to do.
pub(super) async fn login(handle: &mut Handle<Guard>, user: &str, keys: &SshKeys) -> Result<(), String> {
    match keys {
        SshKeys::File(key) => with_file(handle, user, key).await,
        SshKeys::Agent(socket) => with_agent(handle, user, socket).await,
    }
}

async fn with_file(handle: &mut Handle<Guard>, user: &str, key: &SshKey) -> Result<(), String> {
    let hash = hash(handle, &key.expose().algorithm()).await?;
    let signing = PrivateKeyWithHashAlg::new(Arc::clone(key.expose()), hash);
    let result = handle.authenticate_publickey(user, signing).await.map_err(|error| one_line(&error.to_string()))?;
    let shown = key.fingerprint().map(|fingerprint| format!(" ({fingerprint})")).unwrap_or_default();
    let what = format!("the key in {}{shown}", key.path().display());
    refusal(&result, user, &what).map_or(Ok(()), Err)
}

async fn with_agent(handle: &mut Handle<Guard>, user: &str, socket: &Path) -> Result<(), String> {
    let shown = socket.display();
    let (mut agent, keys) = timeout(PATIENCE, keys(handle, socket)).await.map_err(|_| {
        format!("the ssh-agent at {shown} did not answer within {} s; start it again", PATIENCE.as_secs())
    })??;
    let mut last = format!("expected a key in the ssh-agent at {shown}, found none; add one with ssh-add");
    for key in keys {
        let hash = hash(handle, &key.algorithm()).await?;
        let what = format!("the ssh-agent's key {}", key.fingerprint(HashAlg::Sha256));
        last = match handle.authenticate_publickey_with(user, key, hash, &mut agent).await {
            Ok(result) => match refusal(&result, user, &what) {
                None => return Ok(()),
                Some(refusal) => refusal,
            },
            Err(error) => format!("{what} did not sign: {}", one_line(&error.to_string())),
        };
    }
    Err(last)
}

/// An agent, and the first of its keys.
async fn keys(handle: &Handle<Guard>, socket: &Path) -> Result<(AgentClient<UnixStream>, Vec<PublicKey>), String> {
    let shown = socket.display();
    let mut agent = AgentClient::connect_uds(socket).await.map_err(|error| {
        format!(
            "expected an ssh-agent at {shown}, found: {}; start it or name a key_file",
            one_line(&error.to_string())
        )
    })?;
    // Keys that are bound to certain hosts are shown only after this; agents that do not know it are no worse.
    if let Some(binding) = handle.agent_session_binding() {
        let _ = agent.bind_session(binding, false).await;
    }
    let identities = agent
        .request_identities()
        .await
        .map_err(|error| format!("the ssh-agent at {shown} did not list its keys: {}", one_line(&error.to_string())))?;
    let keys = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    });
    let keys = keys.take(MOST_KEYS).collect();
    Ok((agent, keys))
}

/// How an RSA key signs; SHA-1 is not spoken.
async fn hash(handle: &Handle<Guard>, algorithm: &Algorithm) -> Result<Option<HashAlg>, String> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(None);
    }
    match handle.best_supported_rsa_hash().await {
        Ok(Some(Some(hash))) => Ok(Some(hash)),
        Ok(None) => Ok(Some(HashAlg::Sha512)),
        Ok(Some(None)) => {
            Err("the host takes RSA keys only with SHA-1, which is broken; use an Ed25519 key or update its SSH server"
                .to_owned())
        }
        Err(error) => Err(one_line(&error.to_string())),
    }
}

/// What a result other than success means.
fn refusal(result: &AuthResult, user: &str, what: &str) -> Option<String> {
    let AuthResult::Failure { remaining_methods, partial_success } = result else { return None };
    let others = names(remaining_methods);
    Some(if *partial_success {
        format!("{what} is right for user {user}, but the host asks for {others} besides; let the key alone do")
    } else {
        format!(
            "the host refused {what} for user {user}; add its public half to authorized_keys of that user, and look at \
             the log of its sshd (it would take {others})"
        )
    })
}

fn names(methods: &MethodSet) -> String {
    let names: Vec<&str> = methods.iter().map(<&str>::from).collect();
    if names.is_empty() { "nothing else".to_owned() } else { names.join(", ") }
}
