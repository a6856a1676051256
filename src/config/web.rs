//! `[web]`: our own listeners, and who may come in.

use std::collections::BTreeMap;
use std::str::FromStr;

use bcrypt::HashParts;
use toml::de::DeValue;

use super::check::Context;
use super::fault::{At, Report};
use super::reader::{Reader, wrong_type};
use super::{Secret, Web, WebTls, files, identity, listen, words};

/// The highest cost of a password hash that is taken: each step doubles the time of a check, and 16 takes seconds.
const HIGHEST_COST: u32 = 16;

/// The lowest cost that bcrypt knows.
const LOWEST_COST: u32 = 4;

/// `[web]`, as typed.
#[derive(Default)]
pub(super) struct RawWeb<'t> {
    listen_addresses: Option<At<Vec<At<&'t str>>>>,
    tls: Option<RawWebTls<'t>>,
    /// Names and hashes; each place is that of the name.
    basic_auth_users: Vec<(&'t str, At<&'t str>)>,
    enable_lifecycle: bool,
}

/// `tls` of `[web]` and `[control]`: paths.
pub(super) struct RawWebTls<'t> {
    cert_file: Option<At<&'t str>>,
    key_file: Option<At<&'t str>>,
    client_ca_file: Option<At<&'t str>>,
}

/// Reads the table; faults of shape are reported.
pub(super) fn read<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawWeb<'t> {
    let listen_addresses = table.strings("listen_addresses", r#"["[::]:9221"]"#, report);
    let tls = table.table("tls", report).map(|tls| read_tls(tls, report));
    let users = table.table("basic_auth_users", report).map(|users| read_users(users, report));
    let enable_lifecycle = table.boolean("enable_lifecycle", report).is_some_and(|found| found.value);
    table.close(report);
    RawWeb { listen_addresses, tls, basic_auth_users: users.unwrap_or_default(), enable_lifecycle }
}

pub(super) fn read_tls<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawWebTls<'t> {
    table.require("cert_file", "the path of a PEM file with the server's certificate", report);
    let cert_file = table.string("cert_file", "the path of a PEM file", report);
    table.require("key_file", "the path of a PEM file with the key of the certificate", report);
    let key_file = table.string("key_file", "the path of a PEM file", report);
    let client_ca_file = table.string("client_ca_file", "the path of a PEM file", report);
    table.close(report);
    RawWebTls { cert_file, key_file, client_ca_file }
}

fn read_users<'t>(table: Reader<'t, '_>, report: &mut Report<'_>) -> Vec<(&'t str, At<&'t str>)> {
    let place = table.place().clone();
    let mut found = Vec::new();
    let mut count = 0;
    for (name, entry) in table.entries() {
        count += 1;
        match entry.value {
            DeValue::String(text) => found.push((name, At { place: entry.place, value: text.as_ref() })),
            other => wrong_type(&entry.place, "a bcrypt hash, in quotes", other, report).unwrap_or_default(),
        }
    }
    // Somebody meant to lock the door.
    if count == 0 {
        report.fault(&place, "expected at least one name with a bcrypt hash, found none");
    }
    found
}

/// Checks the table. `None` only after a fault was reported.
pub(super) fn web(raw: &RawWeb<'_>, context: &mut Context<'_>) -> Option<Web> {
    let listen_addresses = listen::addresses(raw.listen_addresses.as_ref(), &mut context.report);
    let tls = match &raw.tls {
        None => None,
        Some(raw) => Some(tls(raw, context)?),
    };
    let users = raw.basic_auth_users.iter().map(|(name, hash)| user(name, hash, &mut context.report));
    let users: Vec<Option<(String, Secret)>> = users.collect();
    let basic_auth_users = users.into_iter().collect::<Option<BTreeMap<String, Secret>>>()?;
    if let Some((_, first)) = raw.basic_auth_users.first()
        && tls.is_none()
        && listen_addresses.iter().any(|address| !address.ip().is_loopback())
    {
        let message = "passwords cross the network unencrypted: set tls, or listen on 127.0.0.1 behind a proxy";
        context.report.warn(&first.place, message);
    }
    Some(Web { listen_addresses, tls, basic_auth_users, enable_lifecycle: raw.enable_lifecycle })
}

