//! Lenient readers for what Perl emits: numbers as strings, strings as numbers, 0/1/"1"/true, null, absent.
//!
//! None of them fails on a value of another type: it counts as absent. What is no JSON at all, such as a bare `NaN` or half
//! of a surrogate pair, costs the answer, as does a key that is there twice.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Lists end here: several times the largest cluster, and few enough for a wrong answer not to fill the memory, which
/// entries of two bytes would otherwise do.
pub(super) const MOST_ENTRIES: usize = 100_000;

/// A finite number, or absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Number(pub Option<f64>);

/// A text, or absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

/// A truth value, or absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

/// An object and nothing else: a struct alone would also take a list for its fields in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object<T>(pub T);

/// A list of objects. Entries that are no objects are counted and passed over.
#[derive(Debug, Clone, PartialEq)]
pub struct List<T> {
    /// The objects.
    pub items: Vec<T>,
    /// How many entries were of another type.
    pub skipped: usize,
}

/// An object whose keys are names, each with an object; values of another type are passed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<'a, T>(pub Vec<(Text<'a>, T)>);

impl Number {
    /// A quantity: negative values are no news.
    pub fn quantity(self) -> Option<f64> {
        self.0.filter(|value| *value >= 0.0)
    }

    /// A whole number from 0 to 2^53, such as a vmid.
    pub fn whole(self) -> Option<u64> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be whole and in range")]
        self.0.filter(|value| value.fract() == 0.0 && (0.0..=EXACT).contains(value)).map(|value| value as u64)
    }
}

