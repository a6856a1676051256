//! Words → one line of POSIX shell that passes exactly these words.

use std::fmt;

/// The longest word of a command, in bytes.
const LONGEST: usize = 200;

/// A command: a program and its arguments, each a word of harmless characters. Shown as it could be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call(Vec<String>);

impl Call {
    /// The command, unless a word has a character that none of our words needs.
    pub fn new(words: &[&str]) -> Result<Self, String> {
        for word in words {
            let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"@!._/:, -".contains(&byte);
            if word.is_empty() || word.len() > LONGEST || !word.bytes().all(harmless) {
                return Err(format!(
                    "expected words of 1 to {LONGEST} letters, digits and \"@!._/:, -\" for a command, found another"
                ));
            }
        }
        Ok(Self(words.iter().map(|word| (*word).to_owned()).collect()))
    }

    /// The same, run by root for a user who may do so without a password.
    pub fn as_root(&self) -> Self {
        Self(["sudo", "-n"].into_iter().map(str::to_owned).chain(self.0.iter().cloned()).collect())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{}", quote(word))?;
        }
        Ok(())
    }
}

/// A word as a shell reads it, whatever it holds but a NUL: bare where every shell takes it so, else in single quotes.
pub fn quote(word: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"@._/:,-".contains(&byte);
    if !word.is_empty() && word.bytes().all(bare) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads one word as a POSIX shell does; `None` where the text is anything but one literal word.
    fn unquote(text: &str) -> Option<String> {
        let mut word = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\'' => loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                },
                '\\' => word.push(chars.next()?),
                c if c.is_ascii_alphanumeric() || "@._/:,-".contains(c) => word.push(c),
                _ => return None,
            }
        }
        (!text.is_empty()).then_some(word)
    }

    #[test]
    fn commands_are_shown_as_they_could_be_typed() {
        let call = Call::new(&["pveum", "acl", "modify", "/", "--tokens", "sentinel@pve!monitor"]).unwrap();
        assert_eq!(call.to_string(), "pveum acl modify / --tokens 'sentinel@pve!monitor'");
        assert_eq!(call.as_root().to_string(), "sudo -n pveum acl modify / --tokens 'sentinel@pve!monitor'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_word_that_could_mean_something_is_refused() {
        for word in
            ["", ";", "a;b", "$(id)", "`id`", "a\nb", "a\u{1b}", "a'b", "\"", "a\\b", "é", "*", "a=b", "~", "a\0"]
        {
            let wrong = Call::new(&["pveum", word]).unwrap_err();
            assert!(!wrong.contains("id"), "{wrong}");
        }
        assert!(Call::new(&["pveum", &"a".repeat(LONGEST + 1)]).is_err());
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_read_as_it_was(word: String, close in "['\"\\\\;$`! \n*?~#&|<>(){}a-z-]{0,12}") {
            for word in [word, close] {
                prop_assert_eq!(unquote(&quote(&word)), Some(word));
            }
        }

        #[test]
        fn a_command_is_its_words(words in proptest::collection::vec("[A-Za-z0-9@!._/:, -]{1,20}", 1..6)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let line = Call::new(&words).unwrap().to_string();
            prop_assert_eq!(line, words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = Call::new(&[&text]);
        }
    }
}
