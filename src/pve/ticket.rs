//! Tickets: how a login is asked for, what it gives, and how that is shown to the API.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::wire::{Flag, Text};
use crate::config::Secret;

/// Real ones have about 400 characters.
const LONGEST: usize = 4000;

/// What proves for two hours, to every node of the cluster, who we are.
pub(super) struct Ticket {
    cookie: HeaderValue,
    text: Secret,
    /// `CSRFPreventionToken`, which goes with every POST; absent where the login gave none that fits into a header.
    csrf: Option<HeaderValue>,
    /// How it may come back in messages.
    echoes: Echoes,
}

/// A secret in all the ways in which we send it.
pub(super) struct Echoes(Vec<Secret>);

/// Why an answer to a login gives no ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoTicket {
    /// A second factor is asked for.
    Half,
    /// It is no answer to a login; nothing of it is quoted.
    Malformed(&'static str),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Grant<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Grant<'a> {
    #[serde(borrow)]
    ticket: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "CSRFPreventionToken")]
    csrf: Text<'a>,
    #[serde(rename = "NeedTFA")]
    need_tfa: Flag,
}

impl Ticket {
    /// The ticket in an answer to a login.
    pub(super) fn parse(body: &str) -> Result<Self, NoTicket> {
        let Ok(Envelope { data: Grant { ticket, csrf, need_tfa } }) = serde_json::from_str::<Envelope<'_>>(body) else {
            return Err(NoTicket::Malformed("it is no JSON object with a ticket in it"));
        };
        let text = Secret::new(ticket.unwrap_or_default().into_owned());
        if need_tfa.0 == Some(true) || text.expose().starts_with("PVE:!tfa!") {
            return Err(NoTicket::Half);
        }
        if text.expose().is_empty() {
            return Err(NoTicket::Malformed("it has no ticket"));
        }
        if text.expose().len() > LONGEST {
            return Err(NoTicket::Malformed("its ticket is longer than any"));
        }
        let mut cookie = escaped("PVEAuthCookie=", text.expose(), b":/+=@!");
        let value = Bytes::from_owner(Zeroizing::new(std::mem::take(&mut *cookie).into_bytes()));
        let Ok(mut cookie) = HeaderValue::from_maybe_shared(value) else {
            return Err(NoTicket::Malformed("its ticket fits into no header"));
        };
        cookie.set_sensitive(true);
        let echoes = Echoes::new(text.expose());
        let csrf = csrf.filled().filter(|csrf| csrf.len() <= LONGEST).and_then(|csrf| HeaderValue::from_str(csrf).ok());
        let csrf = csrf.map(|mut csrf| {
            csrf.set_sensitive(true);
            csrf
        });
        Ok(Self { cookie, text, csrf, echoes })
    }

    /// The value of the `Cookie` header.
    pub(super) fn cookie(&self) -> HeaderValue {
        self.cookie.clone()
    }

    /// The value of the `CSRFPreventionToken` header.
    pub(super) fn csrf(&self) -> Option<HeaderValue> {
        self.csrf.clone()
    }

    /// The ticket itself, which is a password to get the next one.
    pub(super) fn text(&self) -> &Secret {
        &self.text
    }

    /// See [`Echoes::hide`].
    pub(super) fn hide<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        self.echoes.hide(text)
    }
}

impl Echoes {
    pub(super) fn new(secret: &str) -> Self {
        let mut json = Zeroizing::new(serde_json::to_string(secret).unwrap_or_default());
        let quoted = json.len();
        json.truncate(quoted.saturating_sub(1));
        json.drain(..usize::from(quoted > 0));
        let mut forms =
            vec![Zeroizing::new(secret.to_owned()), escaped("", secret, b""), escaped("", secret, b":/+=@!"), json];
        // Where one is a part of another, the longer one is looked for first.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self(forms.into_iter().map(|mut form| Secret::new(std::mem::take(&mut *form))).collect())
    }

    /// A text of the other side, which may repeat the secret.
    pub(super) fn hide<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        self.0
            .iter()
            .map(Secret::expose)
            .filter(|form| !form.is_empty())
            .fold(text, |text, form| if text.contains(form) { text.replace(form, "[secret]").into() } else { text })
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The body of a login; wiped when it has been sent.
pub(super) fn form(user: &str, password: &Secret) -> Bytes {
    let user = escaped("username=", user, b"");
    let password = escaped("&password=", password.expose(), b"");
    let mut body = Zeroizing::new(Vec::with_capacity(user.len() + password.len()));
    body.extend_from_slice(user.as_bytes());
    body.extend_from_slice(password.as_bytes());
    Bytes::from_owner(body)
}

/// `start` and the text, percent-encoded but for letters, digits, `-._~` and what is kept.
pub(super) fn escaped(start: &str, text: &str, kept: &[u8]) -> Zeroizing<String> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    // Sized at once: a buffer that grows would leave unwiped copies behind.
    let mut escaped = Zeroizing::new(String::with_capacity(start.len() + 3 * text.len()));
    escaped.push_str(start);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let digit = |half: u8| DIGITS.get(usize::from(half)).copied().map_or('0', char::from);
            escaped.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::testing::{any_object, recorded};
    use super::*;

    const TICKET: &str = "PVE:monitor@pve:6B00B907::dXJ70b8z/c7+Dw==";

