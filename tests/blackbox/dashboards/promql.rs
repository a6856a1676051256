//! What an expression of `PromQL` names, variables of Grafana included.

use std::collections::BTreeSet;

/// A metric, the labels by which it is chosen, and what stands before and after it.
#[derive(Debug)]
pub struct Selector {
    pub metric: String,
    pub labels: Vec<String>,
    /// The innermost function or aggregation around it.
    pub function: String,
    pub window: String,
}

#[derive(Debug, Default)]
pub struct Names {
    pub selectors: Vec<Selector>,
    /// Labels of `by`, `on` and the like.
    pub clauses: BTreeSet<String>,
}

const CLAUSES: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// Reads an expression; panics where it is not balanced.
pub fn names(expr: &str) -> Names {
    let mut names = Names::default();
    let mut functions: Vec<String> = Vec::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            let (word, after) = word(rest);
            rest = after.trim_start();
            if CLAUSES.contains(&word) && rest.starts_with('(') {
                let (list, after) = rest[1..].split_once(')').expect("a list ends");
                names.clauses.extend(list.split(',').map(|label| label.trim().to_owned()).filter(|l| !l.is_empty()));
                rest = after;
            } else if rest.starts_with('(') {
                functions.push(word.to_owned());
                rest = &rest[1..];
            } else if is_aggregation(word) {
                // `sum by (…) (`: the clause comes first.
                functions.push(word.to_owned());
                let open = rest.find(") (").expect("an aggregation has an argument");
                let (clause, after) = rest.split_at(open + 3);
                names.clauses.extend(labels_of(clause));
                rest = after;
            } else if !WORDS.contains(&word) {
                rest = selector(word, rest, functions.last(), &mut names);
            }
        } else if first == '{' {
            rest = selector("", rest, functions.last(), &mut names);
        } else if first.is_ascii_digit() || first == '$' {
            rest = word(&rest[1..]).1;
        } else {
            match first {
                '(' => functions.push(functions.last().cloned().unwrap_or_default()),
                ')' => drop(functions.pop().unwrap_or_else(|| panic!("too many ) in {expr}"))),
                '"' => rest = &rest[1 + rest[1..].find('"').expect("a text ends")..],
                _ => {}
            }
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
        }
    }
    assert!(functions.is_empty(), "{expr}: something is not closed: {functions:?}");
    names
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text.split_at(end)
}

fn is_aggregation(word: &str) -> bool {
    ["sum", "max", "min", "avg", "count", "topk", "bottomk"].contains(&word)
}

fn labels_of(clause: &str) -> Vec<String> {
    let (_, list) = clause.split_once('(').expect("a list");
    list.split([',', ')', '(']).map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect()
}

fn selector<'a>(metric: &str, rest: &'a str, function: Option<&String>, names: &mut Names) -> &'a str {
    let (mut labels, mut window, mut rest) = (Vec::new(), "", rest);
    if let Some(matchers) = rest.strip_prefix('{') {
        let mut inside = matchers;
        while !inside.starts_with('}') {
            let (label, after) = word(inside.trim_start_matches([',', ' ']));
            labels.push(label.to_owned());
            let value = &after[after.find('"').expect("a value") + 1..];
            inside = &value[value.find('"').expect("a value ends") + 1..];
        }
        rest = &inside[1..];
    }
    if let Some(inside) = rest.strip_prefix('[') {
        let (length, after) = inside.split_once(']').expect("a window ends");
        (window, rest) = (length, after);
    }
    let (metric, window) = (metric.to_owned(), window.to_owned());
    names.selectors.push(Selector { metric, labels, function: function.cloned().unwrap_or_default(), window });
    rest
}

#[test]
fn names_are_found_wherever_they_stand() {
    let expr = "topk($top, max by (cluster, id) (rate(pve_a_total{id=~\"(qemu|lxc)/.+\", x!=\"{\"}[5m] @ end())) * on (id) group_left (name) b:c) and count(up) > 1e9 or time() - (d)";
    let names = names(expr);
    let found: Vec<(&str, &str, &str)> =
        names.selectors.iter().map(|s| (s.metric.as_str(), s.function.as_str(), s.window.as_str())).collect();
    assert_eq!(found, [("pve_a_total", "rate", "5m"), ("b:c", "topk", ""), ("up", "count", ""), ("d", "", "")]);
    assert_eq!(names.selectors[0].labels, ["id", "x"]);
    assert_eq!(names.clauses.iter().map(String::as_str).collect::<Vec<_>>(), ["cluster", "id", "name"]);
}
