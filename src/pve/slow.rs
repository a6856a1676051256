//! The slow lane: calls that hold a place at a node's gate.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::asking::{Asking, SLOW};
use super::error::{Error, Reason};
use super::gate::{Ended, Permit};
use super::path::Path;
use super::transport::{Call, Line};

/// All of a call, with whatever is asked before it or after it elsewhere.
const LONGEST: Duration = SLOW.total;

/// A call that any endpoint can answer, at the endpoint for whose node there is a place, then at others.
pub(super) async fn get(asking: &Asking, path: &Path, permit: &Permit) -> Result<Answer, Error> {
    let mut order: Vec<usize> = asking.endpoints.order(path.label()).iter().map(|candidate| candidate.index).collect();
    let Some(&first) = order.first() else { return Err(asking.endpoints.all_refused(path.as_str())) };
    order.sort_by_key(|index| !asking.endpoints.is_at(*index, permit.node()));
    let (mut failed, mut is_busy) = (None, false);
    for index in order {
        let other = match asking.endpoints.is_at(index, permit.node()) {
            true => None,
            false => match asking.gate.try_enter(&asking.endpoints.place(index), permit.blocks()) {
                None => {
                    is_busy = true;
                    continue;
                }
                place => place,
            },
        };
        match held(asking, index, path, other.as_ref().unwrap_or(permit)).await {
            Err(error) if error.is_of_the_endpoint() && !matches!(error.reason, Reason::Timeout(_)) => {
                failed = Some(graver(failed, error));
            }
            result => return result,
        }
    }
    // What a node said stands. Where none was reached, or has what is asked for, those that are busy may do better later.
    Err(match failed {
        Some(error) if !(is_busy && (error.is_of_the_way() || error.is_not_set_up())) => error,
        Some(error) => {
            fault(asking, first, path, Reason::Busy(format!("{}; the other endpoints are busy", error.reason)))
        }
        None => {
            fault(asking, first, path, Reason::Busy("not asked: the endpoints are busy with other calls".to_owned()))
        }
    })
}

/// Of two endpoints' failures the one to tell: who has nothing of the kind does not excuse another that has it, and fails.
fn graver(before: Option<Error>, error: Error) -> Error {
    before.filter(|before| error.is_not_set_up() && !before.is_of_the_way()).unwrap_or(error)
}

/// A call about the permit's node: there directly if that is configured, else through an endpoint.
pub(super) async fn get_node(asking: &Asking, path: &Path, permit: &Permit) -> Result<Answer, Error> {
    let direct = asking.endpoints.direct(permit.node());
    let endpoints = asking.endpoints.order(path.label()).into_iter().map(|candidate| candidate.index);
    let mut failed = None;
    for index in direct.into_iter().chain(endpoints.filter(|index| Some(*index) != direct)) {
        match held(asking, index, path, permit).await {
            // Only where nothing was asked but for a proof of identity: what the node itself says, another way would only
            // repeat.
            Err(error) if error.is_of_the_way() || error.path != path.as_str() => failed = Some(error),
            result => return result,
        }
    }
    Err(failed.unwrap_or_else(|| asking.endpoints.all_refused(path.as_str())))
}

async fn held(asking: &Asking, index: usize, path: &Path, permit: &Permit) -> Result<Answer, Error> {
    let Some(flight) = permit.fly().await else {
        let words = "not asked, as an earlier call on the same place was given up";
        return Err(fault(asking, index, path, Reason::Unreachable(words.to_owned())));
    };
    let started = Instant::now();
    let exchange = timeout(LONGEST, asking.identified(index, Call::whole(path), Line::Kept, SLOW)).await;
    let result = exchange.unwrap_or_else(|_| Err(fault(asking, index, path, Reason::Timeout(LONGEST))));
    flight.land(ended(&result));
    asking.endpoints.note_slow(index, path.label(), started, result.as_ref().map(|_| ()));
    result
}

fn fault(asking: &Asking, index: usize, path: &Path, reason: Reason) -> Error {
    Error { endpoint: asking.endpoints.url(index).to_owned(), path: path.as_str().to_owned(), reason }
}

fn ended(result: &Result<Answer, Error>) -> Ended {
    match result.as_ref().map_err(|error| &error.reason) {
        Ok(_) => Ended::Well,
        // 596 and above: pveproxy lost patience with the node, or the connection to it in the middle of the answer.
        Err(Reason::Timeout(_) | Reason::Status(596..=599, _)) => Ended::GivenUp,
        Err(_) => Ended::Badly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_nothing_of_the_kind_excuses_nobody() {
        let error = |reason| Error { endpoint: "x".into(), path: "/x".into(), reason };
        let said = |words: &str| error(Reason::Status(500, words.into()));
        let (none, broken) = (said("binary not installed: /usr/bin/ceph-mon"), said("got timeout"));
        let away = error(Reason::Unreachable("refused".into()));
        for (before, now, told) in [
            (None, &none, &none),
            (Some(&none), &none, &none),
            (Some(&broken), &none, &broken),
            (Some(&none), &broken, &broken),
            (Some(&away), &none, &none),
            (Some(&broken), &away, &away),
        ] {
            assert_eq!(&graver(before.cloned(), now.clone()), told, "{before:?} {now:?}");
        }
    }

    #[test]
    fn what_may_still_run_on_the_node_was_given_up() {
        let error = |reason| Err(Error { endpoint: "x".into(), path: "/x".into(), reason });
        assert_eq!(ended(&Ok(Answer::of("{}"))), Ended::Well);
        for (reason, expected) in [
            (Reason::Timeout(LONGEST), Ended::GivenUp),
            (Reason::Status(596, "Connection timed out".into()), Ended::GivenUp),
            (Reason::Status(595, "No route to host".into()), Ended::Badly),
            (Reason::Status(500, "No QEMU guest agent configured".into()), Ended::Badly),
            (Reason::Unreachable("refused".into()), Ended::Badly),
            (Reason::Forbidden("no".into()), Ended::Badly),
        ] {
            assert_eq!(ended(&error(reason.clone())), expected, "{reason:?}");
        }
    }
}
