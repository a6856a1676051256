//! What a program behind PVE says of itself, passed on as it is: parts of it may change their type with its release, and
//! cost nothing else then.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::wire::{Entry, MOST_ENTRIES};

/// An object; the default in place of anything else.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part<T>(pub T);

/// The objects of a list; none where it is no list. What else is in it is counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The objects.
    pub items: Vec<T>,
    /// How many entries there are, of whatever type; absent where it is no list.
    pub length: Option<usize>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { items: Vec::new(), length: None }
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Entry::deserialize(deserializer)?.0.unwrap_or_default()))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListedVisitor(PhantomData))
    }
}

struct ListedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListedVisitor<T> {
    type Value = Listed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listed<T>, A::Error> {
        let (mut items, mut length) = (Vec::new(), 0);
        while let Some(entry) = seq.next_element::<Entry<T>>()? {
            if length == MOST_ENTRIES {
                return Err(A::Error::custom(format_args!("more than {MOST_ENTRIES} entries")));
            }
            length += 1;
            items.extend(entry.0);
        }
        Ok(Listed { items, length: Some(length) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed<T>, A::Error> {
        while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
        Ok(Listed::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Listed<T>, E> {
        Ok(Listed::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Listed<T>, E> {
        Ok(Listed::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Listed<T>, E> {
        Ok(Listed::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Listed<T>, E> {
        Ok(Listed::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Listed<T>, E> {
        Ok(Listed::default())
    }

    fn visit_unit<E>(self) -> Result<Listed<T>, E> {
        Ok(Listed::default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Number;
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Thing {
        size: Number,
        list: Listed<Thing>,
        part: Part<Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        size: Number,
    }

    #[test]
    fn what_has_another_type_costs_nothing_else() {
        for other in ["null", "7", "-7", "0.5", "true", "\"x\"", "[1,[]]", "{\"a\":{}}"] {
            let text = format!(r#"{{"list":{other},"part":{other},"size":3}}"#);
            let thing: Thing = serde_json::from_str(&text).expect("a thing");
            assert_eq!((thing.size.0, thing.list.items.len(), thing.part.0.size.0), (Some(3.0), 0, None), "{other}");
            assert_eq!(thing.list.length, other.starts_with('[').then_some(2), "{other}");
        }
        let thing: Thing = serde_json::from_str(r#"{"list":[{"size":1},2],"part":{"size":4}}"#).expect("a thing");
        assert_eq!(
            (thing.list.items[0].size.0, thing.list.length, thing.part.0.size.0),
            (Some(1.0), Some(2), Some(4.0))
        );
        let endless = format!(r#"{{"list":[{}0]}}"#, "0,".repeat(MOST_ENTRIES));
        assert!(serde_json::from_str::<Thing>(&endless).is_err());
    }
}
