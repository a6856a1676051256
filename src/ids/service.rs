//! The kinds of services that are checked.

/// What must answer; in the order of what a check costs the service, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKind {
    /// A connection is taken.
    Tcp,
    /// An SSH server's banner comes; lines before it, which RFC 4253 allows, are passed over.
    Ssh,
    /// `GET /` has any status below 500: 401, 403 and 404 are answers, and redirects are not followed.
    Http,
    /// The same over TLS 1.2 or 1.3, whatever the certificate.
    Https,
}

impl ServiceKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Ssh, Self::Http, Self::Https];

    /// The kind as it is written in the configuration and in the label `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Ssh => "ssh",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Reads what [`ServiceKind::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The port where such a service is found if nobody says otherwise.
    pub const fn usual_port(self) -> Option<u16> {
        match self {
            Self::Tcp => None,
            Self::Ssh => Some(22),
            Self::Http => Some(80),
            Self::Https => Some(443),
        }
    }
}
