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
pub struct Answer<B = Body> {
    pub(super) endpoint: String,
    pub(super) path: String,
    pub(super) body: B,
    /// When it was given, by the clock of who gave it, in seconds since 1970.
    pub(super) date: Option<f64>,
    /// For messages, which quote the body: it may repeat the secret that we sent.
    pub(super) credential: Arc<Credential>,
}

impl<B> Answer<B> {
    /// Who answered, such as `https://192.0.2.11:8006`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// When it was given by the clock of who gave it, in whole seconds since 1970; absent where that was not told.
    pub fn date(&self) -> Option<f64> {
        self.date
    }

    /// An answer that parses but cannot be meant.
    pub fn malformed(&self, detail: String) -> Error {
        Error { endpoint: self.endpoint.clone(), path: self.path.clone(), reason: Reason::Malformed(detail) }
    }

    /// The same with another body, and the one it had.
    pub(super) fn replace<C>(self, body: C) -> (Answer<C>, B) {
        let Self { endpoint, path, body: old, date, credential } = self;
        (Answer { endpoint, path, body, date, credential }, old)
    }

    /// What does not parse: why and where, the JSON path if there is one, and how the text begins.
    pub(super) fn described(&self, words: &str, path: &str, text: &str) -> String {
        let words = one_line(&self.credential.hide(words));
        let path = match path {
            "" => String::new(),
            path => format!(" in {}", one_line(self.credential.hide(path).trim_end_matches(".?"))),
        };
        format!("{words}{path}; {}", beginning(text, &self.credential))
    }
}

impl Answer {
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

    fn locate<'a, T: Deserialize<'a>>(&'a self, error: &serde_json::Error) -> String {
        let text = self.body.as_text();
        self.described(&error.to_string(), &path_of::<T>(text), text)
    }

    #[cfg(test)]
    pub(crate) fn of(body: &str) -> Self {
        use super::body::Intake;
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

/// What it is in an answer with `T` that does not parse; empty where that is all of it.
pub(super) fn path_of<'a, T: Deserialize<'a>>(text: &'a str) -> String {
    let mut again = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, Envelope<T>>(&mut again) {
        Err(error) if error.path().iter().next().is_some() => error.path().to_string(),
        _ => String::new(),
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
