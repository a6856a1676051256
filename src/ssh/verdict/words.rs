//! The messages about host keys: what was expected, what was found, where, what to do.
//!
//! Each has the words "host key" and the fingerprint that was seen.

use std::sync::Arc;

use super::{Found, Shown};
use crate::ids::SshFingerprint;
use crate::ssh::error::one_line;
use crate::ssh::known_hosts::{self, File, Unread};

impl Shown {
    /// Such as `ssh-ed25519 SHA256:…`.
    fn words(&self) -> String {
        format!("{} {}", self.key_type, self.fingerprint())
    }

    /// The file of the public key on a Debian host, to compare the fingerprint with.
    fn own_file(&self) -> &'static str {
        match self.key_type.as_str() {
            "ssh-rsa" => "/etc/ssh/ssh_host_rsa_key.pub",
            "ssh-ed25519" => "/etc/ssh/ssh_host_ed25519_key.pub",
            _ => "/etc/ssh/ssh_host_ecdsa_key.pub",
        }
    }
}

impl Found<'_> {
    fn place(&self) -> String {
        format!("{}:{}", path(self.file), self.entry.line)
    }
}

pub(super) fn unknown(shown: &Shown, files: &[Arc<File>], name: &str) -> String {
    let listed: Vec<String> = files.iter().map(|file| format!("{}{}", path(file), remark(file))).collect();
    let (words, listed, own_file) = (shown.words(), listed.join(", "), shown.own_file());
    let line = known_hosts::line(name, &shown.key);
    format!(
        "host key unknown: expected the host in {listed}, found {words} and no line about it; nothing was sent. \
         Compare with ssh-keygen -lf {own_file} on the host, then add this line: {line}"
    )
}

/// What may be the reason why a file does not have the host.
fn remark(file: &File) -> String {
    match &file.content {
        _ if !file.exists => " (which does not exist)".to_owned(),
        Ok(known) if known.passed_over > 0 => format!(" (of which {} lines are no entries)", known.passed_over),
        _ => String::new(),
    }
}

pub(super) fn changed(shown: &Shown, found: &Found<'_>, name: &str) -> String {
    let (words, place) = (shown.words(), found.place());
    let expected = SshFingerprint(<sha2::Sha256 as sha2::Digest>::digest(&found.entry.key).into());
    let (expected_type, own_file) = (&found.entry.key_type, shown.own_file());
    let line = known_hosts::line(name, &shown.key);
    format!(
        "host key changed: expected {expected_type} {expected} as in {place}, found {words}; nothing was sent. Either the \
         host was set up anew, or something else answers in its place: compare with ssh-keygen -lf {own_file} on the \
         host, and only if they are equal replace line {} of {} with: {line}",
        found.entry.line,
        path(found.file),
    )
}

pub(super) fn not_certified(shown: &Shown, found: &Found<'_>) -> String {
    format!(
        "host key changed: expected a certificate of the authority in {}, found {} without one; nothing was sent. Sign \
         the host's key, or add it to a known_hosts file",
        found.place(),
        shown.words()
    )
}

pub(super) fn bad_certificate(shown: &Shown, found: &Found<'_>, wrong: &str) -> String {
    format!(
        "host key refused: expected a valid certificate of the authority in {}, found one for {}, but {wrong}; nothing \
         was sent",
        found.place(),
        shown.words()
    )
}

pub(super) fn revoked(shown: &Shown, found: &Found<'_>) -> String {
    format!(
        "host key revoked: found {}, which {} forbids; nothing was sent. Give the host a new key (remove the old one, \
         then ssh-keygen -A) and write that into known_hosts",
        shown.words(),
        found.place()
    )
}

pub(super) fn unreadable(shown: &Shown, file: &File, unread: &Unread) -> String {
    format!(
        "host key not compared: expected a readable {}, found: {}; {}; the host shows {}; nothing was sent",
        path(file),
        one_line(&unread.reason),
        unread.advice,
        shown.words()
    )
}

pub(super) fn not_the_pin(shown: &Shown, pin: &SshFingerprint) -> String {
    format!(
        "host key changed: expected {pin} as configured, found {}; nothing was sent. Compare with ssh-keygen -lf {} on \
         the host, and only if they are equal configure what was found",
        shown.words(),
        shown.own_file()
    )
}

/// What is wrong with the names that a certificate is for; they are the other side's words.
pub(super) fn principals(principals: &[String], host: &str) -> String {
    if principals.is_empty() {
        return format!("it names no host; sign it for {host}: ssh-keygen -s CA -h -n {host} …");
    }
    let names = one_line(&principals.join(", "));
    format!("it is for {names} and not for {host}; sign the host's key for that name too")
}

fn path(file: &File) -> String {
    one_line(&file.path.display().to_string())
}
