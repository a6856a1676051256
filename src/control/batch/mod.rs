//! `POST /api/v1/batch`: many guests at once, each as if it were asked for alone.
//!
//! ```text
//! spec     what is asked, strictly, and which guests are meant (pure)
//! select   the guests that are meant and that the token reaches, by the reading credential
//! order    one stage, or several as their startup settings say
//! run      journal → each guest's order → the end
//! board    what is told of it (pure)          docs   for the OpenAPI document
//! ```
//!
//! Nothing is sent unless `confirm` is the number of the guests that are meant.

mod board;
mod docs;
mod order;
mod run;
mod select;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::audit::Entry;
use super::keep::Joined;
use super::{Control, guests};
use crate::api::{Caller, Error, Reply, Request, Route, handler};
use crate::ids::Scope;
use run::{Run, failed};
use spec::Spec;

pub(super) fn route(control: &Arc<Control>) -> Route {
    let control = Arc::clone(control);
    let answer = move |request: Request| {
        let control = Arc::clone(&control);
        async move { answer(control, request).await }
    };
    Route {
        method: Method::POST,
        pattern: "/api/v1/batch",
        scope: Scope::Power,
        handler: handler(answer),
        doc: &docs::BATCH,
    }
}

async fn answer(control: Arc<Control>, request: Request) -> Reply {
    let (run, wait) = match read(&control, &request) {
        Ok(read) => read,
        Err(error) => {
            let asked = Asked { control: &control, caller: &request.caller, id: &request.id };
            asked.refuse(&error).await;
            return error.into();
        }
    };
    if run.spec.confirm.is_none() {
        return dry_run(&run).await;
    }
    let wish = run.spec.name();
    let mut progress = match run.books.keep.join(&guests::name(&run.caller.name, run.key.as_deref(), &wish), &wish) {
        Joined::Other => return guests::other().into(),
        Joined::Theirs(progress) => progress,
        Joined::Mine(under_way) => {
            let progress = under_way.progress.subscribe();
            tokio::spawn(run.run(under_way));
            progress
        }
    };
    guests::told(&mut progress, wait).await
}

fn read(control: &Arc<Control>, request: &Request) -> Result<(Run, Option<Duration>), Error> {
    let began = Instant::now();
    let spec = Spec::read(request)?;
    let in_query = request.query_all("wait").first().copied();
    let wait = match (in_query, spec.wait.as_deref()) {
        (Some(_), Some(_)) => {
            return Err(Error::bad_request("wait is there twice; keep that of the body, or the other"));
        }
        (one, other) => one.or(other).map(guests::wait).transpose()?,
    };
    let books = control.books.clone().ok_or_else(select::disabled)?;
    let (control, caller, id, key) =
        (Arc::clone(control), request.caller.clone(), request.id.clone(), request.key.clone());
    Ok((Run { control, books, caller, id, key, spec, began }, wait))
}

/// Says what would be sent, and sends nothing.
async fn dry_run(run: &Run) -> Reply {
    let (status, body, outcome, message) = match run.choose().await {
        Err((error, more)) => {
            (error.code.status().as_u16(), failed(&error, more), error.code.as_str(), Some(error.message))
        }
        Ok(choice) => {
            let (body, ended) = run.dry_run(&choice).await;
            (200, body, "dry_run", ended.err().map(|error| error.message))
        }
    };
    run.control.own.control_action("batch", outcome);
    run.books.note(run.entry(outcome, message)).await;
    guests::reply(status, &body)
}

/// Who asked.
struct Asked<'a> {
    control: &'a Control,
    caller: &'a Caller,
    id: &'a str,
}

impl Asked<'_> {
    /// What cannot be an order is a decision, too.
    async fn refuse(&self, error: &Error) {
        self.control.own.control_action("batch", error.code.as_str());
        let entry = self.entry(error.code.as_str(), Some(error.message.clone()));
        match &self.control.books {
            Some(books) => books.note(entry).await,
            None => entry.log(),
        }
    }

    /// A line about the batch as a whole; each guest has its own.
    fn entry(&self, outcome: &'static str, message: Option<String>) -> Entry {
        Entry {
            time: (self.control.now)().as_secs_f64(),
            event: "decision",
            request: self.id.to_owned(),
            token: self.caller.name.clone(),
            client: self.caller.from.map(|from| from.to_string()),
            action: "batch",
            cluster: String::new(),
            vmid: String::new(),
            node: None,
            host: None,
            dry_run: false,
            upid: None,
            outcome,
            message,
            duration_seconds: 0.0,
        }
    }
}
