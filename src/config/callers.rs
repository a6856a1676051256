//! `[control]`: who may use the API, and what is kept of it; `control` of clusters: the acting credential.

use std::collections::HashSet;

use super::auth::RawAuth;
use super::check::Context;
use super::control_listen::{self, RawListen};
use super::credential::credential;
use super::fault::{At, Place, Report};
use super::raw::RawConfig;
use super::reader::Reader;
use super::{ApiToken, Control, Credential, Web, files, power, web, words};
use crate::ids::{GuestSelection, Scope, TokenHash, holds_token};

/// The longest name of a token, in bytes.
const LONGEST: usize = 64;

/// `[control]`, as typed.
#[derive(Default)]
pub(super) struct RawControl<'t> {
    tokens: Vec<RawToken<'t>>,
    allow_plaintext: Option<At<bool>>,
    audit_file: Option<At<&'t str>>,
    listen: RawListen<'t>,
}

/// One of `tokens`.
struct RawToken<'t> {
    name: Option<At<&'t str>>,
    sha256: Option<At<&'t str>>,
    scopes: Option<At<Vec<At<&'t str>>>>,
    guests: Option<At<Vec<At<&'t str>>>>,
}

/// Reads the table; faults of shape are reported.
pub(super) fn read<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawControl<'t> {
    let tokens = table.tables("tokens", report).into_iter().map(|token| read_token(token, report)).collect();
    let allow_plaintext = table.boolean("allow_plaintext", report);
    let audit_file = table.string("audit_file", "the path of a file", report);
    let addresses = table.strings("listen_addresses", r#"["unix:/run/pve-sentinel/control.sock"]"#, report);
    let tls = table.table("tls", report).map(|tls| (tls.place().clone(), web::read_tls(tls, report)));
    table.close(report);
    RawControl { tokens, allow_plaintext, audit_file, listen: RawListen { addresses, tls } }
}

