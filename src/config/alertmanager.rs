//! `alertmanagers` of `[events]`: typed and checked.

use super::auth::{self, RawSecret, Way};
use super::check::Context;
use super::fault::{At, Place, Report};
use super::reader::Reader;
use super::{Secret, Tls, endpoint, source, tls, words};

/// One Alertmanager. Equal ones have equal secrets, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alertmanager {
    /// `url`: with port and path prefix, without a slash at the end, such as `http://127.0.0.1:9093`.
    pub url: String,
    /// How it is told who we are; none: it is not asked.
    pub login: Option<Login>,
    /// `tls`: system roots or a CA file.
    pub tls: Tls,
}

/// How an Alertmanager, or the proxy before it, is told who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// `username` and `password…`.
    Basic {
        /// Without a colon.
        name: String,
        /// Any printable characters.
        password: Secret,
    },
    /// `bearer_token…`.
    Bearer(Secret),
}

/// One of `alertmanagers`, as typed.
pub(super) struct RawAlertmanager<'t> {
    place: Place,
    url: Option<At<&'t str>>,
    name: Option<At<&'t str>>,
    password: Option<RawSecret<'t>>,
    token: Option<RawSecret<'t>>,
    ca_file: Option<At<&'t str>>,
}

const PASSWORD: auth::Sources = ["password_file", "password_env", "password_credential", "password"];
const TOKEN: auth::Sources = ["bearer_token_file", "bearer_token_env", "bearer_token_credential", "bearer_token"];

impl RawAlertmanager<'_> {
    /// Where it stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

/// Reads one of the tables; faults of shape are reported.
pub(super) fn read<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawAlertmanager<'t> {
    let place = table.place().clone();
    table.require("url", "an address, such as \"http://127.0.0.1:9093\"", report);
    let url = table.string("url", "an address such as \"http://127.0.0.1:9093\"", report);
    let name = table.string("username", "a user's name", report);
    let words = ("the path of a file that holds the password", "the password");
    let password = auth::secret(&mut table, PASSWORD, name.is_some(), words, report);
    let words = ("the path of a file that holds the token", "the token");
    let token = auth::secret(&mut table, TOKEN, false, words, report);
    let ca_file = table.table("tls", report).and_then(|mut tls| {
        let file = tls.string("ca_file", "the path of a PEM file", report);
        tls.close(report);
        file
    });
    table.close(report);
    RawAlertmanager { place, url, name, password, token, ca_file }
}

/// Checks one. `None` only after a fault was reported.
pub(super) fn check(raw: &RawAlertmanager<'_>, context: &mut Context<'_>) -> Option<Alertmanager> {
    let url = raw.url.as_ref().and_then(|found| match address(found.value) {
        Ok(url) => Some(url),
        Err(wrong) => {
            context.report.fault(&found.place, wrong);
            None
        }
    });
    let login = login(raw, context);
    let tls = match &raw.ca_file {
        None => Some(Tls::SystemRoots),
        Some(found) => tls::ca_file(found, context),
    };
    let (url, login, tls) = (url?, login?, tls?);
    if let Some(found) = raw.ca_file.as_ref().filter(|_| url.starts_with("http://")) {
        context.report.fault(&found.place, "expected a url that begins with https://, found http://, which has no TLS");
        return None;
    }
    if let Some(found) = raw.url.as_ref().filter(|_| login.is_some() && url.starts_with("http://") && !is_near(&url)) {
        let message = "the password or token crosses the network unencrypted: use https";
        context.report.warn(&found.place, message);
    }
    Some(Alertmanager { url, login, tls })
}

