//! API tokens that will expire, the exporter's own among them. Try: `pvesh get /access/users --full 1`

use std::time::Duration;

use super::shared::{Column, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, User};

const CALL: &str = "/access/users?full=1";

/// PVE asks for the privilege on `/access/groups`, which the role on `/` covers. A user sees itself without any right, so
/// that a narrow token tells at least of its own end.
pub(super) const COLLECTOR: Collector = Collector {
    name: "token_expiry",
    about: "API tokens that expire, and when",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL],
    families: &[&EXPIRY],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_hours(1),
        per: Per::Cluster,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static EXPIRY: Desc = Desc {
    name: "pve_token_expiry_timestamp_seconds",
    help: "When the API token expires, or its user if that is sooner, only of tokens in use that do, from /access/users.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Some(answer) = if_known(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        Ok(families(&pve::users(&answer)?))
    })
}

fn families(users: &[User<'_>]) -> Vec<Family> {
    let mut ends: Vec<(String, f64)> = users.iter().flat_map(ends).collect();
    ends.sort_by(|(a, _), (b, _)| a.cmp(b));
    ends.dedup_by(|(b, _), (a, _)| a == b);
    let mut expiry = Column::new(&EXPIRY);
    for (id, end) in &ends {
        expiry.push(&Labels::new(&[("id", id)]), Some(*end));
    }
    vec![expiry.into_family()]
}

/// The tokens of a user that end. Those of a user who may not log in are of no use already.
fn ends<'u>(user: &'u User<'_>) -> impl Iterator<Item = (String, f64)> + 'u {
    let moment = |seconds: pve::wire::Number| seconds.quantity().filter(|seconds| *seconds > 0.0);
    let of_user = moment(user.expire);
    let tokens = user.tokens.iter().flat_map(|list| &list.items).filter(move |_| user.enable.0 != Some(false));
    tokens.filter_map(move |token| {
        let id = format!("token/{}!{}", user.userid.filled()?, token.tokenid.filled()?);
        let end = [of_user, moment(token.expire)].into_iter().flatten().reduce(f64::min)?;
        Some((id, end))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        lines(&families(&pve::users(answer).expect("users")))
    }

    #[test]
    fn the_sooner_end_counts_and_the_disabled_do_not() {
        assert_eq!(
            told(&recorded("hand-made/GET_access__users__full=1.json")),
            [
                "pve_token_expiry_timestamp_seconds{id=\"token/monitor@pve!prometheus\"} 1797800000",
                "pve_token_expiry_timestamp_seconds{id=\"token/operator@pve!power\"} 1798000000",
                "pve_token_expiry_timestamp_seconds{id=\"token/operator@pve!short\"} 1797900000",
            ]
        );
        assert!(told(&recorded("pve-9.2-cluster/GET_access__users.json")).is_empty());
    }

    #[test]
    fn what_is_odd_is_passed_over() {
        let answer = Answer::of(
            r#"{"data":[
                {"userid":"a@pve","tokens":[{"expire":5},{"tokenid":""},{"tokenid":"t","expire":"soon"},
                    {"tokenid":"t","expire":-7},{"tokenid":"x","expire":"9"},{"tokenid":"x","expire":8}, 3]},
                {"userid":"b@pve","expire":"4","tokens":[{"tokenid":"t"}]},
                {"userid":"c@pve","expire":4,"tokens":null}, {"tokens":[]}, null
            ]}"#,
        );
        let expected = ["token/a@pve!x\"} 9", "token/b@pve!t\"} 4"];
        assert_eq!(told(&answer), expected.map(|line| format!("pve_token_expiry_timestamp_seconds{{id=\"{line}")));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["userid", "enable", "expire"]),
            tokens in any_rows(&["tokenid", "expire"]),
        ) {
            let mut rows = rows;
            for row in rows.as_array_mut().into_iter().flatten() {
                row["tokens"] = tokens.clone();
            }
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(users) = pve::users(&answer) {
                check(&COLLECTOR, &families(&users));
            }
        }
    }
}
