//! `GET /access/users?full=1`: users with their API tokens; all of them with `Sys.Audit` on `/access/groups`, else only
//! the caller's own. No secret is among it.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Number, Text};

/// A user as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct User<'a> {
    /// With its realm, such as `monitor@pve`.
    #[serde(borrow)]
    pub userid: Text<'a>,
    /// Whether it may log in.
    pub enable: Flag,
    /// When it, and with it its tokens, stops to be of use, in seconds since 1970; 0 for never.
    pub expire: Number,
    /// Absent from a PVE that does not list them.
    #[serde(borrow)]
    pub tokens: Option<List<Token<'a>>>,
}

/// An API token of a user.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Token<'a> {
    /// Without its user, such as `prometheus`.
    #[serde(borrow)]
    pub tokenid: Text<'a>,
    /// When it stops to be of use, in seconds since 1970; 0 for never.
    pub expire: Number,
}

/// The users. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn users(answer: &Answer) -> Result<Vec<User<'_>>, Error> {
    let list: List<User<'_>> = answer.data()?;
    shaped(answer, list, "a userid", |user| user.userid.filled().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_recorded_list_has_no_tokens_and_the_whole_one_does() {
        let counts = |file: &str| -> Vec<Option<usize>> {
            let answer = recorded(file);
            let users = users(&answer).expect("users");
            users.iter().map(|user| user.tokens.as_ref().map(|tokens| tokens.items.len())).collect()
        };
        assert_eq!(counts("pve-9.2-cluster/GET_access__users.json"), [None; 4]);
        assert_eq!(counts("hand-made/GET_access__users__full=1.json"), [Some(2), Some(2), Some(1), Some(0)]);
    }

    #[test]
    fn what_is_no_list_of_users_is_malformed() {
        for body in [r#"{"data":[{"expire":0}]}"#, r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"data":[1]}"#] {
            assert!(users(&Answer::of(body)).is_err(), "{body}");
        }
        assert!(users(&Answer::of(r#"{"data":[]}"#)).is_ok_and(|users| users.is_empty()));
    }

    proptest! {
        #[test]
        fn no_answer_panics(rows in any_rows(&["userid", "enable", "expire", "tokens"]), json in any_json()) {
            for data in [rows, json] {
                let _ = users(&Answer::of(&serde_json::json!({ "data": data }).to_string()));
            }
        }
    }
}
