//! What a failed exchange means.

use std::error::Error as StdError;

use serde::Deserialize;

use super::error::{Reason, one_line};
use super::tls::Refused;
use super::transport::CONNECT_TIMEOUT;

/// Since PVE 8.3 the body repeats the reason phrase as `message`; before, only the phrase has it.
pub(super) fn refused(status: u16, phrase: &str, body: &[u8]) -> Reason {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let message = serde_json::from_slice::<Message>(body).map(|body| one_line(&body.message)).unwrap_or_default();
    let words = if message.is_empty() { one_line(phrase) } else { message };
    match status {
        401 => Reason::Unauthorized(words),
        403 => Reason::Forbidden(words),
        500 if words.starts_with("Configuration file ") || words.starts_with("hostname lookup ") => {
            Reason::NotFoundHere(words)
        }
        _ => Reason::Status(status, words),
    }
}

pub(super) fn classify(error: &reqwest::Error) -> Reason {
    if let Some(cause) = tls_cause(error) {
        return Reason::Tls(cause);
    }
    if error.is_connect() {
        let cause = if error.is_timeout() {
            format!("nothing answered within {} s", CONNECT_TIMEOUT.as_secs())
        } else {
            root_cause(error)
        };
        return Reason::Unreachable(cause);
    }
    if chain(error).filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse) {
        return Reason::Malformed(format!("no valid HTTP: {}", root_cause(error)));
    }
    if error.is_body() || error.is_decode() {
        return Reason::Malformed(format!("the body broke off: {}", root_cause(error)));
    }
    Reason::Broken(root_cause(error))
}

/// The request went out on a connection that was closed before a byte of the answer came.
pub(super) fn died_under_us(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout() && tls_cause(error).is_none()
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error: &&(dyn StdError + 'static)| (*error).source())
}

pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let cut_off = |error: &(dyn StdError + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    };
    if chain(error).any(cut_off) {
        return "the other side closed the connection in the middle".to_owned();
    }
    chain(error).last().map_or_else(|| one_line(&error.to_string()), |cause| one_line(&cause.to_string()))
}

fn tls_cause(error: &reqwest::Error) -> Option<String> {
    Some(match find_tls(error)? {
        rustls::Error::Other(other) if other.0.is::<Refused>() => other.0.to_string(),
        rustls::Error::InvalidMessage(_) => {
            "no TLS is spoken there: expected the https port of pveproxy, usually 8006".to_owned()
        }
        other => format!("the TLS handshake failed: {}", one_line(&other.to_string())),
    })
}

fn find_tls<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // An io::Error hides what it wraps from source(), and may be wrapped by another.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => find_tls(wrapped),
        None => find_tls(error.source()?),
    }
}
