//! The modules of the reference exporter: what it would do with each.

use crate::config::{Env, Secret};

/// The name of the module that a scrape means when it names none.
pub(super) const DEFAULT: &str = "default";

/// What was read, whole or in part.
#[derive(Default)]
pub(super) struct Modules {
    /// In the order of the file.
    pub(super) list: Vec<Module>,
    /// What works but is not as it was; whole lines for people.
    pub(super) warnings: Vec<String>,
}

/// One module.
pub(super) struct Module {
    /// Its name, as scrapes say it in `?module=`.
    pub(super) name: String,
    /// What a scrape needs, or why there is no such thing: whole lines for people.
    pub(super) settings: Result<Settings, Vec<String>>,
}

/// How a target is asked.
pub(super) struct Settings {
    /// How to prove who asks.
    pub(super) credential: Credential,
    /// How the target proves who it is.
    pub(super) verify: Verify,
    /// The port of targets that name none.
    pub(super) port: Option<u16>,
    /// The timeout of a request, where it is not the default; as it is written.
    pub(super) timeout: Option<String>,
}

/// How to prove who asks.
#[derive(PartialEq)]
pub(super) enum Credential {
    /// An API token: `user@realm!name` and its secret.
    Token { id: String, secret: Source },
    /// A user and its password.
    Login { username: String, password: Source },
}

/// Where a secret is.
pub(super) enum Source {
    /// Here.
    Inline(Secret),
    /// In an environment variable, whose value this is.
    Env(&'static str, Secret),
}

/// How a target proves who it is.
#[derive(PartialEq)]
pub(super) enum Verify {
    /// By the authorities of the system.
    System,
    /// By those in a file.
    CaFile(String),
    /// Not at all.
    Nothing,
}

impl Settings {
    /// Whether it makes no difference to Proxmox VE which of the two is used.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.credential == other.credential && self.verify == other.verify && self.port == other.port
    }
}

impl Source {
    /// The secret itself, to be put where it is to stay.
    pub(super) fn expose(&self) -> &str {
        let (Self::Inline(secret) | Self::Env(_, secret)) = self;
        secret.expose()
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Credential {
    /// Where its secret is.
    pub(super) fn source(&self) -> &Source {
        let (Self::Token { secret: source, .. } | Self::Login { password: source, .. }) = self;
        source
    }
}

/// Reads the reference's environment form. Fails with whole lines for people.
pub(super) fn from_environment(env: &Env<'_>) -> Result<Modules, Vec<String>> {
    let value = |name| env.get(name);
    let secret = |name: &'static str| value(name).map(|text| Source::Env(name, Secret::new(text)));
    let Some(user) = value("PVE_USER") else {
        return Err(vec![
            "expected the user in the environment variable PVE_USER, found that it is not set".to_owned(),
        ]);
    };
    let credential = match (value("PVE_TOKEN_NAME"), secret("PVE_TOKEN_VALUE"), secret("PVE_PASSWORD")) {
        (Some(name), Some(secret), _) => Credential::Token { id: format!("{user}!{name}"), secret },
        (Some(_), None, _) => {
            return Err(vec![
                "expected the token's secret in the environment variable PVE_TOKEN_VALUE, since PVE_TOKEN_NAME is set; \
                 found that it is not set"
                    .to_owned(),
            ]);
        }
        (None, _, Some(password)) => Credential::Login { username: user, password },
        (None, _, None) => {
            return Err(vec![
                "expected PVE_TOKEN_NAME and PVE_TOKEN_VALUE, or PVE_PASSWORD, in the environment, found neither"
                    .to_owned(),
            ]);
        }
    };
    let unverified = value("PVE_VERIFY_SSL").is_some_and(|text| matches!(text.to_lowercase().as_str(), "false" | "0"));
    let verify = if unverified { Verify::Nothing } else { Verify::System };
    let name = value("PVE_MODULE").unwrap_or_else(|| DEFAULT.to_owned());
    let settings = Settings { credential, verify, port: None, timeout: None };
    Ok(Modules { list: vec![Module { name, settings: Ok(settings) }], warnings: Vec::new() })
}