/// Checks the files. `None` only after a fault was reported.
pub(super) fn tls(raw: &RawWebTls<'_>, context: &mut Context<'_>) -> Option<WebTls> {
    let mut path = |found: &Option<At<&str>>| {
        let found = found.as_ref()?;
        if found.value.is_empty() {
            context.report.fault(&found.place, "expected the path of a PEM file, found an empty text");
            return None;
        }
        Some(files::resolve(context.file, found.value))
    };
    let (cert_file, key_file, client_ca_file) = (path(&raw.cert_file), path(&raw.key_file), path(&raw.client_ca_file));
    let mut place = |found: &Option<At<&str>>, message: String| {
        if let Some(found) = found {
            context.report.fault(&found.place, message);
        }
    };
    let chain = cert_file
        .as_deref()
        .and_then(|file| identity::chain(file).map_err(|message| place(&raw.cert_file, message)).ok());
    let key =
        key_file.as_deref().and_then(|file| identity::key(file).map_err(|message| place(&raw.key_file, message)).ok());
    let clients = client_ca_file
        .as_deref()
        .is_none_or(|file| identity::clients(file).map_err(|message| place(&raw.client_ca_file, message)).is_ok());
    let (cert_file, key_file, chain, key) = (cert_file?, key_file?, chain?, key?);
    let open_mode = key.open_mode;
    let tls = WebTls { cert_file, key_file, client_ca_file };
    if let Err(message) = tls.certified(chain, key.key) {
        place(&raw.key_file, message);
        return None;
    }
    if let (Some(mode), Some(found)) = (open_mode, &raw.key_file) {
        context.report.warn(&found.place, files::open_to_others(&tls.key_file, mode));
    }
    // What was left out is fine, what was reported is not.
    (clients && raw.client_ca_file.is_some() == tls.client_ca_file.is_some()).then_some(tls)
}

fn user(name: &str, hash: &At<&str>, report: &mut Report<'_>) -> Option<(String, Secret)> {
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
        report.fault(&hash.place, "expected a user's name without colons and control characters, found another one");
        return None;
    }
    if let Err(wrong) = check_hash(hash.value) {
        report.fault(&hash.place, format!("expected a bcrypt hash such as \"$2b$10$…\", found {wrong}"));
        return None;
    }
    Some((name.to_owned(), Secret::new(hash.value.to_owned())))
}

/// Whether a text is a bcrypt hash of bearable cost; the error says what it is without quoting it.
fn check_hash(text: &str) -> Result<(), String> {
    const ADVICE: &str = "make one: htpasswd -nBC 10 \"\" | tr -d ':\\n'";
    if text.contains(":$2") {
        return Err("the user's name in front of it; keep only what follows the colon".to_owned());
    }
    let of_a_kind = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
    if !of_a_kind {
        return Err(format!("something else (not shown); {ADVICE}"));
    }
    let parts = HashParts::from_str(text).map_err(|_| format!("one that is cut off or changed; {ADVICE}"))?;
    match parts.get_cost() {
        LOWEST_COST..=HIGHEST_COST if !text.contains('+') => Ok(()),
        cost if cost > HIGHEST_COST => Err(format!(
            "one of cost {cost}, with which a single request would take ten seconds or more; \
             the highest is {HIGHEST_COST}, the usual 10"
        )),
        _ => Err(format!("one of a cost that bcrypt does not know; {ADVICE}")),
    }
}

/// For the summary: what guards the listeners.
pub(super) fn guards(web: &Web) -> String {
    let mut guards = Vec::new();
    match &web.tls {
        Some(WebTls { client_ca_file: Some(_), .. }) => guards.push("TLS with client certificates".to_owned()),
        Some(_) => guards.push("TLS".to_owned()),
        None => {}
    }
    match web.basic_auth_users.len() {
        0 => {}
        1 => guards.push("1 user".to_owned()),
        count => guards.push(format!("{count} users")),
    }
    let guards: Vec<&str> = guards.iter().map(String::as_str).collect();
    if guards.is_empty() { String::new() } else { format!(" ({})", words::list(&guards, "and")) }
}

