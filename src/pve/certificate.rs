//! What a refused certificate says of itself, so that an administrator can decide to trust it.

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::error::one_line;
use crate::ids::Fingerprint;

/// The names shown at most: a certificate may carry thousands.
const MOST_NAMES: usize = 12;

/// What a certificate says of itself; whether it is true is another question. Texts are one bounded line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// SHA-256.
    pub fingerprint: Fingerprint,
    /// What can be read in it; none: it is no X.509 certificate.
    pub details: Option<Details>,
}

/// What can be read in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Such as `CN=pve1.example.com`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names it is for, with blanks between them.
    pub names: String,
    /// Valid from, in seconds since 1970.
    pub not_before: i64,
    /// Valid until, in seconds since 1970.
    pub not_after: i64,
}

/// What a DER certificate says of itself.
pub(super) fn shown(der: &[u8]) -> Shown {
    let details = X509Certificate::from_der(der).ok().map(|(_, certificate)| Details {
        subject: one_line(&certificate.subject().to_string()),
        issuer: one_line(&certificate.issuer().to_string()),
        names: names(&certificate),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    });
    Shown { fingerprint: fingerprint(der), details }
}

/// The SHA-256 fingerprint of a DER certificate, as `pvenode cert info` prints it.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(der).into())
}

/// `subject "…", issuer "…", names …, valid … to …, SHA-256 fingerprint …`.
pub(super) fn describe(der: &[u8]) -> String {
    let fingerprint = fingerprint(der);
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return format!("an unreadable certificate, SHA-256 fingerprint {fingerprint}");
    };
    format!(
        "subject \"{}\", issuer \"{}\", names {}, valid {} to {}, SHA-256 fingerprint {fingerprint}",
        one_line(&certificate.subject().to_string()),
        one_line(&certificate.issuer().to_string()),
        names(&certificate),
        certificate.validity().not_before,
        certificate.validity().not_after,
    )
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let names: Vec<String> = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.iter().take(MOST_NAMES).filter_map(name).collect())
        .unwrap_or_default();
    if names.is_empty() { "(none)".to_owned() } else { names.join(" ") }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(one_line(name)),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(describe(&bytes).contains("SHA-256 fingerprint"));
        }
    }

    #[test]
    fn a_certificate_is_described_by_all_that_helps_to_decide() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["pve1".into(), "192.0.2.11".into(), "2001:db8::1".into()])
            .expect("valid names");
        params.distinguished_name.push(rcgen::DnType::CommonName, "pve1.example.com");
        let certificate = params.self_signed(&key).expect("a certificate");
        let text = describe(certificate.der());
        assert!(text.contains("CN=pve1.example.com"), "{text}");
        assert!(text.contains("names pve1 192.0.2.11 2001:db8::1"), "{text}");
        assert!(text.contains(&fingerprint(certificate.der()).to_string()), "{text}");
    }
}
