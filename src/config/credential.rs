//! API tokens: the id as typed, the secret from where it is kept.

use std::path::Path;

use zeroize::Zeroizing;

use super::check::Context;
use super::fault::{At, Place};
use super::raw::RawSecret;
use super::{Credential, Secret, files, words};

/// The largest file of a secret, in bytes.
const LARGEST: usize = 64 << 10;

/// Checks a token's id and fetches its secret. `None` only after a fault was reported.
pub(super) fn token(
    id: Option<&At<&str>>,
    secret: Option<&RawSecret<'_>>,
    context: &mut Context<'_>,
) -> Option<Credential> {
    let id = id.and_then(|found| match token_id(found.value) {
        Ok(()) => Some(found.value.to_owned()),
        Err(wrong) => {
            context.report.fault(
                &found.place,
                format!("expected user@realm!name, such as \"monitor@pve!prometheus\", found {wrong}"),
            );
            None
        }
    });
    let secret = secret.and_then(|source| match source {
        RawSecret::Inline(found) => inline(found, context),
        RawSecret::File(found) => from_file(found, context),
        RawSecret::Env(found) => from_env(found, context),
        RawSecret::Credential(found) => from_credential(found, context),
    });
    Some(Credential::Token { id: id?, secret: secret? })
}

/// Checks a token's id; the error names what is wrong without quoting the id, which may hold a pasted secret.
fn token_id(id: &str) -> Result<(), &'static str> {
    if id.contains('=') {
        return Err("an \"=\", so that the secret is probably in it too (not shown); \
                    move what follows the \"=\" to a token secret");
    }
    if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("spaces or characters that are not ASCII");
    }
    let Some((user, name)) = id.rsplit_once('!') else {
        return Err("no \"!\" and token name; PVE shows the whole id under Datacenter, Permissions, API Tokens");
    };
    let Some((user, realm)) = user.rsplit_once('@') else {
        return Err("no \"@\" and realm; the realm is pam, pve or another one's name");
    };
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    if user.is_empty() || user.contains([':', '/']) {
        return Err("no user name, or one with a colon or slash, before the \"@\"");
    }
    if !word(realm) {
        return Err("no realm between \"@\" and \"!\", or one that PVE does not allow");
    }
    if !word(name) {
        return Err("no token name after the \"!\", or one that PVE does not allow");
    }
    Ok(())
}

fn inline(found: &At<&str>, context: &mut Context<'_>) -> Option<Secret> {
    if let Some(mode) = context.open_mode {
        context.report.warn(&found.place, files::open_to_others(context.file, mode));
    }
    checked(found.value, "the value", &found.place, context)
}

fn from_file(found: &At<&str>, context: &mut Context<'_>) -> Option<Secret> {
    if found.value.is_empty() {
        context.report.fault(&found.place, "expected the path of a file that holds the secret, found an empty text");
        return None;
    }
    let path = files::resolve(context.file, found.value);
    read(&path, &found.place, context)
}

fn from_env(found: &At<&str>, context: &mut Context<'_>) -> Option<Secret> {
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
    let Some(value) = context.env.get(name).map(Zeroizing::new) else {
        context.report.fault(
            &found.place,
            format!("expected the secret in the environment variable {name}, found that it is not set; export it"),
        );
        return None;
    };
    checked(&value, &format!("the environment variable {name}"), &found.place, context)
}

fn from_credential(found: &At<&str>, context: &mut Context<'_>) -> Option<Secret> {
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
    let Some(folder) = context.env.get("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()) else {
        let shown = words::shown(name);
        context.report.fault(
            &found.place,
            format!(
                "expected the systemd credential {shown}, found that CREDENTIALS_DIRECTORY is not set; \
                 pass it with LoadCredential= in the unit"
            ),
        );
        return None;
    };
    read(&Path::new(&folder).join(name), &found.place, context)
}

fn read(path: &Path, place: &Place, context: &mut Context<'_>) -> Option<Secret> {
    let shown = words::path(path);
    let content = match files::read(path, LARGEST) {
        Ok(content) => content,
        Err(error) => {
            let advice = files::advice(&error);
            context.report.fault(
                place,
                format!(
                    "expected a readable file with the secret, found that {shown} cannot be read: {error}; {advice}"
                ),
            );
            return None;
        }
    };
    if let Some(mode) = content.open_mode {
        context.report.warn(place, files::open_to_others(path, mode));
    }
    let Ok(text) = std::str::from_utf8(&content.bytes) else {
        context.report.fault(place, format!("expected the secret as text, found other bytes in {shown}"));
        return None;
    };
    checked(text, &shown, place, context)
}

/// A secret without the white space around it; one that no HTTP header could carry is a fault.
fn checked(text: &str, origin: &str, place: &Place, context: &mut Context<'_>) -> Option<Secret> {
    let secret = text.trim();
    let wrong = if secret.is_empty() {
        "nothing"
    } else if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        "spaces, line breaks or characters that are not ASCII in it (not shown)"
    } else if secret.contains('!') && secret.contains('=') {
        "the id in front of it (not shown); keep only what follows the \"=\""
    } else {
        return Some(Secret::new(secret.to_owned()));
    };
    context.report.fault(place, format!("expected the token's secret alone in {origin}, found {wrong}"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn token_ids_have_three_parts() {
        for id in ["monitor@pve!prometheus", "root@pam!a-b.c_1", "a@b.example@ldap!x", "svc!odd@pve!t"] {
            assert_eq!(token_id(id), Ok(()), "{id}");
        }
        for (id, wrong) in [
            ("", "no \"!\""),
            ("monitor@pve", "no \"!\""),
            ("monitor!prometheus", "no \"@\""),
            ("@pve!prometheus", "no user"),
            ("a/b@pve!prometheus", "no user"),
            ("monitor@!prometheus", "no realm"),
            ("monitor@1!prometheus", "no realm"),
            ("monitor@pve!", "no token name"),
            ("monitor@pve!a b", "spaces"),
            ("mönitor@pve!a", "not ASCII"),
            ("monitor@pve!a=0b9e", "\"=\""),
        ] {
            assert!(token_id(id).unwrap_err().contains(wrong), "{id}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(id in any::<String>(), close in "[a@!=.é-]{0,12}") {
            let _ = (token_id(&id), token_id(&close));
        }
    }
}
