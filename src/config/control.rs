//! `[control]`: who may use the API.

use std::collections::HashSet;

use super::check::Context;
use super::fault::{At, Report};
use super::reader::Reader;
use super::{ApiToken, Control, Web, words};
use crate::ids::{Scope, TokenHash, holds_token};

/// The longest name of a token, in bytes.
const LONGEST: usize = 64;

/// `[control]`, as typed.
#[derive(Default)]
pub(super) struct RawControl<'t> {
    tokens: Vec<RawToken<'t>>,
}

/// One of `tokens`.
struct RawToken<'t> {
    name: Option<At<&'t str>>,
    sha256: Option<At<&'t str>>,
    scopes: Option<At<Vec<At<&'t str>>>>,
}

/// Reads the table; faults of shape are reported.
pub(super) fn read<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawControl<'t> {
    let tokens = table.tables("tokens", report).into_iter().map(|token| read_token(token, report)).collect();
    table.close(report);
    RawControl { tokens }
}

fn read_token<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawToken<'t> {
    table.require("name", "a name, such as \"ops\"", report);
    table.require("sha256", "the SHA-256 of a token, as pve-sentinel hash-token prints it", report);
    table.require("scopes", r#"what the token allows, such as ["read"]"#, report);
    let token = RawToken {
        name: table.string("name", "a name such as \"ops\"", report),
        sha256: table.string("sha256", "64 hexadecimal digits", report),
        scopes: table.strings("scopes", r#"["read"]"#, report),
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
    Some(Control { tokens: tokens.into_iter().collect::<Option<_>>()? })
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
    Some(ApiToken { name: name?, hash: hash?, scopes: scopes? })
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
        let expected = |name: &str, hash| ApiToken { name: name.to_owned(), hash, scopes: vec![Scope::Read] };
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
