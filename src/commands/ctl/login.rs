//! The token, from where it is kept, and whom to trust with it.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::commands::complain;
use crate::config::{self, Secret, files};
use crate::ids::is_bearer;

/// The variable that holds a token.
const TOKEN: &str = "PVE_SENTINEL_TOKEN";

/// The largest file of a token, and of authorities, that is read, in bytes.
const LARGEST_TOKEN: usize = 4096;
const LARGEST_PEM: usize = 1 << 20;

/// The header that curl is given may stand in the file, too.
const HEADER: &str = "authorization: bearer ";

/// The token in a file, or in the environment. Fails with a sentence without it.
pub(super) fn token(file: Option<&Path>, env: &config::Env<'_>) -> Result<Secret, String> {
    let (place, found) = match file {
        Some(path) => {
            let place = format!("--token-file {}", path.display());
            let content = files::read(path, LARGEST_TOKEN).map_err(|error| {
                let advice = files::advice(&error);
                format!("{place}: expected a token, found that the file cannot be read: {error}; {advice}")
            })?;
            if let Some(mode) = content.open_mode {
                complain(&format!("warning: {}", files::open_to_others(path, mode)));
            }
            (place, Secret::new(String::from_utf8_lossy(&content.bytes).into_owned()))
        }
        None => match env.get(TOKEN) {
            Some(text) if !text.is_empty() => (TOKEN.to_owned(), Secret::new(text)),
            _ => {
                return Err(format!(
                    "expected a token in --token-file FILE or in {TOKEN}, found neither; pve-sentinel hash-token makes one, and \
                     the line for the configuration"
                ));
            }
        },
    };
    read(found.expose()).map(Secret::new).ok_or_else(|| {
        format!("{place}: expected one token, as pve-sentinel hash-token prints it, found something else (not shown)")
    })
}

fn read(text: &str) -> Option<String> {
    let line = text.trim();
    let starts = line.get(..HEADER.len()).is_some_and(|start| start.eq_ignore_ascii_case(HEADER));
    let token = if starts { line.get(HEADER.len()..)?.trim() } else { line };
    is_bearer(token).then(|| token.to_owned())
}

/// Whom to trust: the authorities in a file, or those of the system. Fails with a sentence.
pub(super) fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let wrong = |why: &str| format!("--ca-file {}: expected certificates in PEM, found {why}", path.display());
            let content = files::read(path, LARGEST_PEM)
                .map_err(|error| wrong(&format!("that the file cannot be read: {error}; {}", files::advice(&error))))?;
            for der in CertificateDer::pem_slice_iter(&content.bytes) {
                let der = der.map_err(|error| wrong(&error.to_string()))?;
                roots.add(der).map_err(|error| wrong(&format!("one that cannot serve as an authority: {error}")))?;
            }
            if roots.is_empty() {
                return Err(wrong("none"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this system has no trusted certificate authorities: install the package ca-certificates, or name \
                            the authority of the server with --ca-file"
                        .to_owned(),
                );
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_come_from_a_file_or_the_environment_and_are_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let of = |text: &str| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            token(Some(&file), &config::Env::new(&|_| Some("pvs_other".to_owned())))
                .map(|token| token.expose().to_owned())
        };
        for text in ["pvs_abc\n", " pvs_abc", "Authorization: Bearer pvs_abc\n", "authorization: bearer pvs_abc"] {
            assert_eq!(of(text).as_deref(), Ok("pvs_abc"), "{text}");
        }
        for text in ["", "pvs_abc pvs_def", "pvs_abc\npvs_def", "pvs_é"] {
            let wrong = of(text).unwrap_err();
            assert!(wrong.contains("--token-file") && !wrong.contains("pvs_"), "{wrong}");
        }
        let env = |value: Option<&str>| token(None, &config::Env::new(&|_| value.map(str::to_owned)));
        assert_eq!(env(Some("pvs_abc")).unwrap().expose(), "pvs_abc");
        assert!(env(None).unwrap_err().contains("hash-token") && env(Some("")).is_err());
        let wrong = env(Some("pvs abc")).unwrap_err();
        assert!(wrong.contains(TOKEN) && !wrong.contains("pvs abc"), "{wrong}");
        assert!(token(Some(&folder.path().join("none")), &config::Env::new(&|_| None)).unwrap_err().contains("none"));
    }

    #[test]
    fn authorities_are_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(trust(Some(&file)).unwrap_err().contains("ca.pem"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "(?i)authorization: bearer .{0,9}") {
            for text in [text, close] {
                prop_assert!(read(&text).is_none_or(|token| is_bearer(&token)));
            }
        }
    }
}
