//! What a handler gets: everything is read, and who asks is known.

use std::net::IpAddr;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::ids::{GuestSelection, Scope};

/// A question that may be answered.
#[derive(Debug, Clone)]
pub struct Request {
    /// What stands in the path for the names of the pattern, decoded, none of it empty.
    pub path: Vec<(&'static str, String)>,
    /// Names and values behind the question mark, decoded, in order. The names are those of the route's doc.
    pub query: Vec<(String, String)>,
    /// The body of a POST, at most 64 KiB; empty otherwise.
    pub body: Bytes,
    /// `Idempotency-Key` of a POST whose doc has that parameter: 1 to 128 visible ASCII characters.
    pub key: Option<String>,
    /// Who asks.
    pub caller: Caller,
    /// Names this request in the log and in the header `X-Request-Id`.
    pub id: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token.
    pub name: String,
    /// What the token allows.
    pub scopes: Vec<Scope>,
    /// The guests that it may switch, if it may switch any; absent: all of them.
    pub guests: Option<GuestSelection>,
    /// The address it came from, if that is known.
    pub from: Option<IpAddr>,
}

impl Request {
    /// What stands in the path for a name of the pattern; empty where the pattern has no such name.
    pub fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// All values of a parameter, in order.
    pub fn query_all(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The body, an object that is read strictly; an empty one is `{}`. `T` should refuse unknown fields.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        // A list would be taken for the fields in their order.
        if first.is_some_and(|byte| *byte != b'{') {
            return Err(Error::bad_request(
                "the body is not as expected: expected an object such as {}, found another value",
            ));
        }
        let body = if first.is_none() { b"{}" } else { self.body.as_ref() };
        serde_json::from_slice(body)
            .map_err(|error| Error::bad_request(format!("the body is not as expected: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default)]
        dry_run: bool,
    }

    fn request(body: &'static str) -> Request {
        let caller = Caller { name: "ops".to_owned(), scopes: vec![Scope::Read], guests: None, from: None };
        let path = vec![("cluster", "home".to_owned())];
        let query = [("tag", "a"), ("x", "1"), ("tag", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Request { path, query: query.into(), body: body.into(), key: None, caller, id: "1".to_owned() }
    }

    #[test]
    fn a_body_is_read_strictly() {
        for (body, dry_run) in [("", false), (" \n", false), ("{}", false), ("{\"dry_run\":true}", true)] {
            assert_eq!(request(body).json::<Body>(), Ok(Body { dry_run }), "{body}");
        }
        for body in ["[]", "[true]", "null", "true", "{\"dryrun\":true}", "{\"dry_run\":1}", "[true", "{} {}", "\u{0}"]
        {
            let error = request(body).json::<Body>().unwrap_err();
            assert_eq!(error.code.as_str(), "bad_request", "{body}");
        }
        assert!(request("{\"dryrun\":true}").json::<Body>().unwrap_err().message.contains("`dry_run`"));
    }

    #[test]
    fn parameters_are_found_by_name() {
        let request = request("");
        assert_eq!((request.path("cluster"), request.path("vmid")), ("home", ""));
        assert_eq!((request.query_all("tag"), request.query_all("y")), (vec!["a", "b"], Vec::new()));
    }
}
