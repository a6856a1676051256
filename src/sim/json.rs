//! JSON text written straight into a string, the keys of each object in another order.

use super::noise::Shuffle;

/// One value of a flat object, as PVE writes them.
pub(super) enum Value<'a> {
    /// A string.
    Text(&'a str),
    /// An integer literal.
    Whole(u64),
    /// A number that PVE writes as an integer where it is whole, such as `cpu` and `maxcpu`.
    Real(f64),
}

/// A key and its value.
pub(super) type Field<'a> = (&'static str, Value<'a>);

/// `{"data":[…]}`, object by object.
pub(super) struct List {
    text: String,
    order: Shuffle,
    empty: bool,
    end: &'static str,
}

impl List {
    /// An empty list; `capacity` in bytes.
    pub(super) fn new(order: Shuffle, capacity: usize) -> Self {
        Self::between("{\"data\":[", "]}", order, capacity)
    }

    /// `{"data":{"data":[…]}}`.
    pub(super) fn nested(order: Shuffle, capacity: usize) -> Self {
        Self::between("{\"data\":{\"data\":[", "]}}", order, capacity)
    }

    fn between(begin: &str, end: &'static str, order: Shuffle, capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity);
        text.push_str(begin);
        Self { text, order, empty: true, end }
    }

    /// One more object; its keys come in any order.
    pub(super) fn push<'a>(&mut self, mut fields: impl AsMut<[Field<'a>]>) {
        let fields = fields.as_mut();
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        self.order.apply(fields);
        push_object(&mut self.text, fields);
    }

    /// A comma-separated list in another order: PVE keeps such sets in hashes, too.
    pub(super) fn disordered(&mut self, items: &str) -> String {
        let mut items: Vec<&str> = items.split(',').collect();
        self.order.apply(&mut items);
        items.join(",")
    }

    /// The whole body.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str(self.end);
        self.text
    }
}

/// `{"data":{…}}` of one flat object.
pub(super) fn object(mut fields: Vec<Field<'_>>, mut order: Shuffle) -> String {
    let mut text = String::from("{\"data\":");
    order.apply(&mut fields);
    push_object(&mut text, &fields);
    text.push('}');
    text
}

/// Any JSON document, the keys of each of its objects in another order.
pub(super) fn reordered(document: &serde_json::Value, order: &mut Shuffle) -> String {
    let mut text = String::new();
    push_tree(&mut text, document, order);
    text
}

fn push_object(text: &mut String, fields: &[Field<'_>]) {
    text.push('{');
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push('"');
        text.push_str(key);
        text.push_str("\":");
        match value {
            Value::Text(value) => push_text(text, value),
            Value::Whole(value) => text.push_str(itoa::Buffer::new().format(*value)),
            Value::Real(value) if value.fract() == 0.0 && *value >= 0.0 => {
                text.push_str(itoa::Buffer::new().format(*value as u64));
            }
            Value::Real(value) => text.push_str(zmij::Buffer::new().format(*value)),
        }
    }
    text.push('}');
}

fn push_tree(text: &mut String, value: &serde_json::Value, order: &mut Shuffle) {
    match value {
        serde_json::Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_tree(text, item, order);
            }
            text.push(']');
        }
        serde_json::Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            order.apply(&mut fields);
            text.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_text(text, key);
                text.push(':');
                push_tree(text, value, order);
            }
            text.push('}');
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

fn push_text(text: &mut String, value: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(value).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_literals_as_pve_writes_them() {
        let text = object(vec![("maxcpu", Value::Real(2.0))], Shuffle::new(0, 0));
        assert_eq!(text, r#"{"data":{"maxcpu":2}}"#);
        let text = object(vec![("maxcpu", Value::Real(0.5))], Shuffle::new(0, 0));
        assert_eq!(text, r#"{"data":{"maxcpu":0.5}}"#);
        let text = object(vec![("name", Value::Text("a\"\\\n"))], Shuffle::new(0, 0));
        assert_eq!(text, r#"{"data":{"name":"a\"\\\n"}}"#);
    }

    #[test]
    fn documents_keep_their_meaning_and_change_their_order() {
        let source = r#"{"data":[{"a":1,"b":0.00109218953078106,"c":null,"d":{"e":true,"f":"x\ny"},"g":[]}]}"#;
        let document: serde_json::Value = serde_json::from_str(source).unwrap();
        let texts: Vec<String> = (0..5).map(|answer| reordered(&document, &mut Shuffle::new(1, answer))).collect();
        for text in &texts {
            assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap(), document);
        }
        assert!(texts.iter().any(|text| *text != texts[0]));
        assert!(texts[0].contains("0.00109218953078106"));
    }
}
