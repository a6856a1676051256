//! What is asked of a host over SSH, and what its answer tells.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{HostFilters, NameFilter};
use crate::hosts::{self, Clock, Fault, Filter, Frame, Options};
use crate::metrics::Family;
use crate::ssh::{self, Command, Mode, Output, Session};

pub use crate::hosts::Options as HostOptions;

/// A collector that asks hosts.
#[derive(Clone, Copy)]
pub struct OverSsh {
    /// What a host is asked.
    pub mode: Mode,
    /// When an answer is asked for again; none: at each scrape.
    pub ttl: Option<Duration>,
    /// What sudo has to allow on the host, as sudoers writes it after `NOPASSWD:`; may be empty.
    pub sudo: &'static str,
    /// Shapes the answer; the time is ours at the question.
    pub read: fn(&Frame, Clock, &Options) -> Result<hosts::Told, Fault>,
}

/// What an answer tells.
pub struct Heard {
    /// May be empty.
    pub families: Vec<Family>,
    /// What the host could not tell, and why: a section, and a text for the log.
    pub troubles: Vec<(String, String)>,
    /// Why not all of it is there.
    pub error: Option<Failure>,
}

/// Why a host told nothing, or not all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It was not reached, or the command did not end well.
    Ssh(ssh::Error),
    /// What it said is not the answer, or not all of it.
    Answer {
        /// Who said it, as in messages.
        host: String,
        /// What is wrong with it.
        fault: String,
    },
}

impl OverSsh {
    /// Asks a host, or joins who asks the same, until `deadline`.
    pub async fn ask(&self, session: &Session, deadline: Instant) -> Result<Arc<Output>, Failure> {
        session.exec(&Command::from(self.mode), deadline).await.map_err(Failure::Ssh)
    }

    /// What an output tells; `asked` is when it was asked for, since the Unix epoch.
    pub fn tell(&self, session: &Session, output: &Output, asked: Duration, options: &Options) -> Heard {
        let clock = Clock { asked, round_trip: output.answered };
        let fault =
            |fault: String| Failure::Answer { host: format!("{} ({})", session.id(), session.address()), fault };
        let told = Frame::read(&output.stdout).and_then(|frame| {
            let cut = (!frame.is_whole()).then(|| "the answer was cut off before its end".to_owned());
            Ok(((self.read)(&frame, clock, options)?, cut))
        });
        match told {
            Ok((hosts::Told { families, mut troubles }, cut)) => {
                troubles.iter_mut().for_each(|(_, why)| why.push_str(&self.remedy(session.user(), why)));
                Heard { families, troubles, error: cut.map(fault) }
            }
            Err(wrong) => {
                // A command that failed says more of why than what is missing.
                let error = match (output.failure(), &wrong) {
                    (Some(reason), Fault::NoAnswer { .. }) => Failure::Ssh(session.error(reason)),
                    _ => fault(wrong.to_string()),
                };
                Heard { families: Vec::new(), troubles: Vec::new(), error: Some(error) }
            }
        }
    }
}

impl OverSsh {
    /// The line that is missing on the host, where sudo refused, as an end of the reason.
    fn remedy(&self, user: &str, why: &str) -> String {
        let refused = ["sudo", "Sorry, user"].iter().any(|word| why.contains(word));
        if self.sudo.is_empty() || !refused {
            return String::new();
        }
        format!("; add to sudoers there: {user} ALL=(root) NOPASSWD: {}", self.sudo)
    }
}

impl From<Failure> for Heard {
    fn from(error: Failure) -> Self {
        Self { families: Vec::new(), troubles: Vec::new(), error: Some(error) }
    }
}

impl Failure {
    /// One word of a small set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ssh(error) => error.label(),
            Self::Answer { .. } => "malformed",
        }
    }

    /// Whether the host was never logged in to, which the sessions log themselves.
    pub fn is_of_connection(&self) -> bool {
        matches!(self, Self::Ssh(error) if error.is_of_connection())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh(error) => error.fmt(f),
            Self::Answer { host, fault } => write!(f, "ssh {host}: {fault}"),
        }
    }
}

/// What `[collectors.host]` leaves out; what it does not name is left out as by default.
pub fn filters(told: &HostFilters) -> Options {
    let default = Options::default();
    let filter = |told: &Option<NameFilter>, default: Filter| match told {
        None => default,
        Some(NameFilter { include, exclude }) => {
            let [include, exclude] = [include, exclude].map(|found| found.as_ref().map(|found| found.0.clone()));
            Filter { include, exclude }
        }
    };
    Options {
        disks: filter(&told.disks, default.disks),
        network_devices: filter(&told.network_devices, default.network_devices),
        mount_points: filter(&told.mount_points, default.mount_points),
        file_system_types: filter(&told.file_system_types, default.file_system_types),
    }
}
