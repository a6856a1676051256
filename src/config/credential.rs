//! Who asks: a token's id or a user's name as typed, the secret from where it is kept.

use super::auth::{RawAuth, Way};
use super::check::Context;
use super::{Credential, source};

/// Checks the name and fetches the secret. `None` only after a fault was reported.
pub(super) fn credential(raw: &RawAuth<'_>, context: &mut Context<'_>) -> Option<Credential> {
    let name = raw.name.as_ref().and_then(|found| {
        let (checked, expected) = match raw.way {
            Way::Token => (token_id(found.value), "user@realm!name, such as \"monitor@pve!prometheus\""),
            Way::User => (user(found.value), "user@realm, such as \"monitor@pve\""),
        };
        if let Err(wrong) = checked {
            context.report.fault(&found.place, format!("expected {expected}, found {wrong}"));
            return None;
        }
        Some(found.value.to_owned())
    });
    let secret = raw.secret.as_ref().and_then(|source| source::secret(source, raw.way, context));
    let (name, secret) = (name?, secret?);
    Some(match raw.way {
        Way::Token => Credential::Token { id: name, secret },
        Way::User => Credential::User { name, password: secret },
    })
}

/// Checks a token's id; the error names what is wrong without quoting the id, which may hold a pasted secret.
pub(super) fn token_id(id: &str) -> Result<(), &'static str> {
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
    if user.is_empty() || user.contains([':', '/']) {
        return Err("no user name, or one with a colon or slash, before the \"@\"");
    }
    if !is_word(realm) {
        return Err("no realm between \"@\" and \"!\", or one that PVE does not allow");
    }
    if !is_word(name) {
        return Err("no token name after the \"!\", or one that PVE does not allow");
    }
    Ok(())
}

/// Checks a user's name; the error does not quote it, as it may be a pasted password.
fn user(id: &str) -> Result<(), &'static str> {
    if id.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("spaces or control characters");
    }
    let Some((name, realm)) = id.rsplit_once('@') else {
        return Err("no \"@\" and realm; the realm is pam, pve or another one's name");
    };
    if realm.contains('!') {
        return Err("the id of an API token; it belongs to token_id, with a token secret instead of a password");
    }
    if name.is_empty() || name.contains([':', '/']) {
        return Err("no user name, or one with a colon or slash, before the \"@\"");
    }
    if !is_word(realm) {
        return Err("no realm after the \"@\", or one that PVE does not allow");
    }
    Ok(())
}

/// The name of a realm or token.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
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

    #[test]
    fn users_have_a_realm() {
        for id in ["monitor@pve", "root@pam", "a@b.example@ldap", "svc!odd@pve", "mönitor@ldap-1"] {
            assert_eq!(user(id), Ok(()), "{id}");
        }
        for (id, wrong) in [
            ("", "no \"@\""),
            ("monitor", "no \"@\""),
            ("@pve", "no user"),
            ("a:b@pve", "no user"),
            ("monitor@", "no realm"),
            ("monitor@1", "no realm"),
            ("monitor@pve!prometheus", "belongs to token_id"),
            ("moni tor@pve", "spaces"),
            ("monitor@pve\n", "spaces"),
        ] {
            assert!(user(id).unwrap_err().contains(wrong), "{id}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(id in any::<String>(), close in "[a@!=.é-]{0,12}") {
            let _ = (token_id(&id), token_id(&close), user(&id), user(&close));
        }
    }
}
