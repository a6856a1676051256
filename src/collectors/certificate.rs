//! How long the certificates of each node are valid, and who signed them; and those that the cluster's endpoints show. Try:
//! `pvesh get /nodes/NODE/certificates/info`

use std::time::Duration;

use super::shared::{self, Column};
use super::{Ask, Asking, Collector, Lane, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Certificate, ShownAt};

const CALL: &str = "/nodes/{node}/certificates/info";

/// Any token may ask.
pub(super) const COLLECTOR: Collector = Collector {
    name: "certificate",
    about: "end, issuer and kind of every node's certificates, and the end of those that the endpoints show",
    needs: &[],
    calls: &[CALL],
    families: &[&NOT_AFTER, &INFO, &SHOWN],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_hours(1),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static NOT_AFTER: Desc = Desc {
    name: "pve_node_certificate_not_after_timestamp_seconds",
    help: "Until when the certificate of this file is valid, from /nodes/{node}/certificates/info.",
    kind: Kind::Gauge,
};
static INFO: Desc = Desc {
    name: "pve_node_certificate_info",
    help: "Subject, issuer and kind (cluster, self-signed, acme or other) of the certificate, from /nodes/{node}/certificates/info.",
    kind: Kind::Gauge,
};

static SHOWN: Desc = Desc {
    name: "pve_endpoint_certificate_not_after_timestamp_seconds",
    help: "Until when the certificate is valid that this address of the configuration showed when it last answered, from TLS itself.",
    kind: Kind::Gauge,
};

/// PVE's files; another one becomes `other`.
const FILES: &[&str] = &["pve-root-ca.pem", "pve-ssl.pem", "pveproxy-ssl.pem"];

/// How PVE calls the authority that it makes for a cluster.
const CLUSTER_AUTHORITY: &str = "PVE Cluster Manager CA";

/// Organisations that sign by ACME only. PVE does not tell how a certificate was ordered.
const ACME_AUTHORITIES: &[&str] =
    &["Let's Encrypt", "(STAGING) Let's Encrypt", "Google Trust Services", "ZeroSSL", "Buypass"];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let mut families = families(&shared::id(ask.subject()), pve::certificates(&answer)?);
        families.push(shown(&ask.inventory().client().shown_certificates()));
        Ok(families)
    })
}

/// What all of the cluster's addresses showed, told by each node alike and so once: which of them a node stands behind is
/// not known where there is a proxy between.
fn shown(certificates: &[ShownAt]) -> Family {
    let mut not_after = Column::new(&SHOWN);
    for ShownAt { address, not_after: end } in certificates {
        not_after.push(&Labels::new(&[("endpoint", address)]), Some(*end));
    }
    not_after.into_family()
}

fn families(id: &str, mut certificates: Vec<Certificate<'_>>) -> Vec<Family> {
    let [mut not_after, mut info] = [&NOT_AFTER, &INFO].map(Column::new);
    let end = |certificate: &Certificate<'_>| certificate.notafter.quantity().unwrap_or(f64::INFINITY);
    // Should several share a name, the one that ends first is of interest.
    certificates.sort_by(|a, b| file(a).cmp(file(b)).then(end(a).total_cmp(&end(b))));
    certificates.dedup_by(|later, first| file(later) == file(first));
    for certificate in &certificates {
        let file = file(certificate);
        not_after.push(&Labels::new(&[("id", id), ("file", file)]), certificate.notafter.quantity());
        info.push_info(Labels::new(&[
            ("id", id),
            ("file", file),
            ("kind", kind(certificate)),
            ("subject", certificate.subject.filled().unwrap_or_default()),
            ("issuer", certificate.issuer.filled().unwrap_or_default()),
        ]));
    }
    [not_after, info].map(Column::into_family).into()
}

