//! What is answered: always JSON.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::json;

use super::error::{Code, Error};

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body: one JSON value and a line break.
    pub json: Bytes,
    /// Headers beyond those that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// 200 with a value.
    pub fn ok(value: &impl Serialize) -> Self {
        Self::with(StatusCode::OK, value)
    }

    /// Any status with a value; 500 where it cannot be written as JSON.
    pub fn with(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut json) => {
                json.push(b'\n');
                Self { status, json: json.into(), headers: Vec::new() }
            }
            Err(error) => {
                tracing::error!(%error, "an answer of the API cannot be written as JSON");
                Error::new(Code::Internal, "the answer cannot be written as JSON").into()
            }
        }
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        let Error { code, message } = error;
        let text = json!({"error": {"code": code.as_str(), "message": message}}).to_string();
        Self { status: code.status(), json: format!("{text}\n").into(), headers: Vec::new() }
    }
}

impl From<Result<Reply, Error>> for Reply {
    fn from(result: Result<Reply, Error>) -> Self {
        result.unwrap_or_else(Self::from)
    }
}

/// A figure that is told without a fraction, rounded down: programs that count seconds or bytes read whole numbers.
pub fn whole(figure: Option<f64>) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down, and none is below 0")]
    figure.filter(|figure| *figure >= 0.0).map(|figure| figure as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn errors_are_json_whatever_they_say() {
        let reply = Reply::from(Error::bad_request("a \"quote\"\nand \u{7} é"));
        assert_eq!(reply.status, 400);
        let read: serde_json::Value = serde_json::from_slice(&reply.json).unwrap();
        assert_eq!(read, json!({"error": {"code": "bad_request", "message": "a \"quote\"\nand \u{7} é"}}));
        assert!(reply.json.ends_with(b"\n"));
    }

    #[test]
    fn figures_are_whole_numbers() {
        assert_eq!(serde_json::to_string(&whole(Some(857_679.0))).unwrap(), "857679");
        let odd = [Some(7.9), Some(-0.0), Some(1e300), Some(-1.0), Some(f64::NAN), None];
        assert_eq!(odd.map(whole), [Some(7), Some(0), Some(u64::MAX), None, None, None]);
    }

    #[test]
    fn what_is_no_json_is_a_fault_of_ours() {
        assert_eq!(Reply::ok(&[1, 2]).json, "[1,2]\n");
        assert_eq!(Reply::ok(&BTreeMap::from([((1, 2), 3)])).status, 500);
    }
}
