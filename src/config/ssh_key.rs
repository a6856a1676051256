//! A private key for SSH, from a file of `ssh-keygen`.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey};

use super::Secret;
use crate::ids::SshFingerprint;

/// A private key, ready to sign with; hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SshKey {
    path: PathBuf,
    key: Arc<PrivateKey>,
}

impl SshKey {
    /// Reads the content of a key file in OpenSSH's format: Ed25519, ECDSA or RSA. `path` is its name in messages.
    ///
    /// The error says what was found instead and what to do; it quotes nothing of the file.
    pub fn decode(path: &Path, content: &[u8], passphrase: Option<&Secret>) -> Result<Self, String> {
        let shown = path.display();
        let Ok(text) = std::str::from_utf8(content) else {
            return Err("other bytes than text".to_owned());
        };
        if !text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            return Err(instead(text, &shown.to_string()));
        }
        let key = PrivateKey::from_openssh(text.trim_start())
            .map_err(|_| "a damaged one: cut off, or with other lines in it".to_owned())?;
        let key = match (key.is_encrypted(), passphrase) {
            (false, _) => key,
            (true, None) => return Err("an encrypted one; name its passphrase with key_passphrase_file".to_owned()),
            (true, Some(passphrase)) => key
                .decrypt(passphrase.expose())
                .map_err(|_| "an encrypted one, and the passphrase is not its own".to_owned())?,
        };
        match key.key_data() {
            KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) | KeypairData::Rsa(_) => {}
            _ => return Err(format!("a {} key, which cannot be used unattended or is outdated", key.algorithm())),
        }
        Ok(Self { path: path.to_owned(), key: Arc::new(key) })
    }

    /// Who else may do something with a key file, if anyone. As with other secrets its group may read it: the service
    /// does so where the file is root's. A key that the group may write is anybody's in the group.
    pub fn open_to_others(path: &Path) -> Option<String> {
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
        let path = path.display();
        (mode & 0o027 != 0).then(|| {
            format!(
                "{path} holds a private key and is open to other users (mode {mode:04o}); run: chmod g-w,o-rwx {path}"
            )
        })
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key itself, for the one place that signs.
    pub fn expose(&self) -> &Arc<PrivateKey> {
        &self.key
    }

    /// The fingerprint of its public half, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> Option<SshFingerprint> {
        self.key.fingerprint(HashAlg::Sha256).sha256().map(SshFingerprint)
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[private key in {}]", self.path.display())
    }
}

/// What a file holds that is no key in OpenSSH's format.
fn instead(text: &str, path: &str) -> String {
    let words = text.trim_start();
    if words.is_empty() {
        "an empty file".to_owned()
    } else if words.starts_with("-----BEGIN ") && words.contains("PRIVATE KEY-----") {
        format!("one in an older format; convert it: ssh-keygen -p -f {path}")
    } else if words.starts_with("PuTTY-User-Key-File") {
        format!("one of PuTTY; convert it: puttygen {path} -O private-openssh -o id")
    } else if words.starts_with("ssh-") || words.starts_with("ecdsa-") {
        "a public key; name the file without .pub".to_owned()
    } else {
        "none; it starts with -----BEGIN OPENSSH PRIVATE KEY-----".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use russh::keys::key::safe_rng;
    use russh::keys::ssh_key::LineEnding;
    use russh::keys::{Algorithm, EcdsaCurve};

    use super::*;

    fn written(key: &PrivateKey) -> String {
        key.to_openssh(LineEnding::LF).unwrap().to_string()
    }

    fn decode(text: &str, passphrase: Option<&str>) -> Result<SshKey, String> {
        let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
        SshKey::decode(Path::new("/etc/x/id"), text.as_bytes(), passphrase.as_ref())
    }

    #[test]
    fn keys_of_all_kinds_are_read_and_never_printed() {
        for algorithm in [Algorithm::Ed25519, Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }] {
            let key = PrivateKey::random(&mut safe_rng(), algorithm).unwrap();
            let read = decode(&written(&key), None).unwrap();
            assert_eq!(read.expose().public_key().key_data(), key.public_key().key_data());
            assert_eq!(format!("{read:?}"), "[private key in /etc/x/id]");
            assert_eq!(
                read.fingerprint().unwrap().to_string(),
                key.public_key().fingerprint(HashAlg::Sha256).to_string()
            );
        }
    }

    #[test]
    fn an_encrypted_key_needs_its_own_passphrase() {
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        let text = written(&key.encrypt(&mut safe_rng(), "correct horse").unwrap());
        assert!(decode(&text, Some("correct horse")).is_ok());
        let wrong = decode(&text, Some("battery staple")).unwrap_err();
        assert!(wrong.contains("not its own") && !wrong.contains("battery"), "{wrong}");
        assert!(decode(&text, None).unwrap_err().contains("key_passphrase_file"));
        assert!(decode(&written(&key), Some("needless")).is_ok());
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        let half = written(&key);
        for (text, wrong) in [
            ("", "an empty file"),
            ("hello", "none"),
            ("ssh-ed25519 AAAA root@pve1", "a public key"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", "ssh-keygen -p -f /etc/x/id"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", "puttygen"),
            (&half[..half.len() / 2], "damaged"),
        ] {
            let message = decode(text, None).unwrap_err();
            assert!(message.contains(wrong), "{message}");
        }
        assert!(SshKey::decode(Path::new("x"), &[0xff], None).unwrap_err().contains("other bytes"));
    }

    #[test]
    fn only_a_file_that_others_reach_draws_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        fs::write(&path, "x").unwrap();
        let modes = [(0o600, false), (0o400, false), (0o640, false), (0o660, true), (0o604, true), (0o602, true)];
        for (mode, open) in modes {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let warning = SshKey::open_to_others(&path);
            assert_eq!(warning.is_some(), open, "{mode:o}");
            // What is advised leaves the group its right to read.
            assert!(warning.is_none_or(|warning| warning.contains("run: chmod g-w,o-rwx ")), "{mode:o}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, body in "[A-Za-z0-9+/=\n]{0,200}") {
            let _ = SshKey::decode(Path::new("x"), &bytes, None);
            let text = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
            let _ = decode(&text, None);
        }
    }
}
