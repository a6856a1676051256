//! The words of messages: values quoted with care, lists, and the nearest known name.

use std::path::Path;

use crate::ids::holds_token;

/// The longest piece of a value that a message quotes, in characters.
const SHOWN: usize = 60;

/// A value from the file for a message: quoted, on one line, shortened; never one that may be a secret.
///
/// Secrets of PVE are UUIDs, tokens of our own API begin with a word of theirs. People paste them into the wrong key, so that
/// no message quotes a text that holds one.
pub(crate) fn shown(text: &str) -> String {
    if holds_uuid(text) || holds_token(text) {
        return "a text that looks like a secret (not shown)".to_owned();
    }
    if text.is_empty() {
        return "an empty text".to_owned();
    }
    if text.chars().any(char::is_control) {
        return "a text with control characters (not shown)".to_owned();
    }
    match start(text) {
        Some(start) => format!("\"{start}…\""),
        None => format!("\"{text}\""),
    }
}

/// What [`shown`] quotes of a text that it shortens; `None` where it is short enough.
pub(super) fn start(text: &str) -> Option<&str> {
    let (end, _) = text.char_indices().nth(SHOWN)?;
    text.get(..end)
}

/// A number from the file for a message; a long one may be a password that somebody forgot to quote.
pub(super) fn number(digits: &str) -> String {
    const SHORT: usize = 10;
    if digits.len() <= SHORT { digits.to_owned() } else { format!("a number of {} digits", digits.len()) }
}

/// A path for a message: whole, but hidden where [`shown`] would hide it.
pub(super) fn path(path: &Path) -> String {
    let text = path.display().to_string();
    if hidden(&text) { shown(&text) } else { text }
}

/// Whether [`shown`] hides the text.
pub(crate) fn hidden(text: &str) -> bool {
    holds_uuid(text) || holds_token(text) || text.chars().any(char::is_control)
}

/// The words as `a`, `a and b`, `a, b and c`; `nothing` for none. The last joint is `and` or `or`.
pub(crate) fn list(words: &[&str], joint: &str) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} {joint} {last}", first.join(", ")),
    }
}

/// The known name that a misspelt one most likely means.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let likeness = |name: &str| {
        let part = word.len() >= 3 && (name.contains(&word) || word.contains(name));
        strsim::normalized_damerau_levenshtein(&word, name).max(if part { 0.7 } else { 0.0 })
    };
    let mut best = (0.6, None);
    for name in known {
        let score = likeness(name);
        if score > best.0 {
            best = (score, Some(*name));
        }
    }
    best.1
}

/// What is wrong with a text as a name, such as `example`.
pub(super) fn no_name(text: &str, example: &str) -> Option<String> {
    /// In bytes.
    const LONGEST: usize = 128;
    if text.trim().is_empty() {
        Some(format!("expected a name such as \"{example}\", found an empty text"))
    } else if text.chars().any(char::is_control) {
        Some("expected a name on one line, found control characters".to_owned())
    } else if text.trim() != text {
        Some(format!("expected no spaces around the name, found {}", shown(text)))
    } else if text.len() > LONGEST {
        Some(format!("expected a name of at most {LONGEST} bytes, found {}", text.len()))
    } else {
        None
    }
}

/// Whether a text has the shape 8-4-4-4-12 of hexadecimal digits somewhere.
fn holds_uuid(text: &str) -> bool {
    text.as_bytes().windows(36).any(|window| {
        window.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_quoted_with_care() {
        assert_eq!(shown("home"), "\"home\"");
        assert_eq!(shown(""), "an empty text");
        assert_eq!(shown(&"é".repeat(70)), format!("\"{}…\"", "é".repeat(60)));
        for hidden in ["x 0b9e7a52-1111-4222-8333-5a5a5a5a5a5a y", "x pvs_5a5a5a5a5a5a", "home\ntoken_secret = \"x\""] {
            assert!(shown(hidden).ends_with("(not shown)"), "{hidden}");
        }
    }

    #[test]
    fn paths_are_whole_unless_they_may_hold_a_secret() {
        let long = format!("/{}", "x".repeat(100));
        assert_eq!(path(Path::new(&long)), long);
        for hidden in ["/etc/0b9e7a52-1111-4222-8333-5a5a5a5a5a5a", "a\nb"] {
            assert!(path(Path::new(hidden)).ends_with("(not shown)"), "{hidden}");
        }
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&[], "and"), "nothing");
        assert_eq!(list(&["a"], "and"), "a");
        assert_eq!(list(&["a", "b", "c"], "or"), "a, b or c");
    }

    #[test]
    fn misspelt_names_find_the_nearest() {
        let known = ["endpoints", "name", "tls", "token_id", "token_secret", "token_secret_file"];
        for (word, want) in [
            ("endpoint", Some("endpoints")),
            ("Endpoints", Some("endpoints")),
            ("token-secret", Some("token_secret")),
            ("secret", Some("token_secret")),
            ("tokenid", Some("token_id")),
            ("token_secretfile", Some("token_secret_file")),
            ("TLS", Some("tls")),
            ("username", Some("name")),
            ("password", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), want, "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            prop_assert!(shown(&text).chars().count() <= SHOWN + 3 || shown(&text).ends_with("(not shown)"));
            let _ = nearest(&text, &["name", "endpoints"]);
        }
    }
}
