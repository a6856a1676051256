//! Long lists, entry by entry: what is kept of an entry is smaller than the entry, and thousands of them need never be
//! there at once.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::wire::{EntryOf, MOST_ENTRIES};

/// Reads `{"data": [...]}` and hands each object of the list to `take`. Answers how many entries there were, those that
/// are no objects included. After an error, what was taken came from something that is no answer.
pub(super) fn each<'a, T: Deserialize<'a>>(json: &'a str, take: impl FnMut(&T)) -> serde_json::Result<usize> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let told = deserializer.deserialize_map(Envelope(Entries { take, of: PhantomData }))?;
    deserializer.end()?;
    Ok(told)
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Data,
    #[serde(other)]
    Other,
}

struct Envelope<S>(S);

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Envelope<S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Value, A::Error> {
        let (mut seed, mut data) = (Some(self.0), None);
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Data => {
                    let seed = seed.take().ok_or_else(|| A::Error::duplicate_field("data"))?;
                    data = Some(map.next_value_seed(seed)?);
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        data.ok_or_else(|| A::Error::missing_field("data"))
    }
}

struct Entries<T, F> {
    take: F,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(&T)> DeserializeSeed<'de> for Entries<T, F> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(&T)> Visitor<'de> for Entries<T, F> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<usize, A::Error> {
        let mut told = 0;
        while seq.next_element_seed(EntryOf(Take::new(&mut self.take)))?.is_some() {
            if told == MOST_ENTRIES {
                return Err(A::Error::custom(format_args!("more than {MOST_ENTRIES} entries")));
            }
            told += 1;
        }
        Ok(told)
    }
}

/// Hands an object over where it is read: it is not moved on its way.
pub(super) struct Take<'f, T, F> {
    take: &'f mut F,
    of: PhantomData<T>,
}

impl<'f, T, F: FnMut(&T)> Take<'f, T, F> {
    pub(super) fn new(take: &'f mut F) -> Self {
        Self { take, of: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(&T)> DeserializeSeed<'de> for Take<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        T::deserialize(deserializer).map(|entry| (self.take)(&entry))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Text;
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Row<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }

    /// The names that were told, and how many entries there were.
    fn names(json: &str) -> Result<(Vec<String>, usize), String> {
        let mut names = Vec::new();
        let take = |row: &Row<'_>| names.push(row.name.filled().unwrap_or("-").to_owned());
        let told = each(json, take).map_err(|error| error.to_string())?;
        Ok((names, told))
    }

    #[test]
    fn objects_are_taken_in_order_and_others_are_counted() {
        let told = names(r#"{"success":1,"data":[{"name":"a"},7,{"new":[{}]},null,{"name":"b"}],"total":5} "#);
        assert_eq!(told, Ok((vec!["a".into(), "-".into(), "b".into()], 5)));
        assert_eq!(names(r#"{"data":[]}"#), Ok((vec![], 0)));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (json, words) in [
            ("[[]]", "expected an object with data"),
            ("{}", "missing field `data`"),
            (r#"{"data":null}"#, "expected a list"),
            (r#"{"data":{}}"#, "expected a list"),
            (r#"{"data":[],"data":[]}"#, "duplicate field `data`"),
            (r#"{"data":[]} x"#, "trailing characters"),
            (r#"{"data":[{}"#, "EOF"),
        ] {
            let error = names(json).expect_err(json);
            assert!(error.contains(words), "{json}: {error}");
        }
    }

    #[test]
    fn lists_end_somewhere() {
        let long = |entries| format!("{{\"data\":[{}{{}}]}}", "7,".repeat(entries - 1));
        assert_eq!(names(&long(MOST_ENTRIES)).map(|(_, told)| told), Ok(MOST_ENTRIES));
        assert!(names(&long(MOST_ENTRIES + 1)).is_err());
    }
}
