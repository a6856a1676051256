//! Who may come in: through TLS, with a client's certificate, with a password. As the configuration says now.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::guard::{Guard, Verdict};
use super::tls::Tls;
use crate::config::{Web, WebTls};

/// What stands between a client and the pages; a reload makes a new one.
#[derive(Default)]
pub struct Door {
    pub(super) tls: Option<Arc<Tls>>,
    guard: Option<Guard>,
    /// Whether `POST /-/reload` is heard.
    pub(super) lifecycle: bool,
}

/// By which way a connection came in. One that came by another way than the door has now is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Without TLS.
    Plain,
    /// Through a socket in the file system.
    Socket,
    /// Through TLS, as anybody.
    Tls,
    /// Through TLS, with a certificate signed by one of these authorities (PEM).
    Certificate(Arc<[u8]>),
}

impl Door {
    /// The door that `[web]` describes. Reads the certificate files; the error is a sentence that names the file.
    pub fn new(web: &Web) -> Result<Self, String> {
        let tls = web.tls.clone().map(Tls::new).transpose()?.map(Arc::new);
        let guard = if web.basic_auth_users.is_empty() { None } else { Some(Guard::new(&web.basic_auth_users)?) };
        Ok(Self { tls, guard, lifecycle: web.enable_lifecycle })
    }

    /// The door of the listeners of `[control]`, where tokens are asked for and nothing else. As above.
    pub fn of_control(tls: Option<&WebTls>) -> Result<Self, String> {
        let tls = tls.cloned().map(Tls::new).transpose()?.map(Arc::new);
        Ok(Self { tls, ..Self::default() })
    }

    /// Knows of users what `former` found out, as far as it still holds.
    pub(super) fn succeed(&mut self, former: &Self) {
        if let (Some(guard), Some(former)) = (&mut self.guard, &former.guard) {
            guard.succeed(former);
        }
    }

    /// By which way clients come in now.
    pub(super) fn way(&self) -> Way {
        self.tls.as_ref().map_or(Way::Plain, |tls| tls.way())
    }

    /// What an address of ours begins with.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Who sends these headers.
    pub(super) async fn admit(&self, headers: &HeaderMap, client: Option<SocketAddr>) -> Verdict {
        match &self.guard {
            Some(guard) => guard.judge(headers, client.map(|client| client.ip())).await,
            None => Verdict::Welcome(None),
        }
    }
}
