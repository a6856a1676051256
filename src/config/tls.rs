//! How an endpoint's certificate is verified.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Tls;
use super::check::Context;
use super::fault::At;
use super::raw::RawTls;
use super::{files, words};
use crate::ids::Fingerprint;

/// The largest file of certificates that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// Checks `tls` of the cluster `name`. `None` only after a fault was reported.
pub(super) fn tls(raw: &RawTls<'_>, name: &str, context: &mut Context<'_>) -> Option<Tls> {
    match raw {
        RawTls::Absent => Some(Tls::SystemRoots),
        RawTls::CaFile(found) => ca_file(found, context),
        RawTls::Fingerprints(list) => fingerprints(list, context),
        RawTls::Insecure(place) => {
            let name = words::shown(name);
            context.report.warn(
                place,
                format!(
                    "the certificates of cluster {name} are not verified: anyone on the way can read its token or password; \
                     use ca_file or fingerprints"
                ),
            );
            Some(Tls::Insecure)
        }
    }
}

/// Checks a file of authorities. `None` only after a fault was reported.
pub(super) fn ca_file(found: &At<&str>, context: &mut Context<'_>) -> Option<Tls> {
    if found.value.is_empty() {
        context.report.fault(&found.place, "expected the path of a PEM file, found an empty text");
        return None;
    }
    let path = files::resolve(context.file, found.value);
    let shown = words::path(&path);
    let content = match files::read(&path, LARGEST) {
        Ok(content) => content,
        Err(error) => {
            let advice = files::advice(&error);
            context.report.fault(
                &found.place,
                format!("expected a readable PEM file, found that {shown} cannot be read: {error}; {advice}"),
            );
            return None;
        }
    };
    match certificates(&content.bytes, &path) {
        Ok(()) => Some(Tls::CaFile { path, pem: content.bytes.to_vec() }),
        Err(wrong) => {
            context.report.fault(&found.place, format!("expected certificates in {shown}, found {wrong}"));
            None
        }
    }
}

/// Whether a PEM file holds at least one authority, and no private key; the error names what was found instead.
pub(super) fn certificates(pem: &[u8], path: &Path) -> Result<(), String> {
    if contains(pem, b"PRIVATE KEY-----") {
        return Err("a private key; name a copy that holds only certificates, the key belongs to the server".to_owned());
    }
    let mut roots = RootCertStore::empty();
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        count += 1;
        let certificate = certificate.map_err(|_| format!("that certificate {count} is cut off or no base64"))?;
        roots.add(certificate).map_err(|error| format!("that certificate {count} cannot be used: {error}"))?;
    }
    if count > 0 {
        return Ok(());
    }
    // DER starts with a sequence whose length takes two bytes.
    if pem.starts_with(&[0x30, 0x82]) {
        let path = path.display();
        return Err(format!("DER; convert it: openssl x509 -inform der -in {path} -out ca.pem"));
    }
    Err("none; a certificate starts with -----BEGIN CERTIFICATE-----".to_owned())
}

fn fingerprints(list: &At<Vec<At<&str>>>, context: &mut Context<'_>) -> Option<Tls> {
    let mut fingerprints = Vec::new();
    for found in &list.value {
        if let Some(fingerprint) = Fingerprint::parse(found.value) {
            fingerprints.push(fingerprint);
            continue;
        }
        let digits = found.value.chars().filter(char::is_ascii_hexdigit).count();
        let plain = found.value.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
        let found_text = if plain && digits == 40 {
            "a SHA-1 fingerprint (20 bytes); take the SHA-256 one: \
             openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem"
                .to_owned()
        } else if plain {
            format!("{digits} digits")
        } else {
            words::shown(found.value)
        };
        context.report.fault(
            &found.place,
            format!("expected a SHA-256 fingerprint, 64 hexadecimal digits such as \"AB:CD:…\", found {found_text}"),
        );
    }
    Some(Tls::Fingerprints(fingerprints))
}

/// Whether the bytes hold those of `needle`.
pub(super) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authority() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["pve1".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn only_files_of_usable_certificates_pass() {
        let (pem, key) = authority();
        let check = |text: &str| certificates(text.as_bytes(), Path::new("ca.pem"));
        assert_eq!(check(&pem), Ok(()));
        assert_eq!(check(&format!("a comment\n{pem}{pem}")), Ok(()));

        let cut = pem.split("-----END").next().unwrap();
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, wrong) in [
            (String::new(), "none"),
            (format!("{pem}{key}"), "a private key"),
            (cut.to_owned(), "certificate 1 is cut off"),
            (format!("{pem}{no_certificate}"), "certificate 2 cannot be used"),
        ] {
            let message = check(&text).unwrap_err();
            assert!(message.contains(wrong), "{message}");
            assert!(!message.contains("-----BEGIN PRIVATE"), "{message}");
        }
        assert!(certificates(&[0x30, 0x82, 1, 2], Path::new("ca.der")).unwrap_err().contains("-in ca.der"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{0,80}(-----END CERTIFICATE-----)?") {
            let _ = certificates(&bytes, Path::new("x"));
            let _ = certificates(text.as_bytes(), Path::new("x"));
        }
    }
}
