//! Whose rights and tokens are made.

use std::fmt;

/// The user that tokens belong to; without a password, so that nobody logs in as this user.
pub(super) const USER: &str = "sentinel@pve";

/// The role that may see everything and change nothing.
pub(super) const ROLE: &str = "PVEAuditor";

/// By this comment, users and tokens that were made here are known again.
pub(super) const MADE_HERE: &str = "made by pve-sentinel setup";

/// A token of the user that tokens belong to. Printed as its id, such as `sentinel@pve!monitor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    token: String,
}

impl Account {
    /// The longest name of a token, in bytes.
    const LONGEST: usize = 64;

    /// A token by its name. The error says what was expected.
    pub fn new(token: &str) -> Result<Self, String> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = (2..=Self::LONGEST).contains(&token.len())
            && token.starts_with(|c: char| c.is_ascii_alphabetic())
            && token.bytes().all(word);
        if !is_name {
            return Err(format!(
                "expected a letter, then 1 to {} letters, digits and \"._-\" as a token's name, such as \"monitor\"",
                Self::LONGEST - 1
            ));
        }
        Ok(Self { token: token.to_owned() })
    }

    /// The name without the user.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{USER}!{}", self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_that_proxmox_takes() {
        assert_eq!(Account::new("monitor").unwrap().to_string(), "sentinel@pve!monitor");
        assert!(Account::new("a1._-").is_ok());
        for name in ["", "a", "1a", "-a", "a b", "a;b", "a\nb", "a'b", "a!b", "é2", &"a".repeat(65)] {
            assert!(Account::new(name).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_a_word_of_a_command(name in any::<String>(), close in "[a-z!;. _-]{0,8}") {
            for name in [name, close] {
                if let Ok(account) = Account::new(&name) {
                    prop_assert!(crate::setup::Call::new(&["pveum", account.token(), &account.to_string()]).is_ok());
                }
            }
        }
    }
}