fn login(raw: &RawAlertmanager<'_>, context: &mut Context<'_>) -> Option<Option<Login>> {
    let wrong = match (&raw.name, &raw.password, &raw.token) {
        (None, None, None) => return Some(None),
        (None, None, Some(token)) => return Some(Some(Login::Bearer(source::secret(token, Way::Token, context)?))),
        (Some(name), Some(password), None) => {
            let password = source::secret(password, Way::User, context);
            let is_name = !name.value.is_empty() && !name.value.chars().any(|c| c == ':' || c.is_control());
            if !is_name {
                let message = "expected a user's name without a colon, found another text (not shown)";
                context.report.fault(&name.place, message);
                return None;
            }
            return Some(Some(Login::Basic { name: name.value.to_owned(), password: password? }));
        }
        // That it lacks was told.
        (Some(_), None, None) => return None,
        (None, Some(_), None) => "expected username beside the password, found none",
        (_, _, Some(_)) => {
            "expected one way to be let in, username with a password or a bearer token, found both; keep one of them"
        }
    };
    context.report.fault(&raw.place, wrong);
    None
}

/// Reads `http(s)://host[:port][/prefix]`; the error is a whole sentence.
pub(super) fn address(text: &str) -> Result<String, String> {
    const SHAPE: &str = "expected an address such as \"http://127.0.0.1:9093\"";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("{SHAPE}, found a text without http:// or https://"));
    };
    let scheme = scheme.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        other => return Err(format!("{SHAPE}, found the scheme {}", words::shown(other))),
    };
    let (authority, path) =
        rest.split_at_checked(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())).unwrap_or_default();
    if authority.contains('@') {
        return Err(format!("{SHAPE}, found a user or password in it (not shown); use username and a password file"));
    }
    if path.contains(['?', '#']) {
        return Err(format!("{SHAPE}, found a query or fragment in it (not shown); leave it off"));
    }
    let path = path.trim_end_matches('/');
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%+:,=".contains(&byte))
    };
    if !path.is_empty() && !path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment)) {
        return Err(format!("{SHAPE} with a path prefix such as /alertmanager, found another path"));
    }
    if path.split('/').any(|segment| segment == "api") {
        return Err(format!("{SHAPE}, found the path of its API too; leave off /api and what follows"));
    }
    let url = endpoint::authority(authority, &scheme, port).map_err(|wrong| format!("{SHAPE}, found {wrong}"))?;
    Ok(format!("{url}{path}"))
}

/// Whether it never leaves this machine.
fn is_near(url: &str) -> bool {
    ["http://127.", "http://localhost:", "http://[::1]:"].iter().any(|start| url.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_written_in_one_way() {
        for (text, url) in [
            ("http://127.0.0.1:9093", "http://127.0.0.1:9093"),
            ("http://127.0.0.1:9093/", "http://127.0.0.1:9093"),
            ("HTTPS://AM.example.com", "https://am.example.com:443"),
            ("http://am", "http://am:80"),
            ("https://[2001:DB8::1]:1/a/b~c/", "https://[2001:db8::1]:1/a/b~c"),
        ] {
            assert_eq!(address(text).as_deref(), Ok(url), "{text}");
        }
        for (text, wrong) in [
            ("127.0.0.1:9093", "without http://"),
            ("ftp://x", "scheme \"ftp\""),
            ("http://", "no host"),
            ("http://x:0", "port"),
            ("http://x/a b", "another path"),
            ("http://x/../y", "another path"),
            ("http://x//y", "another path"),
            ("http://x/api/v2/alerts", "leave off /api"),
            ("http://root:hunter2@x", "not shown"),
            ("http://x?password=hunter2", "not shown"),
            ("http://x/#hunter2", "not shown"),
        ] {
            let message = address(text).unwrap_err();
            assert!(message.contains(wrong) && !message.contains("hunter2"), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "https?://[a-z0-9.:\\[\\]@/%-]{0,20}(:[0-9]{1,6})?[a-z/.]{0,9}", any: String) {
            let _ = address(&any);
            if let Ok(read) = address(&text) {
                prop_assert_eq!(address(&read), Ok(read));
            }
        }
    }
}
