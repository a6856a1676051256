//! What a key that nobody asked for may have meant.

use super::words;

/// Keys that people put into the wrong table, and where they belong.
const HOMES: &[(&str, &str)] = &[
    ("listen_addresses", "[web]"),
    ("basic_auth_users", "[web]"),
    ("enable_lifecycle", "[web]"),
    ("cert_file", "tls of [web]"),
    ("client_ca_file", "tls of [web]"),
    ("timeout", "[scrape]"),
    ("margin", "[scrape]"),
    ("max_age", "[scrape]"),
    ("max_body", "[scrape]"),
    ("endpoints", "[[clusters]]"),
    ("modules", "[[clusters]]"),
    ("node_addresses", "[[clusters]]"),
    ("token_id", "[[clusters]]"),
    ("token_secret", "[[clusters]]"),
    ("username", "[[clusters]]"),
    ("password", "[[clusters]]"),
    ("ca_file", "tls of [[clusters]]"),
    ("fingerprints", "tls of [[clusters]]"),
    ("insecure_skip_verify", "tls of [[clusters]]"),
    ("hostname", "[[hosts]]"),
    ("ssh_user", "[[hosts]]"),
    ("services", "[[hosts]]"),
    ("key_file", "[ssh], ssh of [[clusters]] or tls of [web]"),
    ("interval", "[discovery] or [events]"),
    ("prefer", "[discovery]"),
    ("address_info", "[discovery]"),
    ("known_hosts_file", "[ssh] or ssh of [[clusters]]"),
    ("alertmanagers", "[events]"),
    ("hold", "[events]"),
    ("resend", "[events]"),
    ("lookback", "[events]"),
    ("tokens", "[control]"),
    ("sha256", "tokens of [control]"),
    ("scopes", "tokens of [control]"),
    ("allow_plaintext", "[control]"),
    ("audit_file", "[control]"),
];

/// Keys by another name, one that is known where they are meant, and what to write instead: the words of prometheus-pve-exporter,
/// and each key of ours that was renamed, for one major version.
const NAMES: &[(&str, &str, &str)] = &[
    ("host", "endpoints", "endpoints = [\"https://HOST:8006\"]"),
    ("target", "endpoints", "endpoints = [\"https://TARGET:8006\"]"),
    ("user", "username", "username, or with a token token_id = \"USER!NAME\""),
    ("token_name", "token_id", "token_id = \"USER!NAME\""),
    ("token_value", "token_secret", "token_secret, or better token_secret_file"),
    ("verify_ssl", "tls", "tls = { ca_file = \"…\" }, fingerprints or insecure_skip_verify"),
];

/// What to do about an unknown key, beside `known` ones.
pub(super) fn advice(key: &str, known: &[&str]) -> String {
    if let Some((_, home)) = HOMES.iter().find(|(name, _)| *name == key) {
        return format!("{key} belongs under {home}");
    }
    if let Some((.., here)) = NAMES.iter().find(|(name, near, _)| *name == key && known.contains(near)) {
        return format!("its name here is {here}");
    }
    words::nearest(key, known)
        .map_or_else(|| format!("known here: {}", words::list(known, "and")), |near| format!("did you mean {near}?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLUSTER: [&str; 5] = ["endpoints", "token_id", "token_secret", "tls", "username"];

    #[test]
    fn an_unknown_key_gets_the_nearest_advice() {
        for (key, known, want) in [
            ("listen_addresses", &CLUSTER[..], "listen_addresses belongs under [web]"),
            (
                "verify_ssl",
                &CLUSTER,
                "its name here is tls = { ca_file = \"…\" }, fingerprints or insecure_skip_verify",
            ),
            ("token_name", &CLUSTER, "its name here is token_id = \"USER!NAME\""),
            ("verify_ssl", &["interval"], "known here: interval"),
            ("endpoint", &CLUSTER, "did you mean endpoints?"),
        ] {
            assert_eq!(advice(key, known), want, "{key}");
        }
    }

    proptest! {
        #[test]
        fn no_key_panics(key in any::<String>()) {
            prop_assert!(!advice(&key, &CLUSTER).is_empty());
        }
    }
}
