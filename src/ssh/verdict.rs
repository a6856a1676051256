//! Whether a host is the one it should be: its key against what is known; pure.

mod words;

use std::sync::Arc;

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use sha2::{Digest, Sha256};

use super::error::{HostKey, HostKeyKind};
use super::known_hosts::{self, Entry, File, Marker};
use crate::ids::{SshAddress, SshFingerprint};

/// What is known of a host before it is asked.
pub(super) enum Known {
    /// Only the fingerprint of its key.
    Pinned(SshFingerprint),
    /// What the files say, in their order.
    Files(Vec<Arc<File>>),
}

/// What a host showed.
pub(super) struct Shown {
    /// Its key as it goes over the wire; of a certificate, the key in it.
    key: Vec<u8>,
    key_type: String,
    certificate: Option<Certificate>,
}

/// A host that is the right one, or may become it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has proved who it is.
    Right,
    /// Nothing contradicts the key because nothing is known; the error to give unless new hosts are accepted.
    New(HostKey),
}

/// An entry with the file it stands in.
#[derive(Clone, Copy)]
struct Found<'k> {
    file: &'k File,
    entry: &'k Entry,
}

/// The entries about an address.
struct About<'k> {
    /// Under the very name.
    exact: Vec<Found<'k>>,
    /// Under the host without the port, where that is another name: as with OpenSSH, a key that is known so will do
    /// where nothing is known under the very name, and contradicts nothing.
    bare: Vec<Found<'k>>,
}

/// The types of host keys that we can check, in the order of our preference; no SHA-1.
const TYPES: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

impl Known {
    /// The types of keys to ask the host for, those that are known of it first, and whether to ask for certificates.
    ///
    /// The others follow so that a host which has lost the key that is known is told apart from one that speaks no SSH.
    pub(super) fn types(&self, address: &SshAddress) -> (Vec<Algorithm>, Vec<Algorithm>) {
        let Self::Files(files) = self else { return (TYPES.to_vec(), Vec::new()) };
        let name = address.known_as();
        let about = About::find(files, &name, address.host());
        let keys = if about.keys().next().is_some() { about.exact } else { about.bare };
        let is_known = |algorithm: &Algorithm| {
            let wire = match algorithm {
                Algorithm::Rsa { .. } => "ssh-rsa",
                other => other.as_str(),
            };
            keys.iter().any(|found| found.entry.marker == Marker::None && *found.entry.key_type == *wire)
        };
        let (mut types, others): (Vec<_>, Vec<_>) = TYPES.into_iter().partition(is_known);
        types.extend(others);
        let about = About::find(files, &name, address.host());
        let certified = about.all().any(|found| found.entry.marker == Marker::CertAuthority);
        (types, if certified { TYPES.to_vec() } else { Vec::new() })
    }

    /// Judges what the host at an address showed, at a time in seconds since 1970.
    pub(super) fn judge(&self, address: &SshAddress, shown: &Shown, now: u64) -> Result<Verdict, HostKey> {
        match self {
            Self::Pinned(pin) if shown.fingerprint() == *pin => Ok(Verdict::Right),
            Self::Pinned(pin) => Err(shown.refused(HostKeyKind::Changed, words::not_the_pin(shown, pin))),
            Self::Files(files) => judge(files, address, shown, now),
        }
    }
}

