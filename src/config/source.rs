//! Secrets, fetched from where they are kept.

use std::path::Path;

use zeroize::Zeroizing;

use super::auth::{RawSecret, Way};
use super::check::Context;
use super::fault::{At, Place};
use super::{Secret, files, words};

/// The largest file of a secret, in bytes.
const LARGEST: usize = 64 << 10;

/// Fetches a token's secret or a password. `None` only after a fault was reported.
pub(super) fn secret(source: &RawSecret<'_>, way: Way, context: &mut Context<'_>) -> Option<Secret> {
    match source {
        RawSecret::Inline(found) => inline(found, way, context),
        RawSecret::File(found) => from_file(found, way, context),
        RawSecret::Env(found) => from_env(found, way, context),
        RawSecret::Credential(found) => from_credential(found, way, context),
    }
}

fn inline(found: &At<&str>, way: Way, context: &mut Context<'_>) -> Option<Secret> {
    if let Some(mode) = context.open_mode {
        context.report.warn(&found.place, files::open_to_others(context.file, mode));
    }
    checked(found.value, "the value", way, &found.place, context)
}

fn from_file(found: &At<&str>, way: Way, context: &mut Context<'_>) -> Option<Secret> {
    if found.value.is_empty() {
        let message = format!("expected the path of a file that holds the {}, found an empty text", word(way));
        context.report.fault(&found.place, message);
        return None;
    }
    let path = files::resolve(context.file, found.value);
    // A password in the wrong key looks like anything, but hardly like this.
    let is_path = ["/", "./", "../"].iter().any(|start| found.value.starts_with(start));
    let shown = match way {
        Way::User if !is_path => "the file named there (not shown, it may be the password)".to_owned(),
        _ => words::path(&path),
    };
    read(&path, &shown, way, &found.place, context)
}

fn from_env(found: &At<&str>, way: Way, context: &mut Context<'_>) -> Option<Secret> {
    let name = found.value;
    let well_formed = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !well_formed {
        context.report.fault(
            &found.place,
            "expected the name of an environment variable, letters, digits and \"_\", found something else (not shown)",
        );
        return None;
    }
    let shown = match way {
        Way::User if name.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            "named there (not shown, it may be the password)"
        }
        _ => name,
    };
    let Some(value) = context.env.get(name).map(Zeroizing::new) else {
        let message = format!(
            "expected the {} in the environment variable {shown}, found that it is not set; export it",
            word(way)
        );
        context.report.fault(&found.place, message);
        return None;
    };
    checked(without_line_break(&value), &format!("the environment variable {name}"), way, &found.place, context)
}

fn from_credential(found: &At<&str>, way: Way, context: &mut Context<'_>) -> Option<Secret> {
    let name = found.value;
    let well_formed = !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if !well_formed {
        context.report.fault(
            &found.place,
            "expected the name of a systemd credential, a file name without folders, found something else (not shown)",
        );
        return None;
    }
    let hidden = || "named there (not shown, it may be the password)".to_owned();
    let Some(folder) = context.env.get("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()) else {
        let shown = if way == Way::User { hidden() } else { words::shown(name) };
        context.report.fault(
            &found.place,
            format!(
                "expected the systemd credential {shown}, found that CREDENTIALS_DIRECTORY is not set; \
                 pass it with LoadCredential= in the unit, or, to check by hand, name the folder that has it as a file: \
                 CREDENTIALS_DIRECTORY=FOLDER pve-sentinel check …"
            ),
        );
        return None;
    };
    let path = Path::new(&folder).join(name);
    let shown = if way == Way::User { format!("the credential {}", hidden()) } else { words::path(&path) };
    read(&path, &shown, way, &found.place, context)
}

fn read(path: &Path, shown: &str, way: Way, place: &Place, context: &mut Context<'_>) -> Option<Secret> {
    let word = word(way);
    let content = match files::read(path, LARGEST) {
        Ok(content) => content,
        Err(error) => {
            let advice = files::advice(&error);
            context.report.fault(
                place,
                format!(
                    "expected a readable file with the {word}, found that {shown} cannot be read: {error}; {advice}"
                ),
            );
            return None;
        }
    };
    if let Some(mode) = content.open_mode {
        context.report.warn(place, files::open_to_others(path, mode));
    }
    let shown = words::path(path);
    let Ok(text) = std::str::from_utf8(&content.bytes) else {
        context.report.fault(place, format!("expected the {word} as text, found other bytes in {shown}"));
        return None;
    };
    checked(without_line_break(text), &shown, way, place, context)
}

fn checked(text: &str, origin: &str, way: Way, place: &Place, context: &mut Context<'_>) -> Option<Secret> {
    let (secret, noun, wrong) = match way {
        Way::Token => (text.trim(), "the token's secret", wrong_token(text.trim())),
        Way::User => (text, "the password", wrong_password(text)),
    };
    if let Some(wrong) = wrong {
        context.report.fault(place, format!("expected {noun} alone in {origin}, found {wrong}"));
        return None;
    }
    Some(Secret::new(secret.to_owned()))
}

/// White space around a token's secret is no part of it; what no HTTP header could carry is a fault.
fn wrong_token(secret: &str) -> Option<&'static str> {
    if secret.is_empty() {
        Some("nothing")
    } else if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("spaces, line breaks or characters that are not ASCII in it (not shown)")
    } else if secret.contains('!') && secret.contains('=') {
        Some("the id in front of it (not shown); keep only what follows the \"=\"")
    } else {
        None
    }
}

/// Spaces belong to a password; what nobody can type is a fault.
fn wrong_password(password: &str) -> Option<&'static str> {
    if password.trim().is_empty() {
        Some("nothing")
    } else if password.starts_with('\u{feff}') {
        Some("a byte order mark in front of it; save the file without one")
    } else if password.chars().any(char::is_control) {
        Some("line breaks or other control characters in it (not shown)")
    } else {
        None
    }
}

/// Editors and `echo` end a file with a line break; more than one is somebody's mistake.
fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn word(way: Way) -> &'static str {
    match way {
        Way::Token => "secret",
        Way::User => "password",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_break_is_no_part_of_a_password() {
        for (text, password) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), (" a b \n", " a b "), ("a\n\n", "a\n"), ("\n", "")]
        {
            assert_eq!(without_line_break(text), password, "{text:?}");
        }
    }

    #[test]
    fn a_password_is_what_can_be_typed() {
        for password in ["a", " pass word ", "pässwörd ☃", "a!b=c", "\"quoted\" 'too' \\", "%41&b;c"] {
            assert_eq!(wrong_password(password), None, "{password}");
        }
        for password in ["", "  ", "a\tb", "a\nb", "a\u{0}", "\u{feff}a"] {
            assert!(wrong_password(password).is_some(), "{password:?}");
        }
    }
}
