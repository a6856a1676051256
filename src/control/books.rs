//! Where it is written down: the file of decisions, and the journal. All of it is on disk before anybody goes on.

use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::audit::{Audit, Entry};
use super::journal::Intent;
use super::keep::Keep;
use crate::api::{Code, Error};

/// Both.
#[derive(Clone)]
pub(super) struct Books {
    pub(super) keep: Arc<Keep>,
    pub(super) audit: Arc<Audit>,
}

impl Books {
    /// Audit and journal, before anything is sent; nothing may be sent where this fails.
    pub(super) async fn intend(&self, entry: Entry, intent: Intent) -> Result<(), Error> {
        entry.log();
        let (books, id) = (self.clone(), intent.id.clone());
        let written = tokio::task::spawn_blocking(move || {
            books.audit.write(&entry)?;
            books.keep.journal.intend(intent)
        });
        written.await.unwrap_or_else(|_| Err(io::Error::other("interrupted"))).map_err(|error| {
            tracing::error!(%error, id, "an action cannot be written down, and was not asked for");
            let message = format!("nothing was asked for, as it could not be written down before: {error}");
            Error::new(Code::Internal, message)
        })
    }

    /// How an order ended, with what it is answered. The one is written also where the other cannot be.
    pub(super) async fn end(&self, entry: Entry, status: u16, body: &Value) {
        entry.log();
        let (books, id, body) = (self.clone(), entry.request.clone(), body.clone());
        let written = tokio::task::spawn_blocking(move || {
            let ended = books.keep.journal.ended(&entry.request, status, &body);
            let audited = books.audit.write(&entry);
            ended.and(audited)
        });
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, id, "the end of an action cannot be written down");
        }
    }

    /// A decision by which nothing was begun.
    pub(super) async fn note(&self, entry: Entry) {
        entry.log();
        let audit = Arc::clone(&self.audit);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || audit.write(&entry)).await {
            tracing::error!(%error, "a decision cannot be written down");
        }
    }
}
