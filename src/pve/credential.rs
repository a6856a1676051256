//! What proves to the API who we are.

use std::borrow::Cow;

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use zeroize::Zeroizing;

use crate::config;

/// Put on every request anew, so that one that renews needs no new client.
#[derive(Debug)]
pub(super) struct Credential {
    token: HeaderValue,
    secret: config::Secret,
}

impl Credential {
    /// Fails with a sentence for the administrator.
    pub(super) fn new(credential: &config::Credential) -> Result<Self, String> {
        let config::Credential::Token { id, secret } = credential;
        let text = Zeroizing::new(format!("PVEAPIToken={id}={}", secret.expose()));
        let mut token = HeaderValue::from_str(&text)
            .map_err(|_| "token_id or its secret has characters that no HTTP header can carry".to_owned())?;
        token.set_sensitive(true);
        Ok(Self { token, secret: secret.clone() })
    }

    /// The request with the credential on it.
    pub(super) fn put_on(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(AUTHORIZATION, self.token.clone())
    }

    /// A text of the other side, which may repeat what we sent it.
    pub(super) fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let secret = self.secret.expose();
        if text.contains(secret) { text.replace(secret, "[secret]").into() } else { text.into() }
    }
}

#[cfg(test)]
impl Credential {
    pub(super) fn for_tests() -> Self {
        Self { token: HeaderValue::from_static("x"), secret: config::Secret::new("5ecret".to_owned()) }
    }
}