    fn parse(data: &Value) -> Result<String, NoTicket> {
        Ticket::parse(&json!({ "data": data }).to_string()).map(|ticket| ticket.text().expose().to_owned())
    }

    #[test]
    fn a_login_gives_a_ticket_and_a_cookie() {
        let body = json!({ "data": {
            "username": "monitor@pve", "clustername": "lab", "CSRFPreventionToken": "6B00B907:x", "ticket": TICKET,
            "cap": { "nodes": { "Sys.Audit": 1 } },
        }});
        let ticket = Ticket::parse(&body.to_string()).expect("a ticket");
        assert_eq!(ticket.text().expose(), TICKET);
        assert_eq!(ticket.cookie(), format!("PVEAuthCookie={TICKET}"), "nothing of it needs an escape");
        assert!(ticket.cookie().is_sensitive());
        assert_eq!(ticket.csrf().expect("a token"), "6B00B907:x");
        assert!(ticket.csrf().is_some_and(|csrf| csrf.is_sensitive()));
        let odd = parse_cookie("PVE:a;b%41 ü\r\n@pve:1::x");
        assert_eq!(odd, "PVEAuthCookie=PVE:a%3Bb%2541%20%C3%BC%0D%0A@pve:1::x");
    }

    #[test]
    fn a_real_answer_gives_its_ticket() {
        let ticket = Ticket::parse(recorded("hand-made/POST_access__ticket.json").body.as_text()).expect("a ticket");
        assert_eq!(ticket.text().expose().len(), 370);
        assert_eq!(ticket.cookie(), format!("PVEAuthCookie={}", ticket.text().expose()));
        assert_eq!(format!("{ticket:?}"), "[secret]");
    }

    fn parse_cookie(ticket: &str) -> String {
        let ticket = Ticket::parse(&json!({ "data": { "ticket": ticket } }).to_string()).expect("a ticket");
        ticket.cookie().to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn half_a_ticket_is_none() {
        for data in [
            json!({ "ticket": "PVE:!tfa!%7B%22totp%22%3Atrue%7D:6B00B907::x" }),
            json!({ "ticket": TICKET, "NeedTFA": 1 }),
            json!({ "ticket": TICKET, "NeedTFA": "1" }),
            json!({ "NeedTFA": true }),
        ] {
            assert_eq!(parse(&data), Err(NoTicket::Half), "{data}");
        }
        assert_eq!(parse(&json!({ "ticket": TICKET, "NeedTFA": 0 })), Ok(TICKET.to_owned()));
    }

    #[test]
    fn what_is_no_answer_to_a_login_gives_none() {
        for data in [json!(null), json!({}), json!({ "ticket": null }), json!({ "ticket": "" }), json!({ "ticket": 7 })]
        {
            assert!(matches!(parse(&data), Err(NoTicket::Malformed(_))), "{data}");
        }
        assert!(matches!(parse(&json!({ "ticket": "x".repeat(4001) })), Err(NoTicket::Malformed(_))));
        assert!(matches!(Ticket::parse("<html>"), Err(NoTicket::Malformed(_))));
    }

    #[test]
    fn any_password_can_be_sent() {
        let body = form("monitor@pve", &Secret::new("pä ss+&=%\"w".to_owned()));
        assert_eq!(body, "username=monitor%40pve&password=p%C3%A4%20ss%2B%26%3D%25%22w");
    }

    #[test]
    fn a_secret_is_found_in_every_form_in_which_it_was_sent() {
        let echoes = Echoes::new("pä s\"s;");
        for echo in ["pä s\"s;", "p%C3%A4%20s%22s%3B", "pä s\\\"s;"] {
            assert_eq!(echoes.hide(format!("<{echo}>").into()), "<[secret]>");
        }
        assert_eq!(echoes.hide("authentication failure".into()), "authentication failure");
        assert_eq!(Echoes::new("").hide("text".into()), "text");
    }

    proptest! {
        #[test]
        fn no_text_panics(body in ".{0,200}", ticket in any::<String>()) {
            let _ = Ticket::parse(&body);
            let parsed = Ticket::parse(&json!({ "data": { "ticket": ticket } }).to_string());
            prop_assert_eq!(parsed.is_ok(), !ticket.is_empty() && ticket.len() <= LONGEST && !ticket.starts_with("PVE:!tfa!"));
        }

        #[test]
        fn no_json_panics(data in any_object(&["ticket", "NeedTFA", "username", "CSRFPreventionToken", "cap"])) {
            let _ = parse(&data);
            let _ = Ticket::parse(&data.to_string());
        }

        #[test]
        fn what_is_sent_decodes_to_what_was_meant(password in any::<String>()) {
            let body = form("a@b", &Secret::new(password.clone()));
            let text = std::str::from_utf8(&body).expect("ASCII");
            let pairs: Vec<(String, String)> =
                reqwest::Url::parse(&format!("https://x/?{text}")).expect("a URL").query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("username".to_owned(), "a@b".to_owned()), ("password".to_owned(), password)]);
        }

        #[test]
        fn no_echo_shows_the_secret(secret in "[^\\[\\]secrt]{1,20}", before in "[secrt]{0,5}") {
            let echoes = Echoes::new(&secret);
            for echo in [secret.clone(), json!(secret).to_string(), escaped("", &secret, b"").to_string()] {
                let hidden = echoes.hide(format!("{before}{echo}").into()).into_owned();
                prop_assert!(!hidden.contains(&secret), "{}", hidden);
            }
        }
    }
}