fn read_token<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawToken<'t> {
    table.require("name", "a name, such as \"ops\"", report);
    table.require("sha256", "the SHA-256 of a token, as pve-sentinel hash-token prints it", report);
    table.require("scopes", r#"what the token allows, such as ["read"]"#, report);
    let token = RawToken {
        name: table.string("name", "a name such as \"ops\"", report),
        sha256: table.string("sha256", "64 hexadecimal digits", report),
        scopes: table.strings("scopes", r#"["read"]"#, report),
        guests: table.strings("guests", r#"["tag:dev", "100-199"]"#, report),
    };
    table.close(report);
    token
}

/// Checks the table. `None` only after a fault was reported.
pub(super) fn control(raw: &RawControl<'_>, web: Option<&Web>, context: &mut Context<'_>) -> Option<Control> {
    let report = &mut context.report;
    let mut before = Before::default();
    // Every token is checked, also after a bad one.
    let tokens: Vec<Option<ApiToken>> = raw.tokens.iter().map(|raw| token(raw, &mut before, report)).collect();
    if let (Some(name), Some(web)) = (raw.tokens.first().and_then(|token| token.name.as_ref()), web)
        && web.tls.is_none()
        && web.listen_addresses.iter().any(|address| !address.ip().is_loopback())
    {
        let message = "tokens cross the network unencrypted: set tls of [web], or listen on 127.0.0.1 behind a proxy";
        report.warn(&name.place, message);
    }
    let allow_plaintext = raw.allow_plaintext.as_ref().filter(|allowed| allowed.value);
    if let Some(allowed) = allow_plaintext {
        let message = "tokens that switch guests are taken over plain HTTP from other machines, where anybody on the way can \
                       read and use them";
        report.warn(&allowed.place, message);
    }
    let audit_file = match &raw.audit_file {
        Some(found) if found.value.is_empty() => {
            report.fault(&found.place, "expected the path of a file, found an empty text".to_owned());
            return None;
        }
        found => found.as_ref().map(|found| files::resolve(context.file, found.value)),
    };
    let allow_plaintext = allow_plaintext.is_some();
    let listening = control_listen::check(&raw.listen, (web, allow_plaintext), context);
    let tokens = tokens.into_iter().collect::<Option<_>>()?;
    let (listen_addresses, tls) = listening?;
    Some(Control { tokens, allow_plaintext, audit_file, listen_addresses, tls })
}

/// Checks the acting credential of a cluster. `None` only after a fault was reported.
pub(super) fn acting(
    place: &Place,
    raw: Option<&RawAuth<'_>>,
    reading: Option<&Credential>,
    context: &mut Context<'_>,
) -> Option<Credential> {
    let acting = credential(raw?, context)?;
    if reading.is_some_and(|reading| reading.identity() == acting.identity()) {
        let message = format!(
            "expected a credential of its own, found {} again; who reads must not be able to act",
            words::shown(acting.identity())
        );
        context.report.fault(place, message);
        return None;
    }
    Some(acting)
}

/// Where decisions are written down, if there are any. `None` only after a fault was reported.
pub(super) fn keeping(control: Control, raw: &RawConfig<'_>, acts: bool, context: &mut Context<'_>) -> Option<Control> {
    if !acts {
        return Some(control);
    }
    let Some(folder) = &raw.state_dir else {
        let place = power::first_place(raw)?;
        let message =
            "expected state_dir at the top, where actions are written down before they are asked for, found none";
        context.report.fault(place, message.to_owned());
        return None;
    };
    let default = files::resolve(context.file, folder.value).join("audit.log");
    Some(Control { audit_file: control.audit_file.or(Some(default)), ..control })
}

/// What other tokens have taken.
#[derive(Default)]
struct Before<'t> {
    names: HashSet<&'t str>,
    hashes: Vec<TokenHash>,
}

fn token<'t>(raw: &RawToken<'t>, before: &mut Before<'t>, report: &mut Report<'_>) -> Option<ApiToken> {
    let name = raw.name.as_ref().and_then(|found| {
        let wrong = match token_name(found.value) {
            Err(wrong) => wrong,
            Ok(()) if !before.names.insert(found.value) => {
                format!("expected a name of its own for each token, found {} again", words::shown(found.value))
            }
            Ok(()) => return Some(found.value.to_owned()),
        };
        report.fault(&found.place, wrong);
        None
    });
    let hash = raw.sha256.as_ref().and_then(|found| {
        let wrong = match TokenHash::parse(found.value) {
            None => no_hash(found.value),
            Some(hash) if before.hashes.contains(&hash) => {
                "expected a token of its own for each name, found the hash of another one again".to_owned()
            }
            Some(hash) => {
                before.hashes.push(hash);
                return Some(hash);
            }
        };
        report.fault(&found.place, wrong);
        None
    });
    let scopes = raw.scopes.as_ref().and_then(|found| scopes(&found.value, report));
    let guests = match &raw.guests {
        None => Some(None),
        Some(found) => guests(found, scopes.as_deref(), report).map(Some),
    };
    Some(ApiToken { name: name?, hash: hash?, scopes: scopes?, guests: guests? })
}

/// The guests that a token may switch; without the right to switch any, they would promise what does not hold.
fn guests(raw: &At<Vec<At<&str>>>, scopes: Option<&[Scope]>, report: &mut Report<'_>) -> Option<GuestSelection> {
    if scopes.is_some_and(|scopes| !scopes.contains(&Scope::Power)) {
        let message =
            "guests limits the scope power, which this token does not have; add the scope, or leave guests out";
        report.fault(&raw.place, message.to_owned());
        return None;
    }
    let mut wrong = raw.value.is_empty();
    for found in &raw.value {
        if let Err(message) = GuestSelection::parse([found.value]) {
            report.fault(&found.place, message);
            wrong = true;
        }
    }
    (!wrong).then(|| GuestSelection::parse(raw.value.iter().map(|found| found.value)).ok()).flatten()
}

