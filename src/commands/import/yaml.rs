//! A YAML document as a tree whose nodes know their lines; aliases share nodes, so that none of them multiplies.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::scalar::{Meaning, meaning};

/// The deepest nesting, aliases followed. A pve.yml has two levels.
const DEEPEST: usize = 64;
/// The most nodes, and the most pairs that merges copy.
const MOST_NODES: usize = 100_000;

/// A value and the line where it begins, counted from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
    /// How deep it reaches, itself counted.
    depth: usize,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value {
    /// A scalar; quoted ones and those tagged `!!str` are always texts.
    Scalar { text: String, quoted: bool },
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping in the order of the file, merges (`<<`) done, the last of equal keys kept.
    Map(Vec<(Key, Rc<Node>)>),
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) line: usize,
}

/// A document that was read.
#[derive(Debug)]
pub(super) struct Document {
    /// None: the file is empty, or only comments.
    pub(super) root: Option<Rc<Node>>,
    /// Keys that are there again in the same mapping.
    pub(super) repeated: Vec<Key>,
}

/// Why a text is no document that can be read; the rest of a sentence, without any of the text.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Node {
    /// What a scalar means; `None` for lists and mappings.
    pub(super) fn meaning(&self) -> Option<Meaning> {
        match &self.value {
            Value::Scalar { quoted: true, .. } => Some(Meaning::Text),
            Value::Scalar { text, quoted: false } => Some(meaning(text)),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text of a scalar as it is written; empty for lists and mappings.
    pub(super) fn text(&self) -> &str {
        if let Value::Scalar { text, .. } = &self.value { text } else { "" }
    }

    /// What is there, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match (&self.value, self.meaning()) {
            (Value::List(_), _) => "a list",
            (Value::Map(_), _) => "a mapping",
            (_, Some(Meaning::Null)) => "nothing",
            (_, Some(Meaning::Bool(_))) => "a truth value",
            (_, Some(Meaning::SameText | Meaning::OtherText)) => "a number or date",
            _ => "a text",
        }
    }
}

/// Reads a text that holds one document.
pub(super) fn parse(text: &str) -> Result<Document, Broken> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Broken {
            line: error.marker().line(),
            message: format!("expected YAML, found at column {}: {}", error.marker().col() + 1, error.info()),
        })?;
        tree.take(event, span)?;
    }
    Ok(Document { root: tree.root, repeated: tree.repeated })
}

/// A collection that has begun.
enum Open {
    List { anchor: usize, line: usize, items: Vec<Rc<Node>> },
    Map { anchor: usize, line: usize, pairs: Vec<(Rc<Node>, Rc<Node>)>, key: Option<Rc<Node>> },
}

