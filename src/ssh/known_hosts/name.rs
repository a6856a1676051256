//! The names that an entry is about.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The names of one entry.
#[derive(Debug)]
pub(super) enum Names {
    /// One name, of which the file tells only the HMAC-SHA1.
    Hashed {
        /// The key of the HMAC.
        salt: [u8; 20],
        /// Its value.
        hash: [u8; 20],
    },
    /// Patterns, separated by commas, in lower case.
    Patterns(Box<str>),
}

impl Names {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some(hashed) = text.strip_prefix('|') else {
            return Some(Self::Patterns(text.to_ascii_lowercase().into()));
        };
        let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
        let bytes = |text: &str| BASE64.decode(text.as_bytes()).ok()?.try_into().ok();
        Some(Self::Hashed { salt: bytes(salt)?, hash: bytes(hash)? })
    }

    /// Whether they mean this name, which is in lower case.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => hashed(salt, name).is_some_and(|mac| mac == *hash),
            Self::Patterns(patterns) => {
                let mut found = false;
                for pattern in patterns.split(',') {
                    match pattern.strip_prefix('!') {
                        // What is denied is denied, whatever else stands there.
                        Some(denied) if is_like(name, denied) => return false,
                        Some(_) => {}
                        None => found |= is_like(name, pattern),
                    }
                }
                found
            }
        }
    }
}

fn hashed(salt: &[u8], name: &str) -> Option<[u8; 20]> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.finalize().into_bytes().into())
}

/// Whether a text is like a pattern in which `*` stands for any text and `?` for any character; in time that grows with
/// the product of the two lengths at most.
pub(in crate::ssh) fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut in_pattern) = (0, 0);
    // Where to go on when what follows the last star does not fit: one byte further than the last time.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at) {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((at, in_pattern));
                in_pattern += 1;
            }
            Some(wanted) if wanted == byte || *wanted == b'?' => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((from, star_at)) = star else { return false };
                star = Some((from + 1, star_at));
                at = from + 1;
                in_pattern = star_at + 1;
            }
        }
    }
    pattern.iter().skip(in_pattern).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_what_openssh_means() {
        for (pattern, text, like) in [
            ("pve1", "pve1", true),
            ("pve1", "pve11", false),
            ("pve?", "pve1", true),
            ("pve?", "pve", false),
            ("*", "", true),
            ("**", "a", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("a*b*c", "axxbxxbxc", true),
            ("a*b*c", "axxbxxbx", false),
            ("[192.0.2.11]:*", "[192.0.2.11]:2222", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(is_like(text, pattern), like, "{pattern} {text}");
        }
    }

    #[test]
    fn denied_names_stay_denied_wherever_they_stand() {
        for patterns in ["!pve1,*", "*,!pve1", "pve*,!pve?"] {
            assert!(!Names::parse(patterns).unwrap().matches("pve1"), "{patterns}");
        }
        let names = Names::parse("*,!pve1").unwrap();
        assert!(names.matches("pve2"));
        assert!(!Names::parse("!pve1").unwrap().matches("pve2"), "nothing is allowed by denying another");
    }

    #[test]
    fn stars_do_not_take_for_ever() {
        assert!(!is_like(&"a".repeat(250), &format!("{}b", "*a".repeat(1000))));
    }

    proptest! {
        #[test]
        fn a_hashed_name_is_found_and_no_other(salt: [u8; 20], name in "[a-z0-9.]{1,20}") {
            let names = Names::Hashed { salt, hash: hashed(&salt, &name).unwrap() };
            prop_assert!(names.matches(&name));
            let longer = name + "x";
            prop_assert!(!names.matches(&longer));
        }
    }
}
