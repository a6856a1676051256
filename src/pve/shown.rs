//! The certificates that the addresses of a cluster show us, noted as answers come: what a browser meets, also where a
//! proxy stands before the nodes, and whatever lies in the nodes' files.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::tls::TlsInfo;

use super::certificate;

/// A certificate that was shown when it was last answered there; it was trusted as the configuration wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownAt {
    /// The address of the configuration, such as `https://192.0.2.11:8006`.
    pub address: String,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: f64,
}

/// By address, of which the configuration has a few.
#[derive(Default)]
pub(super) struct ShownCertificates(Mutex<BTreeMap<String, Read>>);

struct Read {
    /// As it came.
    der: Vec<u8>,
    /// If it can be read.
    not_after: Option<f64>,
}

impl ShownCertificates {
    /// Notes what a connection knows. A certificate is read once, not with each answer.
    pub(super) fn note(&self, address: &str, connection: Option<&TlsInfo>) {
        let Some(der) = connection.and_then(TlsInfo::peer_certificate) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(address) {
            Some(before) if before.der == der => {}
            _ => {
                known.insert(address.to_owned(), Read { der: der.to_vec(), not_after: end(der) });
            }
        }
    }

    /// All of them, by address.
    pub(super) fn all(&self) -> Vec<ShownAt> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown =
            |(address, read): (&String, &Read)| Some(ShownAt { address: address.clone(), not_after: read.not_after? });
        known.iter().filter_map(shown).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "dates of certificates are far below 2^53")]
fn end(der: &[u8]) -> Option<f64> {
    certificate::shown(der).details.map(|details| details.not_after as f64)
}
