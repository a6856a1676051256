//! Tokens of our own API: their shape, what is kept of them, and what they allow.

use std::fmt;

use sha2::{Digest, Sha256};

/// What the tokens that we make begin with, so that one is recognised wherever it turns up by mistake.
pub const TOKEN_PREFIX: &str = "pvs_";

/// The fewest characters of a token: shorter ones can be guessed from their hash.
const LEAST: usize = 32;

/// The most characters of a token.
const MOST: usize = 512;

/// The SHA-256 of a token, which is all that the configuration knows of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read what is known, and have it looked up again.
    Read,
    /// Switch guests.
    Power,
    /// Switch nodes.
    NodePower,
    /// Switch hosts.
    HostPower,
}

impl Scope {
    /// All there are.
    pub const ALL: &[Self] = &[Self::Read, Self::Power, Self::NodePower, Self::HostPower];

    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Power => "power",
            Self::NodePower => "node-power",
            Self::HostPower => "host-power",
        }
    }

    /// Whether it lets something be done, and not only looked at.
    pub fn acts(self) -> bool {
        self != Self::Read
    }

    /// Reads what [`Scope::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text)
    }
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        (digits.len() == 64).then(|| bytes.try_into().ok().map(Self)).flatten()
    }

    /// 64 hexadecimal digits, as the configuration has them.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compares without telling by its time how much is right.
    pub fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

/// Without the digits: who has the hash of a weak token can find the token.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// Whether a text can stand behind `Bearer` (RFC 6750): letters, digits and `-._~+/`, with `=` at the end.
pub fn is_bearer(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() <= MOST
        && !body.is_empty()
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// What is wrong with a text as a token that somebody made; never with the text.
pub fn no_token(text: &str) -> Option<String> {
    if text.chars().count() < LEAST {
        return Some(format!(
            "expected a token of at least {LEAST} characters, found fewer; a short one can be guessed"
        ));
    }
    let expected =
        format!("expected a token of letters, digits and \"-._~+/\", at most {MOST} of them, found another text");
    (!is_bearer(text)).then_some(expected)
}

/// Whether a text holds what looks like a token of ours, whole or cut off.
pub fn holds_token(text: &str) -> bool {
    /// So many characters after the prefix are no accident.
    const TELLING: usize = 8;
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    text.match_indices(TOKEN_PREFIX).any(|(at, prefix)| {
        let rest = text.as_bytes().get(at + prefix.len()..).unwrap_or_default();
        rest.iter().take_while(|byte| is_of_token(byte)).count() >= TELLING
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hash_is_that_of_sha256sum() {
        let hash = TokenHash::of("abc");
        assert_eq!(hash.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(TokenHash::parse(&hash.hex().to_uppercase()), Some(hash));
        assert!(hash.is(&hash) && !hash.is(&TokenHash::of("abd")));
        assert_eq!(format!("{hash:?}"), "[hash]");
        for text in ["", "ba78", &"b".repeat(63), &"b".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(TokenHash::parse(text), None, "{text}");
        }
    }

    #[test]
    fn scopes_read_back() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(*scope));
        }
        assert_eq!((Scope::parse(""), Scope::parse("Read")), (None, None));
    }

    #[test]
    fn what_no_header_carries_is_no_token() {
        for text in ["", "=", "a b", "a,b", "a=b", "é", "a\n", &"a".repeat(513)] {
            assert!(!is_bearer(text), "{text}");
        }
        assert!(is_bearer("pvs_A-z.9~+/==") && is_bearer("a"));
        assert_eq!(no_token(&"a".repeat(32)), None);
        assert!(no_token(&"a".repeat(31)).is_some_and(|wrong| wrong.contains("at least 32") && !wrong.contains("aaa")));
        assert!(no_token(&"a ".repeat(20)).is_some_and(|wrong| !wrong.contains("a a")));
    }

    #[test]
    fn tokens_are_seen_wherever_they_stand() {
        for text in ["pvs_abcd1234", "/api/v1/pvs_-_AZaz09x", "pvs_ pvs_abcd1234"] {
            assert!(holds_token(text), "{text}");
        }
        for text in ["", "pvs_", "pvs_abcd123", "/api/v1/guests", "pvs_é1234567890"] {
            assert!(!holds_token(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", close in "pvs_.{0,12}|[0-9a-fA-Fé]{60,66}") {
            for text in [text, close] {
                let _ = (TokenHash::parse(&text), is_bearer(&text), no_token(&text), holds_token(&text), Scope::parse(&text));
            }
        }

        #[test]
        fn printed_hashes_read_back(token in ".{0,40}") {
            let hash = TokenHash::of(&token);
            prop_assert_eq!(TokenHash::parse(&hash.hex()), Some(hash));
        }
    }
}