fn file(certificate: &Certificate<'_>) -> &'static str {
    let name = certificate.filename.filled().unwrap_or_default();
    FILES.iter().find(|file| **file == name).copied().unwrap_or("other")
}

fn kind(certificate: &Certificate<'_>) -> &'static str {
    let Some(issuer) = certificate.issuer.filled() else { return "other" };
    if certificate.subject.filled() == Some(issuer) {
        return "self-signed";
    }
    // Such as /C=US/O=Let's Encrypt/CN=R11.
    match issuer.split('/').find_map(|part| part.strip_prefix("O=")) {
        Some(CLUSTER_AUTHORITY) => "cluster",
        Some(organisation) if ACME_AUTHORITIES.iter().any(|known| organisation.starts_with(known)) => "acme",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        lines(&families("node/pve-lab", pve::certificates(answer).expect("certificates")))
    }

    #[test]
    fn the_recorded_certificates_are_the_clusters_own() {
        let authority =
            "/CN=Proxmox Virtual Environment/OU=bb42bbea-b810-4f4d-adf0-f7dfafb608bc/O=PVE Cluster Manager CA";
        let node = "/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN=pve-lab";
        assert_eq!(
            told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__certificates__info.json")),
            [
                "pve_node_certificate_not_after_timestamp_seconds{id=\"node/pve-lab\",file=\"pve-root-ca.pem\"} 2110480059".to_owned(),
                "pve_node_certificate_not_after_timestamp_seconds{id=\"node/pve-lab\",file=\"pve-ssl.pem\"} 1858192059".to_owned(),
                format!("pve_node_certificate_info{{id=\"node/pve-lab\",file=\"pve-root-ca.pem\",kind=\"self-signed\",subject=\"{authority}\",issuer=\"{authority}\"}} 1"),
                format!("pve_node_certificate_info{{id=\"node/pve-lab\",file=\"pve-ssl.pem\",kind=\"cluster\",subject=\"{node}\",issuer=\"{authority}\"}} 1"),
            ]
        );
    }

    #[test]
    fn what_endpoints_show_is_told_by_address() {
        let at = |address: &str, not_after| ShownAt { address: address.to_owned(), not_after };
        let family =
            shown(&[at("https://pve.example.com:8006", 1_858_192_059.0), at("https://[2001:db8::1]:8006", -1.0)]);
        check(&COLLECTOR, std::slice::from_ref(&family));
        assert_eq!(
            lines(&[family]),
            [
                "pve_endpoint_certificate_not_after_timestamp_seconds{endpoint=\"https://pve.example.com:8006\"} 1858192059",
                "pve_endpoint_certificate_not_after_timestamp_seconds{endpoint=\"https://[2001:db8::1]:8006\"} -1",
            ]
        );
    }

    #[test]
    fn who_signed_is_told_by_the_organisation() {
        let of = |subject: &str, issuer: &str| {
            let certificate =
                serde_json::json!({ "filename": "pveproxy-ssl.pem", "subject": subject, "issuer": issuer });
            let lines = told(&Answer::of(&serde_json::json!({ "data": [certificate] }).to_string()));
            assert_eq!(lines.len(), 1, "no end is told where there is none");
            lines[0].split("kind=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a kind").to_owned()
        };
        for (subject, issuer, kind) in [
            ("/CN=pve1.example.com", "/C=US/O=Let's Encrypt/CN=R11", "acme"),
            ("/CN=pve1.example.com", "/C=US/O=(STAGING) Let's Encrypt/CN=(STAGING) R10", "acme"),
            ("/CN=pve1.example.com", "/C=AT/O=ZeroSSL GmbH/CN=ZeroSSL ECC", "acme"),
            ("/CN=pve1.example.com", "/CN=pve1.example.com", "self-signed"),
            ("/CN=pve1.example.com", "/O=Example/CN=Let's Encrypt", "other"),
            ("/CN=pve1.example.com", "", "other"),
            ("", "", "other"),
        ] {
            assert_eq!(of(subject, issuer), kind, "{subject} {issuer}");
        }
    }

    #[test]
    fn files_of_one_name_are_told_once_and_the_first_to_end_wins() {
        let body = r#"{"data":[{"filename":"new.pem","notafter":20},{"filename":"newer.pem","notafter":"10"},
            {"filename":"newest.pem"},{"notafter":5}]}"#;
        let lines = told(&Answer::of(body));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("file=\"other\"} 10"), "{lines:?}");
        assert_eq!(told(&Answer::of(r#"{"data":[]}"#)), Vec::<String>::new());
        assert!(pve::certificates(&Answer::of(r#"{"data":[{"notafter":5}]}"#)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["filename", "subject", "issuer", "notafter"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(certificates) = pve::certificates(&answer) {
                check(&COLLECTOR, &families("node/a", certificates));
            }
        }
    }
}