#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    anchored: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    repeated: Vec<Key>,
    nodes: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Broken> {
        let line = span.start.line();
        let broken = |message: &str| Err(Broken { line, message: message.to_owned() });
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // A tag counts for quoted ones, too: `!vault "…"` is not the text in the quotes.
                let quoted = is_text(tag.as_deref(), line)? || style != ScalarStyle::Plain;
                self.put(Value::Scalar { text: text.into_owned(), quoted }, anchor, line)
            }
            Event::SequenceStart(anchor, tag) => {
                untagged(tag.as_deref(), line)?;
                self.open.push(Open::List { anchor, line, items: Vec::new() });
                self.not_too_deep(self.open.len(), line)
            }
            Event::MappingStart(anchor, tag) => {
                untagged(tag.as_deref(), line)?;
                self.open.push(Open::Map { anchor, line, pairs: Vec::new(), key: None });
                self.not_too_deep(self.open.len(), line)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { anchor, line, items }) => self.put(Value::List(items), anchor, line),
                Some(Open::Map { anchor, line, pairs, .. }) => {
                    let pairs = self.flattened(pairs)?;
                    self.put(Value::Map(pairs), anchor, line)
                }
                None => broken("expected YAML, found the end of a list or mapping that has not begun"),
            },
            Event::Alias(anchor) => match self.anchored.get(&anchor) {
                Some(node) => self.place(Rc::clone(node), line),
                None => broken("expected an alias of something that stands before it, found one of what it stands in"),
            },
            Event::DocumentStart(_) if self.root.is_some() => {
                broken("expected one document, found the begin of a second one")
            }
            _ => Ok(()),
        }
    }

    /// Makes a node and puts it where the tree has got to.
    fn put(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), Broken> {
        self.count(line)?;
        let depth = 1 + match &value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(|node| node.depth).max().unwrap_or(0),
            Value::Map(pairs) => pairs.iter().map(|(_, node)| node.depth).max().unwrap_or(0),
        };
        self.not_too_deep(depth, line)?;
        let node = Rc::new(Node { line, value, depth });
        if anchor != 0 {
            self.anchored.insert(anchor, Rc::clone(&node));
        }
        self.place(node, line)
    }

    fn place(&mut self, node: Rc<Node>, line: usize) -> Result<(), Broken> {
        self.count(line)?;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { pairs, key, .. }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(node),
            },
        }
        Ok(())
    }

    /// Merges done, the last of equal keys kept, as the reader of the reference does.
    fn flattened(&mut self, pairs: Vec<(Rc<Node>, Rc<Node>)>) -> Result<Vec<(Key, Rc<Node>)>, Broken> {
        let (merges, own): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| is_merge(key));
        let mut map = Map::default();
        for (key, source) in merges {
            let sources: Vec<&Rc<Node>> = match &source.value {
                // The first of a list wins.
                Value::List(items) => items.iter().rev().collect(),
                _ => vec![&source],
            };
            for source in sources {
                let Value::Map(pairs) = &source.value else {
                    let message = format!("expected mappings to merge at <<, found {}", source.kind());
                    return Err(Broken { line: key.line, message });
                };
                for (key, node) in pairs {
                    self.count(key.line)?;
                    map.set(key.clone(), Rc::clone(node));
                }
            }
        }
        let merged = map.pairs.len();
        let mut seen: HashMap<String, ()> = HashMap::with_capacity(merged);
        for (key, node) in own {
            let Value::Scalar { text, .. } = &key.value else {
                let message = format!("expected a text as key, found {}", key.kind());
                return Err(Broken { line: key.line, message });
            };
            let key = Key { text: text.clone(), line: key.line };
            if seen.insert(key.text.clone(), ()).is_some() {
                self.repeated.push(key.clone());
            }
            map.set(key, node);
        }
        Ok(map.pairs)
    }

    fn count(&mut self, line: usize) -> Result<(), Broken> {
        self.nodes += 1;
        if self.nodes <= MOST_NODES {
            return Ok(());
        }
        Err(Broken { line, message: format!("expected at most {MOST_NODES} values, found more") })
    }

    fn not_too_deep(&self, depth: usize, line: usize) -> Result<(), Broken> {
        if depth <= DEEPEST {
            return Ok(());
        }
        Err(Broken { line, message: format!("expected at most {DEEPEST} levels, found more") })
    }
}

/// Pairs in the order of their keys' first appearance.
#[derive(Default)]
struct Map {
    pairs: Vec<(Key, Rc<Node>)>,
    index: HashMap<String, usize>,
}

impl Map {
    fn set(&mut self, key: Key, node: Rc<Node>) {
        match self.index.get(&key.text).and_then(|index| self.pairs.get_mut(*index)) {
            Some(pair) => *pair = (key, node),
            None => {
                self.index.insert(key.text.clone(), self.pairs.len());
                self.pairs.push((key, node));
            }
        }
    }
}

fn is_merge(key: &Node) -> bool {
    matches!(&key.value, Value::Scalar { text, quoted: false } if text == "<<")
}

/// Whether a scalar is tagged as text; any other tag than that is refused.
fn is_text(tag: Option<&Tag>, line: usize) -> Result<bool, Broken> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
        // "!" alone: not resolved, hence a text.
        Some(tag) if tag.suffix == "!" && tag.handle.is_empty() => Ok(true),
        other => untagged(other, line).map(|()| false),
    }
}

