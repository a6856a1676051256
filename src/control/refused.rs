//! Orders that the desk refused: who tried what. Written down as decisions are, but bounded: of the same caller and reason,
//! the first one in each minute is a line, and those after it are one more at the minute's end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::Control;
use crate::api::{Code, Listener, RefusedOrder};
use crate::ids::neighbourhood;

/// So long those after the first one are only counted.
const QUIET: Duration = Duration::from_mins(1);
/// So many callers and reasons are told apart at a time; the others are counted as one.
const MOST: usize = 64;

/// Who was refused within the last minute, and how often since it was told.
#[derive(Default)]
pub(super) struct Refused(Mutex<HashMap<Key, u64>>);

/// Of whom the same is said; `None`: of all others.
type Key = Option<(Option<String>, Option<IpAddr>, Code)>;

/// One line. Nothing in it is a secret.
#[derive(Debug, Serialize)]
struct Line {
    /// Seconds since 1970.
    time: f64,
    event: &'static str,
    /// The name of the token, where it is known.
    token: Option<String>,
    client: Option<String>,
    action: &'static str,
    /// As it was asked, cut short.
    path: String,
    outcome: &'static str,
    message: String,
    /// How many are told by this line.
    times: u64,
}

impl Refused {
    /// Whether the order is to be told; it is counted otherwise. With its key, of which a minute begins.
    fn note(&self, order: &RefusedOrder) -> (Key, bool) {
        let key = Some((order.token.clone(), order.from.map(neighbourhood), order.code));
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if lately.contains_key(&key) || lately.len() < MOST { key } else { None };
        let is_first = !lately.contains_key(&key);
        *lately.entry(key.clone()).or_insert(0) += u64::from(!is_first);
        (key, is_first)
    }

    /// The end of a minute: how many were only counted.
    fn end(&self, key: &Key) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key).unwrap_or(0)
    }
}

impl Control {
    /// Writes down what the desk refuses. Must be called on the runtime.
    pub fn listener(self: &Arc<Self>) -> Listener {
        let control = Arc::clone(self);
        Box::new(move |order| {
            control.own.control_action(action(order.pattern), order.code.as_str());
            let (key, is_first) = control.refused.note(&order);
            if is_first {
                tokio::spawn(tell(Arc::clone(&control), order, key));
            }
        })
    }
}

async fn tell(control: Arc<Control>, order: RefusedOrder, key: Key) {
    write(&control, line(&control, &order, 1)).await;
    tokio::time::sleep(QUIET).await;
    let more = control.refused.end(&key);
    if more > 0 {
        write(&control, line(&control, &order, more)).await;
    }
}

fn line(control: &Control, order: &RefusedOrder, times: u64) -> Line {
    Line {
        time: (control.now)().as_secs_f64(),
        event: "refusal",
        token: order.token.clone(),
        client: order.from.map(|from| from.to_string()),
        action: action(order.pattern),
        path: order.path.clone(),
        outcome: order.code.as_str(),
        message: order.why.clone(),
        times,
    }
}

async fn write(control: &Control, line: Line) {
    let Line { token, client, action, path, outcome, message, times, .. } = &line;
    let (user, client) = (token.as_deref(), client.as_deref());
    tracing::info!(event = "refusal", user, client, action, path, outcome, why = message, times, "refused an order");
    let Some(books) = control.books.clone() else { return };
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || books.audit.write(&line)).await {
        tracing::error!(%error, "a refusal cannot be written down");
    }
}

/// The last word of a pattern.
fn action(pattern: &'static str) -> &'static str {
    pattern.rsplit('/').next().unwrap_or(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(token: Option<&str>, from: &str, code: Code) -> RefusedOrder {
        RefusedOrder {
            pattern: "/api/v1/guests/{cluster}/{vmid}/stop",
            path: "/api/v1/guests/home/1/stop".to_owned(),
            token: token.map(str::to_owned),
            from: from.parse().ok(),
            code,
            why: "no".to_owned(),
        }
    }

    #[test]
    fn ten_thousand_are_two_lines() {
        let refused = Refused::default();
        let wrong = order(None, "192.0.2.1", Code::Unauthorized);
        let told = (0..10_000).filter(|_| refused.note(&wrong).1).count();
        assert_eq!((told, action(wrong.pattern)), (1, "stop"));
        assert!(refused.note(&order(None, "192.0.2.1", Code::TooManyRequests)).1, "another reason");
        assert!(refused.note(&order(Some("ops"), "192.0.2.1", Code::Unauthorized)).1, "another caller");
        let (key, _) = refused.note(&wrong);
        assert_eq!((refused.end(&key), refused.end(&key)), (10_000, 0));
        assert!(refused.note(&wrong).1, "another minute");
    }

    #[test]
    fn a_crowd_is_one_after_so_many() {
        let refused = Refused::default();
        let of = |number: u32| {
            let from = std::net::Ipv4Addr::from(number).to_string();
            refused.note(&order(None, &from, Code::Unauthorized))
        };
        assert_eq!((0..10_000).filter(|number| of(*number).1).count(), MOST + 1);
        assert_eq!(refused.0.lock().unwrap().len(), MOST + 1);
        assert_eq!(refused.end(&None), 10_000 - 1 - u64::try_from(MOST).unwrap());
    }
}