impl Text<'_> {
    /// The text if there is one that is not empty.
    pub fn filled(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

struct NumberVisitor;

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number(Some(value).filter(|value| value.is_finite())))
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 bytes the last digits are of no interest")]
    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 bytes the last digits are of no interest")]
    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Number, E> {
        Ok(Number(Some(f64::from(u8::from(value)))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Number, E> {
        Ok(Number(value.trim().parse().ok().filter(|value: &f64| value.is_finite())))
    }

    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Number, A::Error> {
        pass_over_seq(seq).map(|()| Number(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Number, A::Error> {
        pass_over_map(map).map(|()| Number(None))
    }
}

struct TextVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for TextVisitor<'a> {
    type Value = Text<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'a>, E> {
        Ok(Text(Some(Cow::Borrowed(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Text<'a>, E> {
        Ok(Text(Some(Cow::Owned(value.to_owned()))))
    }

    // A guest may be called 2024, and Perl then may say so as a number.
    fn visit_u64<E>(self, value: u64) -> Result<Text<'a>, E> {
        Ok(Text(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Text<'a>, E> {
        Ok(Text(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Text<'a>, E> {
        Ok(Text(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Text<'a>, E> {
        Ok(Text(Some(Cow::Borrowed(if value { "1" } else { "0" }))))
    }

    fn visit_unit<E>(self) -> Result<Text<'a>, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text<'a>, A::Error> {
        pass_over_seq(seq).map(|()| Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'a>, A::Error> {
        pass_over_map(map).map(|()| Text(None))
    }
}

struct FlagVisitor;

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

impl<'de> Visitor<'de> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a truth value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(Some(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Flag, E> {
        Ok(Flag(match value {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Flag, E> {
        Ok(Flag(None))
    }

    // 1.0 is 1.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Flag, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_str<E>(self, value: &str) -> Result<Flag, E> {
        Ok(Flag(match value {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" | "" => Some(false),
            _ => None,
        }))
    }

    fn visit_unit<E>(self) -> Result<Flag, E> {
        Ok(Flag(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Flag, A::Error> {
        pass_over_seq(seq).map(|()| Flag(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Flag, A::Error> {
        pass_over_map(map).map(|()| Flag(None))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut list = List { items: Vec::new(), skipped: 0 };
        while let Some(entry) = seq.next_element::<Entry<T>>()? {
            if list.items.len() + list.skipped == MOST_ENTRIES {
                return Err(A::Error::custom(format_args!("more than {MOST_ENTRIES} entries")));
            }
            match entry.0 {
                Some(item) => list.items.push(item),
                None => list.skipped += 1,
            }
        }
        Ok(list)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Entry::deserialize(deserializer)?.0.map(Object).ok_or_else(|| D::Error::custom("expected an object"))
    }
}

struct NamedVisitor<'a, T>(PhantomData<(&'a (), T)>);

impl<T> Default for Named<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Named<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = deserializer.deserialize_any(EntryOf(NamedVisitor::<'a, T>(PhantomData)))?;
        Ok(named.unwrap_or_default())
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> DeserializeSeed<'de> for NamedVisitor<'a, T> {
    type Value = Named<'a, T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<'a, T> {
    type Value = Named<'a, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<'a, T>, A::Error> {
        let mut named = Vec::new();
        while let Some((key, Entry(value))) = map.next_entry::<Text<'a>, Entry<T>>()? {
            if named.len() == MOST_ENTRIES {
                return Err(A::Error::custom(format_args!("more than {MOST_ENTRIES} entries")));
            }
            named.extend(value.map(|value| (key, value)));
        }
        Ok(Named(named))
    }
}

/// An object, or something else.
pub(super) struct Entry<T>(pub(super) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        EntryOf(PhantomData::<T>).deserialize(deserializer).map(Entry)
    }
}

/// What is made of an object, or nothing of something else.
pub(super) struct EntryOf<S>(pub(super) S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for EntryOf<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for EntryOf<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        pass_over_seq(seq).map(|()| None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

fn pass_over_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn pass_over_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Row<'a> {
        number: Number,
        #[serde(borrow)]
        text: Text<'a>,
        flag: Flag,
    }

    fn row(json: &str) -> Row<'_> {
        serde_json::from_str(json).expect("a row")
    }

    #[test]
    fn numbers_come_in_many_forms() {
        for (json, value) in [
            ("1", Some(1.0)),
            ("0.5", Some(0.5)),
            ("\"0.00\"", Some(0.0)),
            ("\" 24 \"", Some(24.0)),
            ("-3", Some(-3.0)),
            ("true", Some(1.0)),
            ("null", None),
            ("\"\"", None),
            ("\"inf\"", None),
            ("\"N/A\"", None),
            ("[1,[2]]", None),
            ("{\"a\":{}}", None),
        ] {
            assert_eq!(row(&format!("{{\"number\":{json}}}")).number.0, value, "{json}");
        }
        assert_eq!(row("{}").number.0, None);
    }

    #[test]
    fn whole_numbers_are_exact_or_absent() {
        for (value, whole) in [(100.0, Some(100)), (0.5, None), (-1.0, None), (1e300, None)] {
            assert_eq!(Number(Some(value)).whole(), whole, "{value}");
        }
    }

    #[test]
    fn texts_and_flags_come_in_many_forms() {
        assert_eq!(row(r#"{"text":"web"}"#).text.0, Some(Cow::Borrowed("web")));
        assert_eq!(row(r#"{"text":2024}"#).text.filled(), Some("2024"));
        assert_eq!(row(r#"{"text":"a\"b"}"#).text.filled(), Some("a\"b"));
        assert_eq!(row(r#"{"text":{"a":1}}"#).text.0, None);
        assert_eq!(row(r#"{"text":""}"#).text.filled(), None);
        for (json, flag) in [
            ("1", Some(true)),
            ("0", Some(false)),
            ("\"1\"", Some(true)),
            ("true", Some(true)),
            ("1.0", Some(true)),
            ("-0.0", None),
        ] {
            assert_eq!(row(&format!("{{\"flag\":{json}}}")).flag.0, flag, "{json}");
        }
        for json in ["\"perhaps\"", "null", "2", "-1", "0.5", "[1]", "{\"a\":1}"] {
            assert_eq!(row(&format!("{{\"flag\":{json}}}")).flag.0, None, "{json}");
        }
    }

    #[test]
    fn entries_that_are_no_objects_are_passed_over() {
        let list: List<Row<'_>> =
            serde_json::from_str(r#"[{"number":1}, 7, -1, 0.5, null, true, "x", [[]], {"number":2,"new":[{}]}]"#)
                .expect("a list");
        assert_eq!(list.skipped, 7);
        assert_eq!(list.items.iter().map(|row| row.number.0).collect::<Vec<_>>(), [Some(1.0), Some(2.0)]);
        let long = |entries| format!("[{}{{}}]", "{},".repeat(entries - 1));
        assert_eq!(
            serde_json::from_str::<List<Row<'_>>>(&long(MOST_ENTRIES)).expect("a list").items.len(),
            MOST_ENTRIES
        );
        assert!(serde_json::from_str::<List<Row<'_>>>(&long(MOST_ENTRIES + 1)).is_err());
        assert!(serde_json::from_str::<List<Row<'_>>>("{}").is_err());
        assert!(serde_json::from_str::<List<Row<'_>>>("null").is_err());
    }

    #[test]
    fn an_object_is_nothing_else() {
        let text = r#"{"number":1,"text":"web"}"#;
        let object: Object<Row<'_>> = serde_json::from_str(text).expect("an object");
        assert_eq!((object.0.number.0, object.0.text.0), (Some(1.0), Some(Cow::Borrowed("web"))));
        for text in ["[1, \"web\"]", "[]", "null", "7", "\"web\"", "true"] {
            assert!(serde_json::from_str::<Object<Row<'_>>>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Option<Object<Row<'_>>>>("null").expect("none").is_none());
    }
}
