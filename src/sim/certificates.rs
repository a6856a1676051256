//! The simulated cluster's certificate authority and the certificates of its nodes, named as PVE names them.

use std::io;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, date_time_ymd};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::ids::Fingerprint;

/// What is right or wrong with an endpoint's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// Signed by the cluster's authority; names `127.0.0.1`, `::1`, `localhost` and the node.
    #[default]
    Good,
    /// Signed by the authority, but names only `elsewhere.invalid`.
    WrongName,
    /// Signed by the authority with the right names; ran out in the year 2001.
    Expired,
    /// The right names, signed by its own key.
    SelfSigned,
}

/// The certificate authority of one cluster; all its nodes share it (`pve-root-ca.pem`).
pub struct Authority {
    cluster: String,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A node's certificate with its key.
pub(super) struct Leaf {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) fingerprint: Fingerprint,
}

impl Authority {
    /// A new authority with a new key, for the cluster of this name.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(cluster: &str) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Proxmox Virtual Environment");
        params.distinguished_name.push(DnType::OrganizationalUnitName, cluster);
        params.distinguished_name.push(DnType::OrganizationName, "PVE Cluster Manager CA");
        let pem = params.self_signed(&key).map_err(io::Error::other)?.pem();
        Ok(Self { cluster: cluster.to_owned(), pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate, as a client's `ca_file` wants it.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a node, with a key of its own.
    pub(super) fn issue(&self, node: &str, kind: Certificate) -> io::Result<Leaf> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let full_name = format!("{node}.{}.invalid", self.cluster);
        let names = match kind {
            Certificate::WrongName => vec!["elsewhere.invalid".to_owned()],
            _ => ["127.0.0.1", "::1", "localhost", node, &full_name].map(str::to_owned).to_vec(),
        };
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, full_name);
        params.distinguished_name.push(DnType::OrganizationalUnitName, "PVE Cluster Node");
        params.distinguished_name.push(DnType::OrganizationName, "Proxmox Virtual Environment");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        if kind == Certificate::Expired {
            params.not_before = date_time_ymd(1999, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let certificate = match kind {
            Certificate::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let certificate = certificate.map_err(io::Error::other)?.der().clone();
        let fingerprint = Fingerprint(Sha256::digest(&certificate).into());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Leaf { certificate, key, fingerprint })
    }
}
