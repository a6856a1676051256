//! A 200 answer, to be parsed by borrowing from it.

use std::sync::Arc;

use serde::Deserialize;

use super::body::Body;
use super::credential::Credential;
use super::error::{Error, Reason, one_line};
use super::stream;
use super::wire::List;

/// A 200 answer, to be parsed by borrowing from it.
#[derive(Debug)]
pub struct Answer {
    pub(super) endpoint: String,
    pub(super) path: String,
    pub(super) body: Body,
    /// When it was given, by the clock of who gave it, in seconds since 1970.
    pub(super) date: Option<f64>,
    /// For messages, which quote the body: it may repeat the secret that we sent.
    pub(super) credential: Arc<Credential>,
}

impl Answer {
    /// Who answered, such as `https://192.0.2.11:8006`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// When it was given by the clock of who gave it, in whole seconds since 1970; absent where that was not told.
    pub fn date(&self) -> Option<f64> {
        self.date
    }

    /// The value of `data`, borrowed where the JSON allows it. A failure names the JSON path and position.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        match serde_json::from_str::<Envelope<T>>(self.body.as_text()) {
            Ok(envelope) => Ok(envelope.data),
            Err(error) => Err(self.malformed(self.locate::<T>(&error))),
        }
    }

    /// The objects of a list, each handed to `take` as soon as it is read; answers how many entries the list has, those
    /// that are no objects included. After a failure, which is told as [`Self::data`] tells it, what was taken is void.
    pub(super) fn each<'a, T: Deserialize<'a>>(&'a self, take: impl FnMut(&T)) -> Result<usize, Error> {
        stream::each(self.body.as_text(), take).map_err(|error| self.malformed(self.locate::<List<T>>(&error)))
    }

    /// An answer that parses but cannot be meant.
    pub fn malformed(&self, detail: String) -> Error {
        Error { endpoint: self.endpoint.clone(), path: self.path.clone(), reason: Reason::Malformed(detail) }
    }

    fn locate<'a, T: Deserialize<'a>>(&'a self, error: &serde_json::Error) -> String {
        let mut again = serde_json::Deserializer::from_str(self.body.as_text());
        let path = match serde_path_to_error::deserialize::<_, Envelope<T>>(&mut again) {
            Err(error) if error.path().iter().next().is_some() => {
                format!(" in {}", one_line(self.credential.hide(&error.path().to_string()).trim_end_matches(".?")))
            }
            _ => String::new(),
        };
        format!(
            "{}{path}; {}",
            one_line(&self.credential.hide(&error.to_string())),
            beginning(self.body.as_text(), &self.credential)
        )
    }

    #[cfg(test)]
    pub(crate) fn of(body: &str) -> Self {
        let mut text = Body::default();
        text.push(body.as_bytes());
        Self {
            endpoint: "https://pve.example.com:8006".to_owned(),
            path: "/test".to_owned(),
            body: text,
            date: None,
            credential: Arc::new(Credential::for_tests()),
        }
    }
}

/// How a body begins, for messages.
pub(super) fn beginning(body: &str, credential: &Credential) -> String {
    // Longer than what is shown, and than any secret.
    let head: String = body.trim_start().chars().take(1000).collect();
    let head: String = credential.hide(&head).chars().take(40).collect();
    if head.is_empty() {
        "the answer is empty".to_owned()
    } else {
        format!("the answer begins with \"{}\"", one_line(&head))
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}
