//! Texts that are not shown, and what stands in their place wherever else they are found.

use super::{Secret, alertmanager, words};

/// What stands in the place of a value that is not shown.
pub(super) const HIDDEN: &str = "<hidden>";
/// A path shorter than this is too common to be looked for without its address.
const SHORTEST_PATH: usize = 5;

/// A text that is not shown.
#[derive(Debug)]
pub struct Hidden {
    /// The text itself.
    pub text: Secret,
    /// What is shown instead.
    pub instead: String,
}

impl From<Secret> for Hidden {
    fn from(text: Secret) -> Self {
        Self { text, instead: HIDDEN.to_owned() }
    }
}

impl Hidden {
    fn new(text: &str, instead: String) -> Self {
        Self { text: Secret::new(text.to_owned()), instead }
    }
}

/// A value that is not shown at all: also its beginning, which is what messages quote of a long one, and what follows the
/// id of a token.
pub(super) fn whole(text: &str) -> Vec<Hidden> {
    let secret = text.rsplit_once('=').map(|(_, secret)| secret).filter(|_| text.contains('!'));
    [Some(text), words::start(text), secret]
        .into_iter()
        .flatten()
        .map(|text| Hidden::new(text, HIDDEN.to_owned()))
        .collect()
}

/// The parts of an address.
struct Address<'a> {
    scheme: &'a str,
    /// What stands before an "@".
    user: Option<&'a str>,
    host: &'a str,
    /// Path, query and fragment.
    more: &'a str,
}

fn parts(text: &str) -> Option<Address<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, more) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    Some(Address { scheme, user, host, more })
}

/// Whether there is anything of an address to show.
pub(super) fn is_address(text: &str) -> bool {
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
    parts(text).is_some_and(|found| is_scheme(found.scheme) && !found.host.is_empty())
}

/// An address without what may stand before and behind host and port; other texts as they stand.
pub(super) fn origin(text: &str) -> String {
    let Some(Address { scheme, user, host, more }) = parts(text) else { return text.to_owned() };
    let more = if more.len() > 1 || user.is_some() { "/…" } else { "" };
    format!("{scheme}://{host}{more}")
}

/// What [`origin`] left off, as others may write it.
pub(super) fn left_off(text: &str) -> Vec<Hidden> {
    let Some(Address { user, more, .. }) = parts(text).filter(|_| origin(text) != text) else { return Vec::new() };
    // Logs and metrics have it as it is asked.
    let asked = alertmanager::address(text).ok();
    let addresses = [Some(text.trim_end_matches('/').to_owned()), asked].into_iter().flatten();
    let mut found: Vec<Hidden> = addresses.map(|address| Hidden::new(&address, origin(&address))).collect();
    let (path, query) = more.split_once(['?', '#']).unwrap_or((more, ""));
    let path = path.trim_end_matches('/');
    if path.len() >= SHORTEST_PATH {
        // A bare one such as /api would be found in many a text; messages quote it.
        let quoted = |path: &str| Hidden::new(&format!("\"{path}"), format!("\"{HIDDEN}"));
        found.push(quoted(path));
        found.extend(words::start(path).map(quoted));
    }
    let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
    found.extend([Some(query), password].into_iter().flatten().filter(|text| !text.is_empty()).flat_map(whole));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn left(text: &str) -> Vec<(String, String)> {
        let pair = |one: Hidden| (one.text.expose().to_owned(), one.instead);
        left_off(text).into_iter().map(pair).collect()
    }

    fn pair(text: &str, instead: &str) -> (String, String) {
        (text.to_owned(), instead.to_owned())
    }

    #[test]
    fn what_is_left_off_is_known_as_typed_and_as_asked() {
        assert_eq!(
            left("HTTP://Am/T0/secret/"),
            [
                pair("HTTP://Am/T0/secret", "HTTP://Am/…"),
                pair("http://am:80/T0/secret", "http://am:80/…"),
                pair("\"/T0/secret", "\"<hidden>"),
            ]
        );
        assert_eq!(
            left("https://root:hunter2@x:1/am?y=hunter3"),
            [
                pair("https://root:hunter2@x:1/am?y=hunter3", "https://x:1/…"),
                pair("y=hunter3", "<hidden>"),
                pair("hunter2", "<hidden>"),
            ]
        );
        for whole in ["http://am:9093", "http://am:9093/", "no address", "", "://", "http://"] {
            assert!(left(whole).iter().all(|(text, instead)| text == instead), "{whole}");
        }
    }

    #[test]
    fn long_values_are_found_where_messages_cut_them() {
        let long = "é".repeat(70);
        let found: Vec<usize> = whole(&long).iter().map(|one| one.text.expose().chars().count()).collect();
        assert_eq!(found, [70, 60]);
        assert_eq!(whole("short").len(), 1);
        let of_token = whole("PVEAPIToken=a@pve!b=hunter2");
        assert!(of_token.iter().any(|one| one.text.expose() == "hunter2"), "{}", of_token.len());
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = (origin(&text), left_off(&text).len(), whole(&text).len());
            let text = format!("http://{text}");
            let _ = (origin(&text), left_off(&text).len());
        }
    }
}
