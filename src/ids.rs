//! Names that cross the rooms, and what the files of several of them in `state_dir` have in common.

mod address;
mod format;
mod mac;
mod network;
mod percent;
mod selector;
mod service;
mod severity;
mod ssh;
mod state_file;
mod target;
mod token;

use std::fmt;

pub use address::neighbourhood;
pub use format::newer_format;
pub use mac::MacAddress;
pub use network::Network;
pub use percent::percent_decoded;
pub use selector::GuestSelection;
pub use service::ServiceKind;
pub use severity::Severity;
pub use ssh::{SshAddress, SshFingerprint};
pub use state_file::{damaged, keep_damaged, make_state_file, open_state_file, read_state_file, unusable};
pub use target::{ServiceTarget, ServiceTargets};
pub use token::{Scope, TOKEN_PREFIX, TokenHash, holds_token, is_bearer, no_token};

/// The SHA-256 fingerprint of a DER-encoded certificate, written as PVE writes it: `AB:CD:…`, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Reads 64 hexadecimal digits, with or without colons between the bytes, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits: Vec<u8> = if text.contains(':') {
            let mut digits = Vec::with_capacity(64);
            for byte in text.split(':') {
                if byte.len() != 2 {
                    return None;
                }
                digits.extend_from_slice(byte.as_bytes());
            }
            digits
        } else {
            text.as_bytes().to_vec()
        };
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn printed_fingerprints_read_back(bytes: [u8; 32]) {
            let printed = Fingerprint(bytes).to_string();
            prop_assert_eq!(Fingerprint::parse(&printed), Some(Fingerprint(bytes)));
            prop_assert_eq!(Fingerprint::parse(&printed.replace(':', "").to_lowercase()), Some(Fingerprint(bytes)));
        }

        #[test]
        fn no_text_panics(text in ".{0,100}") {
            let _ = Fingerprint::parse(&text);
        }
    }

    #[test]
    fn malformed_fingerprints_are_refused() {
        let long = "AB:".repeat(33);
        for text in ["", "AB", "AB:CD", "zz", long.as_str(), &"A".repeat(63), &"é".repeat(32)] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
