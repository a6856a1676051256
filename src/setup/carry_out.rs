//! The steps, one command each.

use super::account::Account;
use super::answers::Added;
use super::bootstrap::Step;
use super::error::Error;
use super::node::Node;
use super::quote::Call;
use super::token_file::{TokenFile, is_uuid};
use crate::config::Secret;

/// Does one step. What was done before stays where it fails; to try again does the rest. A line about what was done, if
/// there is one.
pub async fn carry_out(step: Step, node: &Node, account: &Account, file: &TokenFile) -> Result<Option<String>, Error> {
    match (step, step.call(account)) {
        (Step::AddToken, Some(call)) => add_token(&call, node, account, file).await,
        (_, Some(call)) => node.run(&call).await.map(|_| None),
        (_, None) => file.remove().map(|()| None),
    }
}

/// Makes the token. The file comes first: a secret is shown only once, and must have somewhere to go.
async fn add_token(call: &Call, node: &Node, account: &Account, file: &TokenFile) -> Result<Option<String>, Error> {
    let new = file.create()?;
    let secret = match node.run(call).await {
        Ok(answer) => secret(call, node, account, &answer),
        // It said that it made none.
        Err(error @ Error::Command { .. }) => return Err(error),
        Err(error) => Err(error),
    };
    match secret.and_then(|secret| new.write(&secret)) {
        Ok(note) => Ok(note),
        Err(error) => Err(take_back(error, node, account).await),
    }
}

/// Reads the secret of the new token.
fn secret(call: &Call, node: &Node, account: &Account, answer: &[u8]) -> Result<Secret, Error> {
    let added: Added = node.read(call, answer)?;
    let secret = Secret::new(added.value);
    if added.id != account.to_string() || !is_uuid(secret.expose()) {
        let wrong = format!("expected the id {account} and a secret, found something else (not shown)");
        return Err(node.malformed(call, wrong));
    }
    Ok(secret)
}

/// Removes a token whose secret nobody has.
async fn take_back(error: Error, node: &Node, account: &Account) -> Error {
    let call = Step::RemoveToken.call(account);
    let removed = match &call {
        Some(call) => node.run(call).await.is_ok(),
        None => false,
    };
    Error::InTheWay(if removed {
        format!("{error}; the token {account} was removed again, since nobody has its secret")
    } else {
        let (user, token) = (account.user(), account.token());
        format!(
            "{error}; nobody has the secret of the token {account} if it was made; on the node: pveum user token remove {user} {token}"
        )
    })
}
