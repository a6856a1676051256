//! One exchange with one Alertmanager: bounded, its failure named. The only place that sends its password or token, and only
//! to the address of the configuration.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::Refusal;
use crate::config::{Alertmanager, Login, Secret, Tls};
use crate::names::Names;

/// Name resolution, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The whole of an exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of an answer to a post, in bytes.
const BODY: usize = 8 << 10;
/// What is read of a status, which repeats the whole configuration, in bytes.
const STATUS: usize = 1 << 20;
/// How much of it is shown, in characters.
const SHOWN: usize = 300;

/// Asks one Alertmanager.
pub(in crate::events) struct Client {
    url: String,
    http: reqwest::Client,
    authorization: Option<HeaderValue>,
    /// Never shown, also not where an answer repeats them.
    secrets: Vec<Secret>,
}

impl Client {
    /// Reads the system's authorities where they are needed. Fails with a sentence that names the URL.
    pub(in crate::events) fn new(config: &Alertmanager) -> Result<Self, String> {
        let failed = |why: String| format!("alertmanager {}: {why}", config.url);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(config).map_err(failed)?)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .user_agent(concat!("pve-sentinel/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .dns_resolver(Names)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| failed(format!("the HTTP client cannot be set up: {}", cause(&error))))?;
        let (line, secrets) = match &config.login {
            None => (None, Vec::new()),
            Some(Login::Bearer(token)) => (Some(format!("Bearer {}", token.expose())), vec![token.clone()]),
            Some(Login::Basic { name, password }) => {
                let pair = Secret::new(BASE64.encode(format!("{name}:{}", password.expose()).as_bytes()));
                (Some(format!("Basic {}", pair.expose())), vec![pair, password.clone()])
            }
        };
        let header = |line: String| {
            let mut header =
                HeaderValue::from_str(&line).map_err(|_| failed("its token cannot stand in a header".to_owned()))?;
            header.set_sensitive(true);
            Ok::<_, String>(header)
        };
        Ok(Self { url: config.url.clone(), http, authorization: line.map(header).transpose()?, secrets })
    }

    /// `POST /api/v2/alerts`.
    pub(in crate::events) async fn post(&self, alerts: Bytes) -> Result<(), Refusal> {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        let request = self.http.post(format!("{}/api/v2/alerts", self.url)).header(CONTENT_TYPE, JSON).body(alerts);
        self.ask(request, BODY).await.map(|_| ())
    }

    /// `GET /api/v2/status`: its answer, cut off where it is long.
    pub(in crate::events) async fn status(&self) -> Result<String, Refusal> {
        self.ask(self.http.get(format!("{}/api/v2/status", self.url)), STATUS).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder, most: usize) -> Result<String, Refusal> {
        let request = match &self.authorization {
            Some(header) => request.header(AUTHORIZATION, header.clone()),
            None => request,
        };
        let mut response = request.send().await.map_err(|error| Refusal::Whole(cause(&error)))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < most {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                // The status has said what matters.
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(most);
        let body = String::from_utf8_lossy(&body).into_owned();
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let said = self.shown(&body);
        let why = |more: &str| format!("{status}{said}{more}");
        Err(match status {
            // Something in it: the rest may be right.
            400 | 413 | 422 => Refusal::Something(why("")),
            401 | 403 => Refusal::Whole(why("; check its username and password, or its bearer_token")),
            404 | 405 => Refusal::Whole(why("; check the path prefix in its url")),
            300..400 => Refusal::Whole(why("; it sends us elsewhere, so write that address as its url")),
            _ => Refusal::Whole(why("")),
        })
    }

    /// An answer's text for a message: one line, bounded, without our secrets.
    fn shown(&self, body: &str) -> String {
        let hide = |text: String, secret: &Secret| text.replace(secret.expose(), "[secret]");
        let text = self.secrets.iter().fold(body.to_owned(), hide);
        let words: Vec<&str> =
            text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
        let line: String = words.join(" ").chars().take(SHOWN).collect();
        if line.is_empty() { line } else { format!(": {line}") }
    }
}

fn tls(config: &Alertmanager) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &config.tls {
        // No TLS is spoken there.
        _ if config.url.starts_with("http://") => {}
        Tls::CaFile { path, pem } => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("{}: {error}", path.display()))?;
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        _ => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this system has no trusted certificate authorities: install the package ca-certificates, or \
                            name its authority in tls.ca_file"
                        .to_owned(),
                );
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost reason that has words.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let seconds = if error.is_connect() { CONNECT_TIMEOUT } else { TIMEOUT }.as_secs();
        return format!("nothing answered within {seconds} s");
    }
    let first = std::error::Error::source(error);
    let last = std::iter::successors(first, |error| error.source()).last();
    last.map_or_else(|| "the exchange failed".to_owned(), ToString::to_string)
}