/// Whether a text can be the name of a token, or what is wrong with it.
pub fn token_name(name: &str) -> Result<(), String> {
    let expected = "a name of letters, digits, \"-\", \"_\" and \".\", at most 64, such as \"ops\"";
    let is_name = (1..=LONGEST).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    // The name stands in each line of the log: a token that was pasted here would be told to all its readers.
    if is_name && !holds_token(name) {
        Ok(())
    } else {
        Err(format!("expected {expected}, found {}", words::shown(name)))
    }
}

/// What is said of a text that is no hash; never with the text, which may be a token.
fn no_hash(text: &str) -> String {
    let found = if holds_token(text) {
        "a token in clear; whoever could read this file knows it, so make a new one: pve-sentinel hash-token"
    } else if text.len() == 64 {
        "64 characters that are not all of them such digits; pve-sentinel hash-token prints a new token and its hash"
    } else {
        "another text (not shown); pve-sentinel hash-token prints a new token and its hash, with --stdin that of a token \
         that there is"
    };
    format!("expected the SHA-256 of a token, 64 hexadecimal digits, found {found}")
}

fn scopes(raw: &[At<&str>], report: &mut Report<'_>) -> Option<Vec<Scope>> {
    let mut scopes = Vec::new();
    let mut wrong = raw.is_empty();
    for found in raw {
        let message = match Scope::parse(found.value) {
            Some(scope) if !scopes.contains(&scope) => {
                scopes.push(scope);
                continue;
            }
            Some(_) => format!("expected each scope once, found {} again", words::shown(found.value)),
            None => {
                let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
                let known = words::list(&known, "and");
                format!("expected a scope, found {}; known: {known}", words::shown(found.value))
            }
        };
        report.fault(&found.place, message);
        wrong = true;
    }
    (!wrong).then_some(scopes)
}

#[cfg(test)]
mod tests {
    use super::super::example::{example, load_example};
    use super::super::tests::{SECRET, cluster, output, parsed};
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "pvs_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA";

    fn read(tokens: &str) -> Result<super::super::Loaded, super::super::LoadError> {
        parsed(&format!("{}\n[control]\ntokens = [{tokens}]\n", cluster("token_secret_env = \"PVE_TOKEN\"")))
    }

    fn entry(name: &str, sha256: &str, scopes: &str) -> String {
        format!("{{ name = \"{name}\", sha256 = \"{sha256}\", scopes = {scopes} }}")
    }

    #[test]
    fn tokens_are_known_by_their_hashes_only() {
        let (one, two) = (TokenHash::of(TOKEN), TokenHash::of("another"));
        let text =
            format!("{}, {}", entry("ops", &one.hex(), "[\"read\"]"), entry("b.2_c-d", &two.hex(), "[\"read\"]"));
        let loaded = read(&text).unwrap();
        let expected =
            |name: &str, hash| ApiToken { name: name.to_owned(), hash, scopes: vec![Scope::Read], guests: None };
        assert_eq!(loaded.config.control.tokens, [expected("ops", one), expected("b.2_c-d", two)]);
        assert!(loaded.config.summary().contains("tokens of the API: ops (read), b.2_c-d (read)"));
        assert!(loaded.warnings.len() == 1 && loaded.warnings[0].contains("control.tokens[0].name: tokens cross"));
        let said = output(&Ok(loaded));
        assert!(!said.contains(&one.hex()[..16]), "{said}");
    }

    #[test]
    fn a_token_in_the_wrong_place_is_not_repeated() {
        let hash = TokenHash::of(TOKEN).hex();
        let long = "x".repeat(64);
        for text in [
            entry("ops", TOKEN, "[\"read\"]"),
            entry("ops", &TOKEN[..20], "[\"read\"]"),
            entry("ops", SECRET, "[\"read\"]"),
            entry("ops", &long, "[\"read\"]"),
            entry(TOKEN, &hash, "[\"read\"]"),
            entry("ops", &hash, &format!("[\"{TOKEN}\"]")),
            entry("ops", &hash, "[\"read\"]").replace("name =", &format!("{TOKEN} = 1, name =")),
            entry("ops", &hash, "[\"read\"]").replace("name =", &format!("token = \"{TOKEN}\", name =")),
        ] {
            let result = read(&text);
            let said = output(&result);
            assert!(result.is_err() && said.contains("x.toml:"), "{text}");
            for secret in ["q83vEjRW", "5ec2e7ab", "xxxx"] {
                assert!(!said.contains(secret), "{text}\n{said}");
            }
        }
    }

