//! The JSON API: who calls, what for, and what is answered. What it tells stands elsewhere: this room knows its form.
//!
//! ```text
//! desk       one question from its head on: admit (who may ask what) → the body, where one is taken → the answer
//!   token    the one authenticator: Authorization: Bearer, compared with every hash that is configured
//!   refusals who was refused: how often one address may be wrong, and what the log hears of it
//!   pace     how many orders a token may give
//!   entrance by which way a request came, and whether orders are taken there
//!   order    what is told of an order that is refused here
//!   path     patterns such as /api/v1/guests/{cluster}/{vmid}
//! request    what a handler gets          reply, error   what it gives back
//! route      one line of the table        openapi        the table as an OpenAPI document
//! ```

mod desk;
mod entrance;
mod error;
mod openapi;
mod order;
mod pace;
mod path;
mod refusals;
mod reply;
mod request;
mod route;
mod token;

pub use desk::{Admitted, Desk, Head, Refused};
pub use entrance::{Entrance, Rules};
pub use error::{Code, Error};
#[cfg(test)]
pub(crate) use openapi::gaps;
pub use order::{Listener, RefusedOrder};
pub use refusals::Refusals;
pub use reply::{Reply, whole};
pub use request::{Caller, Request};
pub use route::{Answer, Body, Doc, Handler, Parameter, Place, Route, handler};
