//! Words that thousands of guests have in common.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::pve::wire::Text;

/// Each word once, shared by all who have it: thousands of guests live on a few nodes, in a few states.
#[derive(Default)]
pub(super) struct Words(HashSet<Arc<str>, RandomState>);

impl Words {
    pub(super) fn get(&mut self, word: &str) -> Arc<str> {
        if let Some(shared) = self.0.get(word) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = word.into();
        self.0.insert(Arc::clone(&shared));
        shared
    }
}

/// A name as PVE allows it for nodes and storages: without the slash that separates them in an id.
pub(super) fn plain<'e>(name: &'e Text<'_>) -> Option<&'e str> {
    name.filled().filter(|name| !name.contains('/'))
}

/// The parts of a joined list in alphabetical order: PVE's order changes from answer to answer.
pub(super) fn sorted(text: &str, separator: char) -> Cow<'_, str> {
    let neat = |part: &str| !part.is_empty() && part.trim().len() == part.len();
    if text.is_empty() || (text.split(separator).all(neat) && text.split(separator).is_sorted()) {
        return Cow::Borrowed(text);
    }
    let mut parts: Vec<&str> = text.split(separator).map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.sort_unstable();
    Cow::Owned(parts.join(separator.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shared() {
        let mut words = Words::default();
        let (one, same, other) = (words.get("pve1"), words.get("pve1"), words.get("pve2"));
        assert!(Arc::ptr_eq(&one, &same));
        assert_eq!((&*one, &*other), ("pve1", "pve2"));
    }

    #[test]
    fn lists_are_sorted_and_tidied() {
        for (text, tidy) in
            [("", ""), ("a", "a"), ("a;b", "a;b"), ("b;a", "a;b"), (";a;;", "a"), ("a; b", "a;b"), (" ", ""), (";", "")]
        {
            assert_eq!(sorted(text, ';'), tidy, "{text:?}");
        }
        assert!(matches!(sorted("a;b", ';'), Cow::Borrowed(_)));
    }
}
