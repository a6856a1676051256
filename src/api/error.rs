//! What goes wrong, in one word for programs and a sentence for people.

use std::fmt;

use http::StatusCode;

/// Why there is no answer: sent as `{"error": {"code", "message"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// For programs.
    pub code: Code,
    /// For people: lower-case, without a full stop and without secrets.
    pub message: String,
}

/// The word for it; each has one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The question makes no sense.
    BadRequest,
    /// No valid token.
    Unauthorized,
    /// A valid token, which does not allow this.
    Forbidden,
    /// There is no such path, or no such thing.
    NotFound,
    /// The path answers other methods.
    MethodNotAllowed,
    /// The body did not come in time.
    RequestTimeout,
    /// The body is too long.
    TooLarge,
    /// The body is no JSON by its type.
    UnsupportedMediaType,
    /// The kind of guest does not have this action.
    UnsupportedAction,
    /// Proxmox VE holds the guest for something else.
    Locked,
    /// The guest is a template.
    Template,
    /// The HA manager does not let it be done now.
    HaForbids,
    /// The node runs guests.
    RunningGuests,
    /// Without the node, the cluster would have no quorum.
    WouldLoseQuorum,
    /// Too many wrong tokens from this address, or too many orders of a right one.
    TooManyRequests,
    /// The task of the action failed.
    TaskFailed,
    /// Some of many were not switched.
    PartlyFailed,
    /// Nothing was asked of Proxmox VE, as it could not be reached.
    PveUnreachable,
    /// Proxmox VE refused.
    PveRefused,
    /// Nothing was asked of a host, as it could not be reached or did not let us in.
    HostUnreachable,
    /// What became of an order is not known.
    OutcomeUnknown,
    /// There is no acting credential.
    ControlDisabled,
    /// The cluster has no quorum.
    NoQuorum,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::UnsupportedAction,
        Self::Locked,
        Self::Template,
        Self::HaForbids,
        Self::RunningGuests,
        Self::WouldLoseQuorum,
        Self::TooManyRequests,
        Self::TaskFailed,
        Self::PartlyFailed,
        Self::PveUnreachable,
        Self::PveRefused,
        Self::HostUnreachable,
        Self::OutcomeUnknown,
        Self::ControlDisabled,
        Self::NoQuorum,
        Self::Internal,
    ];

    /// The word, the status, and what it means.
    #[expect(clippy::too_many_lines, reason = "one table, to be read as a whole")]
    fn told(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => {
                ("bad_request", StatusCode::BAD_REQUEST, "The question makes no sense; the message says why.")
            }
            Self::Unauthorized => {
                ("unauthorized", StatusCode::UNAUTHORIZED, "No valid token came in the header Authorization.")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The token does not have the scope for this."),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such path, or no such thing."),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path answers other methods, which the header Allow names.",
            ),
            Self::RequestTimeout => {
                ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The body did not arrive whole in time.")
            }
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than 64 KiB."),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "There is a body, and its Content-Type is not application/json.",
            ),
            Self::TooManyRequests => (
                "too_many_requests",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong tokens from this address (a right token is answered all the same), or too many orders of this \
                 token; the header Retry-After says how long to wait.",
            ),
            Self::UnsupportedAction => {
                ("unsupported_action", StatusCode::BAD_REQUEST, "Guests of this kind do not have this action.")
            }
            Self::Locked => ("locked", StatusCode::CONFLICT, "Proxmox VE holds the guest, such as for a backup."),
            Self::Template => ("template", StatusCode::CONFLICT, "The guest is a template."),
            Self::HaForbids => ("ha_forbids", StatusCode::CONFLICT, "The HA manager does not act on the guest now."),
            Self::RunningGuests => {
                ("running_guests", StatusCode::CONFLICT, "The node runs guests, and allow_running was not said.")
            }
            Self::WouldLoseQuorum => (
                "would_lose_quorum",
                StatusCode::CONFLICT,
                "Without the node, the cluster would have no quorum, and force_quorum was not said.",
            ),
            Self::TaskFailed => {
                ("task_failed", StatusCode::BAD_GATEWAY, "The task or command failed; the message has its exit status.")
            }
            Self::PartlyFailed => (
                "partly_failed",
                StatusCode::BAD_GATEWAY,
                "Guests of a batch are not as asked for; the results beside the error say which, and why.",
            ),
            Self::PveUnreachable => (
                "pve_unreachable",
                StatusCode::BAD_GATEWAY,
                "Proxmox VE, or the guest's node, could not be reached, or did not answer a question in time: nothing was done.",
            ),
            Self::PveRefused => {
                ("pve_refused", StatusCode::BAD_GATEWAY, "Proxmox VE refused; the message has its words.")
            }
            Self::HostUnreachable => (
                "host_unreachable",
                StatusCode::BAD_GATEWAY,
                "The machine could not be reached, or did not let us in: nothing was done.",
            ),
            Self::OutcomeUnknown => (
                "outcome_unknown",
                StatusCode::BAD_GATEWAY,
                "The action may have been carried out, or not; the message says what was found.",
            ),
            Self::ControlDisabled => (
                "control_disabled",
                StatusCode::SERVICE_UNAVAILABLE,
                "Nothing in the configuration says who acts there.",
            ),
            Self::NoQuorum => (
                "no_quorum",
                StatusCode::SERVICE_UNAVAILABLE,
                "The cluster has no quorum, so that Proxmox VE begins nothing.",
            ),
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "A fault of the exporter's; its log says more.")
            }
        }
    }

    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        self.told().0
    }

    /// The status that it is sent with.
    pub fn status(self) -> StatusCode {
        self.told().1
    }

    /// What it means, in a sentence.
    pub fn about(self) -> &'static str {
        self.told().2
    }
}

impl Error {
    /// An error with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// [`Code::BadRequest`].
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}
