//! One command, once, on a connection of its own: what switches a machine must not run twice because its answer was lost.

use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::connection::{Connection, connect};
use super::error::{Error, Reason};
use super::host::Host;
use super::run::{Broke, Output, run_line};
use crate::config::Ssh;
use crate::ids::SshAddress;

/// Who gives a host one order.
pub struct Actor(Host);

/// A host that we are logged in to, and that has not been told anything yet.
pub struct Ready {
    actor: Actor,
    connection: Arc<Connection>,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// The command ended.
    Ended(Output),
    /// It did not run.
    Refused(Error),
    /// It was asked for, and its end is not known: it may have run.
    Unknown(Error),
}

impl Actor {
    pub(super) fn new(id: &str, address: SshAddress, settings: Arc<Ssh>, shared: Arc<Shared>) -> Self {
        Self(Host::new(id, address, settings, shared))
    }

    /// Connects, checks the host's key and logs in, which takes 10 s at most.
    pub async fn connect(self) -> Result<Ready, Error> {
        match connect(&self.0, |_| {}).await {
            Ok(connection) => {
                self.0.shared.own.ssh_connection(&self.0.id, "ok");
                Ok(Ready { actor: self, connection: Arc::new(connection) })
            }
            Err(reason) => {
                let error = self.0.error(reason);
                self.0.shared.own.ssh_connection(&self.0.id, error.label());
                Err(error)
            }
        }
    }
}

impl Ready {
    /// Runs a command, once. Whoever drops this gives the command up, which may go on there.
    pub async fn act(self, line: &str) -> Acted {
        let Self { actor: Actor(host), connection } = self;
        let acted = match run_line(&connection, (line, &Bytes::new()), host.shared.limits).await {
            Ok(output) => Acted::Ended(output),
            Err(Broke::Before) => {
                Acted::Refused(host.error(Reason::Closed(connection.parting("before the command began"))))
            }
            Err(Broke::Refused(reason)) => Acted::Refused(host.error(reason)),
            Err(Broke::During(reason)) => Acted::Unknown(host.error(reason)),
        };
        let outcome = match &acted {
            Acted::Ended(output) if output.failure().is_some() => "exit",
            Acted::Ended(_) => "ok",
            Acted::Refused(error) | Acted::Unknown(error) => error.label(),
        };
        host.shared.own.ssh_request(&host.id, outcome);
        acted
    }
}
