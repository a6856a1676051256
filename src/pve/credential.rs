//! What proves to the API who we are.

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use zeroize::Zeroizing;

use crate::config;

/// Put on every request anew, so that one that renews needs no new client.
pub(super) struct Credential {
    token: HeaderValue,
}

impl Credential {
    /// Fails with a sentence for the administrator.
    pub(super) fn new(credential: &config::Credential) -> Result<Self, String> {
        let config::Credential::Token { id, secret } = credential;
        let text = Zeroizing::new(format!("PVEAPIToken={id}={}", secret.expose()));
        let mut token = HeaderValue::from_str(&text)
            .map_err(|_| "token_id or its secret has characters that no HTTP header can carry".to_owned())?;
        token.set_sensitive(true);
        Ok(Self { token })
    }

    /// The request with the credential on it.
    pub(super) fn put_on(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(AUTHORIZATION, self.token.clone())
    }
}
