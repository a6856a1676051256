//! What lasts: told when it begins, and over only when it was so at two looks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::events::finding::Span;

/// A condition that is true, or was at the last look but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::events) struct Condition {
    /// When it was first seen.
    pub(in crate::events) since: i64,
    /// When it was first seen to be over, and not again since.
    pub(in crate::events) over: Option<i64>,
}

/// The condition's news, if there is one.
pub(super) fn update(known: &mut BTreeMap<String, Condition>, key: &str, now: i64, is: bool) -> Option<Span> {
    match (known.get_mut(key), is) {
        (None, false) => None,
        (None, true) => {
            known.insert(key.to_owned(), Condition { since: now, over: None });
            Some(Span::Began { since: now })
        }
        (Some(condition), true) => {
            condition.over = None;
            None
        }
        (Some(Condition { since, over: Some(at) }), false) => {
            let span = Span::Ended { since: *since, at: *at };
            known.remove(key);
            Some(span)
        }
        (Some(condition), false) => {
            condition.over = Some(now);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_over_after_two_looks() {
        let mut known = BTreeMap::new();
        let mut at = |now, is| update(&mut known, "x", now, is);
        assert_eq!(at(10, false), None);
        assert_eq!(at(20, true), Some(Span::Began { since: 20 }));
        assert_eq!(at(30, false), None);
        assert_eq!(at(40, true), None);
        assert_eq!(at(50, false), None);
        assert_eq!(at(60, false), Some(Span::Ended { since: 20, at: 50 }));
        assert_eq!(at(70, false), None);
    }
}
