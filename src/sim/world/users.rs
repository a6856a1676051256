//! Who may log in, with which tokens, and until when.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json;
use super::super::routes::Call;
use super::cluster::{Cluster, second};

const DAY: u64 = 86_400;
/// The token of those who build is renewed every so often, for so many days.
const RENEWED_EVERY: u64 = 3600;
const RENEWED_FOR: u64 = 30;

impl Cluster {
    /// The body of `GET /access/users`, `full` or not: who lacks the right to see all sees itself.
    pub(in super::super) fn users(&self, call: &Call<'_>, full: bool) -> String {
        let own = call.caller.split('!').next().unwrap_or_default();
        let mut users = self.all_users(call.now);
        if !users.iter().any(|user| user["userid"] == own) {
            users.push(user(own, "", Vec::new()));
        }
        users.retain(|user| call.rights.holds("Sys.Audit") || user["userid"] == own);
        for fields in users.iter_mut().filter(|_| !full).filter_map(Value::as_object_mut) {
            fields.remove("tokens");
            fields.remove("groups");
        }
        json::reordered(&json!({ "data": users }), &mut call.order())
    }

    fn all_users(&self, now: Duration) -> Vec<Value> {
        let now = self.unix(second(now));
        let renewed = now - now % RENEWED_EVERY + RENEWED_FOR * DAY;
        vec![
            user("root@pam", "", Vec::new()),
            user("monitor@pve", "the exporter", vec![token("prometheus", 0)]),
            user(
                "builder@pve",
                "builds images",
                vec![token("ci", renewed), token("old", self.unix(0).saturating_sub(90 * DAY))],
            ),
        ]
    }
}

fn user(userid: &str, comment: &str, tokens: Vec<Value>) -> Value {
    let realm = userid.rsplit('@').next().unwrap_or_default();
    let mut user =
        json!({ "userid": userid, "enable": 1, "expire": 0, "realm-type": realm, "groups": "", "tokens": tokens });
    if !comment.is_empty() {
        user["comment"] = comment.into();
    }
    user
}

/// Numbers of a token are texts.
fn token(tokenid: &str, expire: u64) -> Value {
    json!({ "tokenid": tokenid, "privsep": "1", "expire": expire.to_string() })
}
