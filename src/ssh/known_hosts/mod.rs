//! What `known_hosts` files say, in the grammar of OpenSSH; pure.
//!
//! One entry per line: an optional `@cert-authority` or `@revoked`, the names it is about (patterns separated by commas,
//! or one hashed name), the type of the key, the key in base64, and anything after it. Keys are compared as the bytes
//! they are: a type that we cannot use is an entry like any other.

mod files;
mod name;

use data_encoding::BASE64;

pub(super) use files::{File, Files, Unread};
use name::Names;
pub(super) use name::is_like;

/// The entries of one file.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
    /// Lines that are no entry, no comment and not empty; they are as if they were not there, as with OpenSSH.
    pub(super) passed_over: usize,
}

/// One line.
#[derive(Debug)]
pub(super) struct Entry {
    /// Counted from 1, comments and all.
    pub(super) line: usize,
    pub(super) marker: Marker,
    names: Names,
    /// Such as `ssh-ed25519`.
    pub(super) key_type: Box<str>,
    /// In the form that goes over the wire.
    pub(super) key: Box<[u8]>,
}

/// What an entry says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// It is the key of these hosts.
    None,
    /// It signs the certificates of these hosts.
    CertAuthority,
    /// These hosts must not be trusted with it.
    Revoked,
}

impl KnownHosts {
    /// Reads a file; there is no file that cannot be read so.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut known = Self::default();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let blank = line.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|byte| *byte == b'#');
            if blank {
                continue;
            }
            match std::str::from_utf8(line).ok().and_then(|line| Entry::parse(line, index + 1)) {
                Some(entry) => known.entries.push(entry),
                None => known.passed_over += 1,
            }
        }
        known
    }

    /// The entries about a name as it stands in `known_hosts`: `host` or `[host]:port`, in lower case.
    pub(super) fn about<'k>(&'k self, name: &'k str) -> impl Iterator<Item = &'k Entry> {
        self.entries.iter().filter(move |entry| entry.names.matches(name))
    }
}

impl Entry {
    fn parse(text: &str, line: usize) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut first = words.next()?;
        let marker = match first.strip_prefix('@') {
            None => Marker::None,
            Some("cert-authority") => Marker::CertAuthority,
            Some("revoked") => Marker::Revoked,
            Some(_) => return None,
        };
        if marker != Marker::None {
            first = words.next()?;
        }
        let names = Names::parse(first)?;
        let key_type = words.next()?;
        let key = BASE64.decode(words.next()?.as_bytes()).ok()?;
        // The type is in the key again; where the two differ, it is not clear what was meant.
        (type_of(&key)? == key_type).then(|| Self { line, marker, names, key_type: key_type.into(), key: key.into() })
    }
}

/// The type that a key in its wire form names.
pub(super) fn type_of(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    std::str::from_utf8(name).ok()
}

