//! What proves to the API who we are.

use std::borrow::Cow;
use std::sync::Arc;

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderValue};
use zeroize::Zeroizing;

use super::login::Login;
use super::minted::MintedToken;
use super::ticket::Echoes;
use crate::config;

/// Put on every request anew, so that one that renews needs no new client.
#[derive(Debug)]
pub(super) enum Credential {
    /// An API token.
    Token(Token),
    /// A user, with the ticket of the last login.
    User(Box<Login>),
    /// An API token that comes later.
    Minted(Arc<MintedToken>),
}

pub(super) struct Token {
    header: HeaderValue,
    echoes: Echoes,
}

impl Credential {
    /// Fails with a sentence for the administrator.
    pub(super) fn new(credential: &config::Credential) -> Result<Self, String> {
        match credential {
            config::Credential::Token { id, secret } => Token::new(id, secret).map(Self::Token),
            config::Credential::User { name, password } => Ok(Self::User(Box::new(Login::new(name, password)))),
            config::Credential::Minted(mint) => Ok(Self::Minted(Arc::new(MintedToken::new(&mint.id)))),
        }
    }

    /// The login, where there is one.
    pub(super) fn login(&self) -> Option<&Login> {
        match self {
            Self::Token(_) | Self::Minted(_) => None,
            Self::User(login) => Some(login),
        }
    }

    /// The token that somebody else gets, where it is one.
    pub(super) fn minted(&self) -> Option<&Arc<MintedToken>> {
        match self {
            Self::Minted(token) => Some(token),
            Self::Token(_) | Self::User(_) => None,
        }
    }

    /// The request with the credential on it; `None` where nobody is logged in.
    pub(super) fn put_on(&self, request: RequestBuilder) -> Option<RequestBuilder> {
        Some(match self {
            Self::Token(token) => request.header(AUTHORIZATION, token.header.clone()),
            Self::User(login) => request.header(COOKIE, login.cookie()?),
            Self::Minted(token) => request.header(AUTHORIZATION, token.header()?),
        })
    }

    /// The same of a request that changes something: who has a ticket must also prove that no web page made it.
    pub(super) fn put_on_post(&self, request: RequestBuilder) -> Option<RequestBuilder> {
        let request = self.put_on(request)?;
        let csrf = self.login().and_then(Login::csrf);
        Some(csrf.into_iter().fold(request, |request, csrf| request.header("CSRFPreventionToken", csrf)))
    }

    /// A text of the other side, which may repeat what we sent it.
    pub(super) fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self {
            Self::Token(token) => token.echoes.hide(text.into()),
            Self::User(login) => login.hide(text.into()),
            Self::Minted(token) => token.hide(text),
        }
    }
}

impl Token {
    pub(super) fn new(id: &str, secret: &config::Secret) -> Result<Self, String> {
        let text = Zeroizing::new(format!("PVEAPIToken={id}={}", secret.expose()));
        let mut header = HeaderValue::from_str(&text)
            .map_err(|_| "token_id or its secret has characters that no HTTP header can carry".to_owned())?;
        header.set_sensitive(true);
        Ok(Self { header, echoes: Echoes::new(secret.expose()) })
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// See [`Echoes::hide`].
    pub(super) fn hide<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        self.echoes.hide(text)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token([secret])")
    }
}

#[cfg(test)]
impl Credential {
    pub(super) fn for_tests() -> Self {
        Self::Token(Token { header: HeaderValue::from_static("x"), echoes: Echoes::new("5ecret") })
    }
}