fn judge(files: &[Arc<File>], address: &SshAddress, shown: &Shown, now: u64) -> Result<Verdict, HostKey> {
    // It might revoke the key.
    if let Some((file, unread)) = files.iter().find_map(|file| Some((file, file.content.as_ref().err()?))) {
        return Err(shown.refused(HostKeyKind::Unreadable, words::unreadable(shown, file, unread)));
    }
    let name = address.known_as();
    let about = About::find(files, &name, address.host());
    let authority = shown.authority();
    let is_shown = |found: &Found<'_>| *found.entry.key == *shown.key;
    let is_authority = |found: &Found<'_>| authority.as_deref().is_some_and(|authority| *found.entry.key == *authority);

    let revoked = |found: &Found<'_>| found.entry.marker == Marker::Revoked && (is_shown(found) || is_authority(found));
    if let Some(found) = about.all().find(revoked) {
        return Err(shown.refused(HostKeyKind::Revoked, words::revoked(shown, &found)));
    }
    let trusted = about.all().find(|found| found.entry.marker == Marker::CertAuthority && is_authority(found));
    if let (Some(certificate), Some(found)) = (&shown.certificate, trusted) {
        return match certified(certificate, address.host(), now) {
            Ok(()) => Ok(Verdict::Right),
            Err(wrong) => Err(shown.refused(HostKeyKind::Certificate, words::bad_certificate(shown, &found, &wrong))),
        };
    }
    let known = |list: &[Found<'_>]| list.iter().any(|found| found.entry.marker == Marker::None && is_shown(found));
    if known(&about.exact) || (about.keys().next().is_none() && known(&about.bare)) {
        return Ok(Verdict::Right);
    }
    // Of several, the one of the same type says it most clearly.
    let same_type = about.keys().find(|found| *found.entry.key_type == *shown.key_type);
    if let Some(found) = same_type.or_else(|| about.keys().next()) {
        return Err(shown.refused(HostKeyKind::Changed, words::changed(shown, &found, &name)));
    }
    if let Some(found) = about.exact.iter().find(|found| found.entry.marker == Marker::CertAuthority) {
        return Err(shown.refused(HostKeyKind::Changed, words::not_certified(shown, found)));
    }
    Ok(Verdict::New(shown.refused(HostKeyKind::Unknown, words::unknown(shown, files, &name))))
}

/// Whether a certificate makes its key that of a host now; its authority is known to be trusted.
fn certified(certificate: &Certificate, host: &str, now: u64) -> Result<(), String> {
    if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
        return Err("it is signed by an outdated algorithm; sign it with ssh-keygen -t rsa-sha2-512".to_owned());
    }
    // First the signature alone, at a time when the certificate says it is valid: else its words are anybody's.
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    if certificate.validate_at(certificate.valid_after(), [&authority]).is_err() {
        return Err("its signature is wrong".to_owned());
    }
    if certificate.cert_type() != CertType::Host {
        return Err("it is one for users, not for hosts".to_owned());
    }
    if now < certificate.valid_after() {
        return Err("it is not valid yet; compare the clocks".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("it has run out; sign the host's key again".to_owned());
    }
    // One that names no host is refused: whoever signed it did not say what for.
    let principals = certificate.valid_principals();
    if !principals.iter().any(|principal| known_hosts::is_like(host, &principal.to_ascii_lowercase())) {
        return Err(words::principals(principals, host));
    }
    if certificate.critical_options().iter().next().is_some() {
        return Err("it has critical options, and none is known for hosts".to_owned());
    }
    Ok(())
}

impl<'k> About<'k> {
    fn find(files: &'k [Arc<File>], name: &'k str, host: &'k str) -> Self {
        let entries = |name: &'k str| {
            let in_file = |file: &'k Arc<File>| {
                let known = file.content.as_ref().ok();
                known.into_iter().flat_map(|known| known.about(name)).map(|entry| Found { file: file.as_ref(), entry })
            };
            files.iter().flat_map(in_file).collect()
        };
        Self { exact: entries(name), bare: if name == host { Vec::new() } else { entries(host) } }
    }

    fn all(&self) -> impl Iterator<Item = Found<'k>> {
        self.exact.iter().chain(&self.bare).copied()
    }

    /// The host's own keys under the very name.
    fn keys(&self) -> impl Iterator<Item = Found<'k>> {
        self.exact.iter().filter(|found| found.entry.marker == Marker::None).copied()
    }
}

impl Shown {
    /// `None` where the key cannot be written down again, which no key that was read is.
    pub(super) fn new(shown: &PublicKeyOrCertificate) -> Option<Self> {
        let key = shown.public_key();
        let key_type = match key.algorithm() {
            Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
            other => other.as_str().to_owned(),
        };
        Some(Self { key: key.to_bytes().ok()?, key_type, certificate: shown.certificate().cloned() })
    }

    /// The key in its wire form, to write it down.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// As `ssh-keygen -l` prints it.
    pub(super) fn fingerprint(&self) -> SshFingerprint {
        SshFingerprint(Sha256::digest(&self.key).into())
    }

    /// The key that signed the certificate.
    fn authority(&self) -> Option<Vec<u8>> {
        let key = self.certificate.as_ref()?.signature_key().clone();
        russh::keys::PublicKey::from(key).to_bytes().ok()
    }

    fn refused(&self, kind: HostKeyKind, message: String) -> HostKey {
        HostKey { kind, fingerprint: self.fingerprint(), message }
    }
}

#[cfg(test)]
mod tests;