/// The line that makes a key known under a name.
pub(super) fn line(name: &str, key: &[u8]) -> String {
    format!("{name} {} {}", type_of(key).unwrap_or("unknown"), BASE64.encode(key))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A key of a type, told apart by a number.
    pub(in super::super) fn key(key_type: &str, number: u8) -> Vec<u8> {
        let mut key = u32::try_from(key_type.len()).unwrap().to_be_bytes().to_vec();
        key.extend_from_slice(key_type.as_bytes());
        key.extend_from_slice(&[0, 0, 0, 1, number]);
        key
    }

    fn lines_about(text: &str, name: &str) -> Vec<usize> {
        KnownHosts::parse(text.as_bytes()).about(name).map(|entry| entry.line).collect()
    }

    #[test]
    fn entries_are_found_by_their_names() {
        let key = line("", &key("ssh-ed25519", 1));
        let text = format!(
            "# comment, then an empty line\n\n  \t# another\npve1,192.0.2.11{key}\n*.example.com,!db.example.com{key}\n\
             [192.0.2.11]:2222{key} root@pve1 made last year\r\n\tPVE? {key}\n@revoked * {key}\n@cert-authority *.lab{key}"
        );
        for (name, lines) in [
            ("pve1", vec![4, 7, 8]),
            ("pve2", vec![7, 8]),
            ("192.0.2.11", vec![4, 8]),
            ("[192.0.2.11]:2222", vec![6, 8]),
            ("[192.0.2.11]:22", vec![8]),
            ("a.example.com", vec![5, 8]),
            ("db.example.com", vec![8]),
            ("a.lab", vec![8, 9]),
        ] {
            assert_eq!(lines_about(&text, name), lines, "{name}");
        }
        assert_eq!(KnownHosts::parse(text.as_bytes()).passed_over, 0);
    }

    #[test]
    fn what_is_no_entry_is_passed_over_and_counted() {
        let good = line("pve1", &key("ssh-ed25519", 1));
        for bad in [
            "pve1".to_owned(),
            "pve1 ssh-ed25519".to_owned(),
            "pve1 ssh-ed25519 !!!!".to_owned(),
            "pve1 ssh-ed25519 AAAA".to_owned(),
            good.replace("ssh-ed25519", "ssh-rsa"),
            format!("@unknown {good}"),
            format!("@revoked{good}"),
            "@revoked".to_owned(),
            "pve1 1024 35 1234567890".to_owned(),
            good.replace("pve1", "|1|short|short"),
            good.replace("pve1", "|2|aaaa|bbbb"),
        ] {
            let known = KnownHosts::parse(format!("{bad}\n{good}\n").as_bytes());
            assert_eq!(known.passed_over, 1, "{bad}");
            assert_eq!(known.about("pve1").map(|entry| entry.line).collect::<Vec<_>>(), [2], "{bad}");
        }
        let mut bytes = b"\xff\xfe pve1\n".to_vec();
        bytes.extend_from_slice(good.as_bytes());
        assert_eq!(KnownHosts::parse(&bytes).passed_over, 1);
    }

    #[test]
    fn names_hashed_by_openssh_are_found() {
        // Lines for 192.0.2.11 and [pve1.example.com]:2222, hashed by: ssh-keygen -H -f known_hosts
        let key = line("", &key("ssh-ed25519", 1));
        let text = format!(
            "|1|r8ztjuIcZwXVMkFvynWjCJGJUBE=|PlVrg5KVlPbMpEVEjUQs/lT7b8w={key}\n\
             |1|b2X1tUN247kkhPhK8hIHs+vsn1c=|fMr4Usx99ScU0jBskhXwHWLB+R4={key}\n"
        );
        assert_eq!(lines_about(&text, "192.0.2.11"), [1]);
        assert_eq!(lines_about(&text, "[pve1.example.com]:2222"), [2]);
        assert_eq!(lines_about(&text, "192.0.2.12"), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, name in any::<String>()) {
            let known = KnownHosts::parse(&bytes);
            prop_assert!(known.about(&name).count() + known.passed_over <= bytes.len());
        }

        #[test]
        fn nearly_right_lines_do_not_panic(
            text in "((@revoked|@cert-authority|@x)? ?([a*?!,\\[\\]:|1=]{0,12}) ?(ssh-ed25519|ssh-rsa)? ?[A-Za-z0-9+/=]{0,40}\n?){0,4}",
            name in "[a\\[\\]:1.]{0,6}",
        ) {
            let _ = KnownHosts::parse(text.as_bytes()).about(&name).count();
        }

        #[test]
        fn a_written_line_is_found_again(host in "[a-z0-9.-]{1,20}", number: u8) {
            let key = key("ssh-ed25519", number);
            let known = KnownHosts::parse(line(&host, &key).as_bytes());
            prop_assert_eq!(known.about(&host).map(|entry| entry.key.to_vec()).collect::<Vec<_>>(), [key]);
        }
    }
}