    #[test]
    fn acting_tokens_are_limited_to_guests() {
        let hash = TokenHash::of(TOKEN).hex();
        let with = |scopes: &str, guests: &str| {
            read(&entry("ops", &hash, scopes).replace(" }", &format!(", guests = {guests} }}")))
        };
        let loaded = with("[\"read\", \"power\"]", "[\"tag:dev\", \"!150\"]").unwrap();
        let [token] = loaded.config.control.tokens.as_slice() else { panic!("no token") };
        assert_eq!(token.scopes, [Scope::Read, Scope::Power]);
        assert_eq!(token.guests, GuestSelection::parse(["tag:dev", "!150"]).ok());
        for (scopes, guests, words) in [
            ("[\"read\"]", "[\"tag:dev\"]", "tokens[0].guests: guests limits the scope power"),
            ("[\"power\"]", "[\"tag:dev\", \"tag:a b\"]", "tokens[0].guests[1]: expected a selector"),
            ("[\"power\"]", "[]", "guests: expected an array such as"),
        ] {
            let said = output(&with(scopes, guests));
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn who_acts_is_not_who_reads_and_needs_a_place_to_write() {
        let control = |state_dir: &str, control: &str| {
            parsed(&format!("{state_dir}\n{}control = {{ {control} }}\n", cluster("token_secret_env = \"PVE_TOKEN\"")))
        };
        let acting = "token_id = \"operator@pve!power\", token_secret_env = \"PVE_TOKEN\"";
        let loaded = control("state_dir = \"state\"", acting).unwrap();
        let config = &loaded.config;
        assert_eq!(config.clusters[0].control.as_ref().unwrap().identity(), "operator@pve!power");
        assert!(config.control.audit_file.as_ref().unwrap().ends_with("state/audit.log"));
        assert!(!config.control.allow_plaintext && !output(&Ok(loaded)).contains("5ec2e7ab"));
        let reading = "token_id = \"monitor@pve!prometheus\", token_secret_env = \"PVE_TOKEN\"";
        for (state_dir, text, words) in [
            ("", acting, "clusters[0].control: expected state_dir"),
            ("state_dir = \"state\"", reading, "clusters[0].control: expected a credential of its own"),
            ("state_dir = \"state\"", "token_id = \"a@b!c\"", "clusters[0].control: expected the token's secret"),
            ("state_dir = \"state\"", "dry_run = true", "clusters[0].control.dry_run: unknown key"),
        ] {
            let said = output(&control(state_dir, text));
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn the_example_shows_what_works() {
        let folder = tempfile::tempdir().unwrap();
        let text = example(folder.path());
        let changed = text.replace("#   [control]", "[control]").replace("#   tokens = ", "tokens = ");
        let loaded = load_example(&changed, folder.path()).unwrap();
        let [token] = loaded.config.control.tokens.as_slice() else { panic!("no token") };
        assert_eq!((token.name.as_str(), token.hash), ("ops", TokenHash::of("abc")));
        assert!(load_example(&text, folder.path()).unwrap().config.control.tokens.is_empty());
    }

    proptest! {
        #[test]
        fn no_name_leads_astray(name in "[a-zA-Z0-9_.é \n\"-]{0,70}|pvs_.{0,20}") {
            if token_name(&name).is_ok() {
                prop_assert!(!holds_token(&name) && name.len() <= 64 && !name.contains(['"', '\n', ' ', 'é']));
            }
        }
    }
}
