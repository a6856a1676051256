//! A token that somebody else gets for us, and may replace while calls are made.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderValue;
use tokio::sync::Notify;

use super::credential::Token;
use crate::config::Secret;

/// Whose secret comes and goes. It is in memory only.
pub struct MintedToken {
    id: String,
    state: Mutex<State>,
    /// Told when the token is not accepted any more.
    unwanted: Notify,
}

struct State {
    token: Option<Arc<Token>>,
    /// No longer used; but an answer may still repeat it.
    former: Option<Arc<Token>>,
    /// How many tokens there were.
    given: u64,
    /// Why there is no token.
    reason: String,
}

impl MintedToken {
    pub(super) fn new(id: &str) -> Self {
        let reason = "none was asked for".to_owned();
        let state = State { token: None, former: None, given: 0, reason };
        Self { id: id.to_owned(), state: Mutex::new(state), unwanted: Notify::new() }
    }

    /// Uses this secret from now on. Fails with a sentence for the administrator, and changes nothing then.
    pub fn put(&self, secret: &Secret) -> Result<(), String> {
        let token = Arc::new(Token::new(&self.id, secret)?);
        let mut state = self.state();
        if let Some(former) = state.token.replace(token) {
            state.former = Some(former);
        }
        state.given += 1;
        Ok(())
    }

    /// Tells calls why there is no token yet; one that is there is used further.
    pub fn lack(&self, reason: String) {
        self.state().reason = reason;
    }

    /// Whether there is a token to ask with.
    pub fn is_there(&self) -> bool {
        self.state().token.is_some()
    }

    /// Ends as soon as a token that was put is not accepted.
    pub async fn rejected(&self) {
        self.unwanted.notified().await;
    }

    /// The number of the token to ask with, or why there is none.
    pub(super) fn number(&self) -> Result<u64, String> {
        let state = self.state();
        match &state.token {
            Some(_) => Ok(state.given),
            None => Err(format!("no token yet: {}", state.reason)),
        }
    }

    /// The token of this number was not accepted.
    pub(super) fn reject(&self, number: u64) {
        // Of one that was replaced meanwhile, nothing is to be done.
        if self.state().given == number {
            self.unwanted.notify_one();
        }
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.state().token.as_ref().map(|token| token.header())
    }

    pub(super) fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let state = self.state();
        state.token.iter().chain(&state.former).fold(text.into(), |text, token| token.hide(text))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl MintedToken {
    pub(crate) fn for_tests() -> Self {
        Self::new("a@pve!mint-b")
    }

    /// As after a 401.
    pub(crate) fn refuse_for_tests(&self) {
        let number = self.state().given;
        self.reject(number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_token_comes_and_is_replaced() {
        let token = MintedToken::new("a@pve!mint-b");
        assert!(token.header().is_none());
        token.lack("ssh is closed".to_owned());
        assert_eq!(token.number(), Err("no token yet: ssh is closed".to_owned()));
        token.put(&secret("first")).unwrap();
        assert_eq!(token.header().unwrap(), "PVEAPIToken=a@pve!mint-b=first");
        token.put(&secret("second")).unwrap();
        assert_eq!(
            (token.header().unwrap().to_str().unwrap(), token.number()),
            ("PVEAPIToken=a@pve!mint-b=second", Ok(2))
        );
        // A failure later takes nothing away.
        token.lack("ssh is closed".to_owned());
        assert_eq!(token.number(), Ok(2));
        assert!(token.put(&secret("a\nb")).is_err());
        assert_eq!(token.hide("first, second, third"), "[secret], [secret], third");
        assert!(!format!("{token:?}").contains("second"));
    }

    #[test]
    fn only_the_token_in_use_is_missed() {
        let token = MintedToken::new("a@pve!mint-b");
        token.put(&secret("first")).unwrap();
        token.put(&secret("second")).unwrap();
        token.reject(1);
        assert!(token.rejected().now_or_never().is_none());
        token.reject(2);
        token.reject(2);
        assert!(token.rejected().now_or_never().is_some());
        assert!(token.rejected().now_or_never().is_none());
    }
}
