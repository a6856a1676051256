//! Keys of hosts and users, made when they are needed.

use std::io;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PrivateKey};

use super::SshCertificate;
use crate::ids::SshFingerprint;

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshKeyKind {
    /// `ssh-ed25519`.
    Ed25519,
    /// `ecdsa-sha2-nistp256`.
    Ecdsa,
}

/// A key with its public half.
#[derive(Clone)]
pub struct SshKeyPair(PrivateKey);

impl SshKeyPair {
    /// A new key.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(kind: SshKeyKind) -> io::Result<Self> {
        let algorithm = match kind {
            SshKeyKind::Ed25519 => Algorithm::Ed25519,
            SshKeyKind::Ecdsa => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        };
        PrivateKey::random(&mut safe_rng(), algorithm).map(Self).map_err(io::Error::other)
    }

    /// The content of a key file.
    ///
    /// # Errors
    /// When the key cannot be written.
    pub fn file(&self) -> io::Result<String> {
        self.0.to_openssh(LineEnding::LF).map(|text| text.to_string()).map_err(io::Error::other)
    }

    /// The public half, as in `authorized_keys`: type and base64.
    ///
    /// # Errors
    /// When the key cannot be written.
    pub fn public(&self) -> io::Result<String> {
        self.0.public_key().to_openssh().map_err(io::Error::other)
    }

    /// The fingerprint of the public half.
    pub fn fingerprint(&self) -> SshFingerprint {
        SshFingerprint(self.0.public_key().fingerprint(HashAlg::Sha256).sha256().unwrap_or_default())
    }

    pub(super) fn private(&self) -> &PrivateKey {
        &self.0
    }
}

pub(super) fn certify(key: &PrivateKey, wanted: &SshCertificate) -> russh::keys::ssh_key::Result<Certificate> {
    let (from, until) = (wanted.valid.start, wanted.valid.end);
    let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), key.public_key().clone(), from, until)?;
    builder.cert_type(CertType::Host)?;
    for name in &wanted.names {
        builder.valid_principal(name)?;
    }
    builder.sign(wanted.authority.private())
}