#[cfg(test)]
mod tests {
    use super::super::example::identity;
    use super::super::tests::{HASH as GOOD, cluster, collectors, environment, write};
    use super::super::{Env, Loaded, load};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_front_door_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, (certificate, key)) = (folder.path().join("config.toml"), identity());
        write(&folder.path().join("web.pem"), &certificate, 0o644);
        write(&folder.path().join("web.key"), &key, 0o600);
        let load = |web: &str| {
            write(&path, &format!("[web]\n{web}\n{}", cluster("token_secret_env = \"PVE_TOKEN\"")), 0o600);
            load(&path, &Env::new(&environment), &collectors()).unwrap()
        };
        let users = format!("basic_auth_users = {{ prometheus = \"{GOOD}\", \"a b\" = \"{GOOD}\" }}");
        let tls = "tls = { cert_file = \"web.pem\", key_file = \"web.key\", client_ca_file = \"web.pem\" }";

        let Loaded { config, warnings } = load(&format!("{users}\n{tls}\nenable_lifecycle = true"));
        let file = |name: &str| folder.path().join(name);
        let client_ca_file = Some(file("web.pem"));
        assert_eq!(
            config.web.tls,
            Some(WebTls { cert_file: file("web.pem"), key_file: file("web.key"), client_ca_file })
        );
        let users_read: Vec<_> =
            config.web.basic_auth_users.iter().map(|(name, hash)| (&**name, hash.expose())).collect();
        assert_eq!(users_read, [("a b", GOOD), ("prometheus", GOOD)]);
        assert!(config.web.enable_lifecycle && warnings.is_empty(), "{warnings:?}");
        assert!(config.summary().contains("\nlistening on [::]:9221 (TLS with client certificates and 2 users)\n"));

        let Loaded { config, warnings } = load("");
        assert!(config.web.tls.is_none() && config.web.basic_auth_users.is_empty() && !config.web.enable_lifecycle);
        assert!(warnings.is_empty());
        let warnings = load(&users).warnings;
        assert!(matches!(warnings.as_slice(), [only] if only.contains("passwords cross the network")), "{warnings:?}");
        assert!(load(&format!("{users}\nlisten_addresses = [\"[::1]:1\", \"localhost:1\"]")).warnings.is_empty());
        write(&file("web.key"), &key, 0o644);
        let warnings = load(tls).warnings;
        assert!(
            matches!(warnings.as_slice(), [only] if only.contains("(mode 0644); run: chmod o-rwx")),
            "{warnings:?}"
        );
    }

    #[test]
    fn hashes_of_the_usual_kinds_pass() {
        for kind in ["$2a$", "$2b$", "$2y$"] {
            for cost in ["04", "10", "16"] {
                let hash = GOOD.replacen("$2b$10", &format!("{}{cost}", kind), 1);
                assert_eq!(check_hash(&hash), Ok(()), "{hash}");
            }
        }
    }

    #[test]
    fn other_texts_are_named_and_not_shown() {
        for (text, wrong) in [
            ("hunter2", "something else"),
            ("", "something else"),
            ("$apr1$hunter2", "something else"),
            (&GOOD.replacen("2b", "2x", 1), "something else"),
            (&format!("prometheus:{GOOD}"), "the user's name in front"),
            (&GOOD[..59], "cut off"),
            (&format!("{GOOD}x"), "cut off"),
            (&GOOD.replacen("abc", "a!c", 1), "cut off"),
            (&GOOD.replacen("$10$", "$+9$", 1), "does not know"),
            (&GOOD.replacen("$10$", "$03$", 1), "does not know"),
            (&GOOD.replacen("$10$", "$17$", 1), "cost 17"),
            (&GOOD.replacen("$10$", "$31$", 1), "cost 31"),
        ] {
            let message = check_hash(text).unwrap_err();
            assert!(message.contains(wrong) && !message.contains("hunter2"), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "\\$2[aby]\\$[0-9+é]{2}\\$[./A-Za-z0-9é]{50,54}") {
            let _ = (check_hash(&text), check_hash(&close));
        }
    }
}
