//! The one authenticator.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::config::ApiToken;
use crate::ids::{TokenHash, is_bearer};

/// Parameters in which people put tokens.
const IN_QUERY: [&str; 5] = ["token", "access_token", "bearer", "api_key", "apikey"];

/// Why a caller is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    /// Nobody could be known.
    NoTokens,
    /// Nothing was shown.
    Missing,
    /// Something was shown where everybody on the way keeps it.
    InQuery,
    /// Something was shown that is no token.
    NoBearer,
    /// A token that is not known.
    Unknown,
}

impl Stranger {
    /// What it is told.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::NoTokens => {
                "there is no token that would be valid: pve-sentinel hash-token prints one, and the line for [control] in the \
                 configuration"
            }
            Self::Missing => "a token is needed in the header, as in Authorization: Bearer TOKEN",
            Self::InQuery => {
                "a token counts in the header only, as in Authorization: Bearer TOKEN; what stands in an address is kept by \
                 logs and proxies, so replace this one"
            }
            Self::NoBearer => "expected one header Authorization: Bearer TOKEN, found another one",
            Self::Unknown => "the token is not known",
        }
    }

    /// What the log is told.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::NoTokens => "no tokens are configured",
            Self::Missing => "no token",
            Self::InQuery => "a token in the query",
            Self::NoBearer => "no bearer token",
            Self::Unknown => "an unknown token",
        }
    }

    /// Whether this may be somebody who guesses.
    pub(super) fn is_guess(self) -> bool {
        matches!(self, Self::InQuery | Self::NoBearer | Self::Unknown)
    }
}

/// Whose token the headers show. A query is looked at for nothing but a better message.
pub(super) fn known<'a>(
    tokens: &'a [ApiToken],
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<&'a ApiToken, Stranger> {
    if tokens.is_empty() {
        return Err(Stranger::NoTokens);
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(if query.is_some_and(holds) { Stranger::InQuery } else { Stranger::Missing });
    };
    let shown = value.to_str().ok().filter(|_| values.next().is_none()).and_then(|text| text.split_once(' '));
    let bearer = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let hash = TokenHash::of(bearer.filter(|token| is_bearer(token)).ok_or(Stranger::NoBearer)?);
    // All are compared, wherever the right one stands.
    tokens
        .iter()
        .fold(None, |found, token| if hash.is(&token.hash) { Some(token) } else { found })
        .ok_or(Stranger::Unknown)
}

fn holds(query: &str) -> bool {
    let names = query.split('&').map(|piece| piece.split('=').next().unwrap_or_default());
    crate::ids::holds_token(query) || names.into_iter().any(|name| IN_QUERY.contains(&name.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Scope;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn tokens() -> Vec<ApiToken> {
        let token = |name: &str, text| ApiToken {
            name: name.to_owned(),
            hash: TokenHash::of(text),
            scopes: vec![Scope::Read],
            guests: None,
        };
        vec![token("one", "first-token"), token("two", "second-token"), token("three", "third-token")]
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn the_right_token_is_its_name() {
        let tokens = tokens();
        let ask = |values: &[&str], query| {
            let found = known(&tokens, &headers(values), query);
            found.map(|token| token.name.as_str())
        };
        for (token, name) in [("first", "one"), ("second", "two"), ("third", "three")] {
            for scheme in ["Bearer", "bearer", "BEARER", "Bearer  "] {
                assert_eq!(ask(&[&format!("{scheme} {token}-token")], None), Ok(name));
            }
        }
        assert_eq!(ask(&["Bearer first-token"], Some("token=x")), Ok("one"), "the query is not looked at");
        assert_eq!(ask(&[], None), Err(Stranger::Missing));
        assert_eq!(ask(&[], Some("cluster=home")), Err(Stranger::Missing));
        for query in ["token=first-token", "a=b&Access_Token=first-token", "x=pvs_12345678", "bearer"] {
            assert_eq!(ask(&[], Some(query)), Err(Stranger::InQuery), "{query}");
        }
        for value in ["Bearer x", "Bearer first-toke", "Bearer first-token1", "Bearer FIRST-TOKEN"] {
            assert_eq!(ask(&[value], None), Err(Stranger::Unknown), "{value}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Basic first-token",
            "first-token",
            "Bearer first-token x",
            "Bearer é",
            "Bearer\tx",
        ] {
            assert_eq!(ask(&[value], None), Err(Stranger::NoBearer), "{value}");
        }
        assert_eq!(ask(&["Bearer first-token"; 2], None), Err(Stranger::NoBearer), "two headers");
        assert_eq!(known(&[], &headers(&["Bearer first-token"]), None), Err(Stranger::NoTokens));
    }

    proptest! {
        #[test]
        fn nothing_else_is_a_token(value: Vec<u8>, close in "[Bb]earer ?[a-z-]{0,14}", query in ".{0,30}") {
            for value in [value, close.into_bytes()] {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    prop_assert!(known(&tokens(), &HeaderMap::from_iter([(AUTHORIZATION, value)]), Some(&query)).is_err());
                }
            }
        }
    }
}