fn untagged(tag: Option<&Tag>, line: usize) -> Result<(), Broken> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "map" | "seq") => Ok(()),
        Some(_) => {
            Err(Broken { line, message: "expected no tag but !!str, found another one; leave it off".to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tree in one line.
    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Scalar { text, quoted } => format!("{text}{}", if *quoted { "'" } else { "" }),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|node| shown(node)).collect::<Vec<_>>().join(","))
            }
            Value::Map(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, node)| format!("{}@{}:{}", key.text, key.line, shown(node))).collect();
                format!("{{{}}}", pairs.join(","))
            }
        }
    }

    fn read(text: &str) -> String {
        match parse(text) {
            Ok(document) => document.root.map_or("nothing".to_owned(), |root| shown(&root)),
            Err(broken) => format!("{}: {}", broken.line, broken.message),
        }
    }

    #[test]
    fn documents_become_trees() {
        for (text, tree) in [
            ("", "nothing"),
            ("# only a comment\n", "nothing"),
            ("a: 1\nb: 'x'\n", "{a@1:1,b@2:x'}"),
            ("a:\n  b: !!str 1\n  c:\n", "{a@1:{b@2:1',c@3:}}"),
            ("a: |\n  x\n  y\nb: [1, \"2\"]\n", "{a@1:x\ny\n',b@4:[1,2']}"),
            ("a: &x 1\nb: *x\n", "{a@1:1,b@2:1}"),
            ("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n", "{a@1:{k@1:1,l@1:2},b@2:{k@4:3,l@1:2}}"),
            ("b: {<<: [{k: 1}, {k: 2, l: 3}], m: 4}", "{b@1:{k@1:1,l@1:3,m@1:4}}"),
            ("a: 1\na: 2\n", "{a@2:2}"),
            ("---\na: ! 1\n...\n", "{a@2:1'}"),
            ("a: !!str 'x'\nb: ! \"y\"\n", "{a@1:x',b@2:y'}"),
        ] {
            assert_eq!(read(text), tree, "{text}");
        }
        assert_eq!(parse("a: 1\nb: 2\na: 3\n").unwrap().repeated.len(), 1);
        assert_eq!(parse("a: &x {k: 1}\nb: {<<: *x, k: 2}\n").unwrap().repeated.len(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        for (text, words) in [
            ("a: [1\nb: 2\n", "2: expected YAML"),
            ("a: 1\n b: 2\n", "expected YAML"),
            ("a: *x\n", "1: expected YAML"),
            ("a: 1\nb: !secret x\n", "2: expected no tag but !!str"),
            ("a: !vault \"x\"\n", "1: expected no tag but !!str"),
            ("a: 1\nb: !!binary |\n  eA==\n", "2: expected no tag but !!str"),
            ("a: 1\n---\nb: 2\n", "2: expected one document"),
            ("\na: &x [*x]\n", "2: expected an alias of something that stands before it"),
            ("a: 1\n<<: 3\n", "2: expected mappings to merge"),
            ("? [a]\n: 1\n", "1: expected a text as key"),
        ] {
            assert!(read(text).contains(words), "{text}: {}", read(text));
        }
    }

    #[test]
    fn what_grows_is_bounded() {
        assert!(read(&"[".repeat(70)).contains("at most 64 levels"), "{}", read(&"[".repeat(70)));
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(read(&"- ".repeat(100_000)).contains("levels"));
        assert!(read(&"- x\n".repeat(100_000)).contains("at most 100000 values"));
        let chain: String = (1..5000).map(|n| format!("k{n}: &a{n} [*a{}]\n", n - 1)).collect();
        assert!(read(&format!("k0: &a0 x\n{chain}")).contains("levels"));
        let laughs: String =
            (1..30).map(|n| format!("k{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))).collect();
        assert!(parse(&format!("k0: &a0 x\n{laughs}")).is_ok(), "shared, not copied");
        let wide: String = (0..2000).map(|n| format!("  k{n}: 1\n")).collect();
        let merges: String = (0..100).map(|n| format!("m{n}:\n  <<: *w\n")).collect();
        assert!(read(&format!("w: &w\n{wide}{merges}")).contains("values"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "[-a:&*<\\[\\]{}, \n'\"|>!?#%]{0,60}") {
            let _ = (parse(&text), parse(&close));
        }
    }
}
