//! How much an event matters.

use serde::{Deserialize, Serialize};

/// How much an event matters; the value of the label `severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth to be woken by.
    Critical,
    /// To be seen in the morning.
    Warning,
    /// Kept, and not sent to anybody.
    Info,
}

impl Severity {
    /// All there are, the gravest first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Info];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == text)
    }
}
