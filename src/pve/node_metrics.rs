//! `GET /cluster/metrics/export`: pvestatd's newest figures of every node, guest and storage; since PVE 8.2.5, needs
//! `Sys.Audit` on `/`.
//!
//! The answer has ten rows per guest, and only those of nodes are wanted. A row of something else is passed over as
//! soon as its id is known: nothing of it is kept, copied or allocated.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::answer::Answer;
use super::error::Error;
use super::rows;
use super::wire::{Entry, Number, Object, Text};

/// What pvestatd says of a node and `/cluster/resources` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeMetric {
    /// Load average over a minute.
    Load1,
    /// Load average over five minutes.
    Load5,
    /// Load average over fifteen minutes.
    Load15,
    /// The share of CPU time spent waiting for disks, 0 to 1.
    IoWait,
    /// Bytes.
    SwapSize,
    /// Bytes.
    SwapUsage,
    /// Bytes received by the physical network interfaces: a counter.
    Received,
    /// Bytes sent by the physical network interfaces: a counter.
    Transmitted,
}

/// A value of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSample<'a> {
    /// The node's name.
    pub node: Cow<'a, str>,
    /// What was measured.
    pub metric: NodeMetric,
    /// When, in seconds since 1970 by the node's own clock; −∞ where it is not said.
    pub timestamp: f64,
    /// Never negative.
    pub value: f64,
}

/// pvestatd takes a sample every ten seconds, and an answer may take half a minute to be gathered. What is older than this
/// comes from a node whose pvestatd is dead or stuck: PVE tells its last sample as long as the node runs.
const STALE: f64 = 60.0;

/// The newest sample of each metric of each node, in the order of the names. Nodes that PVE could not ask are not in it,
/// nor what was stale when the answer was given; where no header says when that was, the newest row stands in.
/// A list in which no row has an id is malformed.
pub fn node_metrics(answer: &Answer) -> Result<Vec<NodeSample<'_>>, Error> {
    let Object(Export { data: rows }) = answer.data()?;
    rows::check(answer, rows.told, rows.shaped, "an id")?;
    let mut samples = rows.samples;
    let newest = samples.iter().map(|sample| sample.timestamp).max_by(f64::total_cmp);
    if let Some(now) = answer.date.or(newest) {
        // Rows without a time say nothing of their age.
        samples.retain(|sample| sample.timestamp.is_infinite() || now - sample.timestamp <= STALE);
    }
    let newest_first = |a: &NodeSample<'_>, b: &NodeSample<'_>| {
        (&a.node, a.metric).cmp(&(&b.node, b.metric)).then(b.timestamp.total_cmp(&a.timestamp))
    };
    samples.sort_by(newest_first);
    samples.dedup_by(|later, first| (&later.node, later.metric) == (&first.node, first.metric));
    Ok(samples)
}

impl NodeMetric {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "cpu_avg1" => Self::Load1,
            "cpu_avg5" => Self::Load5,
            "cpu_avg15" => Self::Load15,
            "cpu_iowait" => Self::IoWait,
            "swap_total" => Self::SwapSize,
            "swap_used" => Self::SwapUsage,
            "net_in" => Self::Received,
            "net_out" => Self::Transmitted,
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Export<'a> {
    #[serde(borrow)]
    data: Rows<'a>,
}

#[derive(Default)]
struct Rows<'a> {
    samples: Vec<NodeSample<'a>>,
    told: usize,
    shaped: usize,
}

/// A row of a node, or `None` for one of something else. A row without an id is no row.
struct Row<'a> {
    has_id: bool,
    sample: Option<NodeSample<'a>>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Id,
    Metric,
    Value,
    Timestamp,
    #[serde(other)]
    Other,
}

struct RowsVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for RowsVisitor<'a> {
    type Value = Rows<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rows<'a>, A::Error> {
        let mut rows = Rows::default();
        while let Some(entry) = seq.next_element::<Entry<Row<'a>>>()? {
            rows.told += 1;
            if let Some(row) = entry.0 {
                rows.shaped += usize::from(row.has_id);
                rows.samples.extend(row.sample);
            }
        }
        Ok(rows)
    }
}

struct RowVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for RowVisitor<'a> {
    type Value = Row<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'a>, A::Error> {
        let (mut id, mut metric) = (Text::default(), None);
        let (mut value, mut timestamp) = (Number::default(), Number::default());
        // Once it is clear that the row is not wanted, the rest of it is only skipped to its end.
        let mut wanted = true;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Id => {
                    id = map.next_value()?;
                    wanted &= id.0.as_deref().is_some_and(|id| id.starts_with(NODE));
                }
                Key::Metric if wanted => {
                    metric = map.next_value::<Text<'_>>()?.0.as_deref().and_then(NodeMetric::parse);
                    wanted = metric.is_some();
                }
                Key::Value if wanted => value = map.next_value()?,
                Key::Timestamp if wanted => timestamp = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let has_id = id.filled().is_some();
        let sample = metric.filter(|_| wanted).zip(node(id)).zip(value.quantity()).map(|((metric, node), value)| {
            NodeSample { node, metric, timestamp: timestamp.0.unwrap_or(f64::NEG_INFINITY), value }
        });
        Ok(Row { has_id, sample })
    }
}

/// What the ids of nodes begin with.
const NODE: &str = "node/";

fn node(id: Text<'_>) -> Option<Cow<'_, str>> {
    let name = match id.0? {
        Cow::Borrowed(id) => Cow::Borrowed(id.strip_prefix(NODE)?),
        Cow::Owned(id) => Cow::Owned(id.strip_prefix(NODE)?.to_owned()),
    };
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::testing::recorded;

    fn samples(rows: &str) -> Result<Vec<(String, NodeMetric, f64)>, String> {
        let answer = Answer::of(&format!(r#"{{"data":{{"data":{rows}}}}}"#));
        let samples = node_metrics(&answer).map_err(|error| error.to_string())?;
        Ok(samples.into_iter().map(|sample| (sample.node.into_owned(), sample.metric, sample.value)).collect())
    }

    fn sample(node: &str, metric: NodeMetric, value: f64) -> (String, NodeMetric, f64) {
        (node.to_owned(), metric, value)
    }

    #[test]
    fn keys_come_in_any_order() {
        let pairs = [r#""id":"node/a""#, r#""metric":"net_in""#, r#""value":"7.5""#, r#""timestamp":1,"new":[{}]"#];
        for first in 0..pairs.len() {
            let mut turned = pairs;
            turned.rotate_left(first);
            for pairs in [turned, [turned[3], turned[1], turned[2], turned[0]]] {
                let row = format!("[{{{}}}]", pairs.join(","));
                assert_eq!(samples(&row), Ok(vec![sample("a", NodeMetric::Received, 7.5)]), "{row}");
            }
        }
        let escaped = r#"[{"i\u0064":"node\/\u0061","metric":"net\u005fin","value":7.5}]"#;
        assert_eq!(samples(escaped), Ok(vec![sample("a", NodeMetric::Received, 7.5)]));
    }

    #[test]
    fn only_rows_of_nodes_are_read_to_their_end() {
        // 1e999 is a fault where it is read as a number.
        assert!(samples(r#"[{"id":"node/a","metric":"net_in","value":1e999}]"#).is_err());
        let rows = r#"[
            {"id":"qemu/100","metric":"net_in","value":1e999,"timestamp":{"any":["thing"]},"type":"derive"},
            {"metric":"brand_new","value":1e999,"id":"node/a"},
            {"metric":"net_in","value":1,"timestamp":1,"id":"storage/node/a"},
            {"id":"node/a","metric":"brand_new","value":1}, {"id":"node/a","metric":"net_in","value":-1},
            {"id":"node/a","metric":"net_out"}, {"id":"node/","metric":"net_out","value":1}, {"id":7}, 7, null, "x", [],
            {"id":"node/a","metric":"swap_used","value":0}
        ]"#;
        assert_eq!(samples(rows), Ok(vec![sample("a", NodeMetric::SwapUsage, 0.0)]));
    }

    #[test]
    fn the_newest_of_several_rows_counts() {
        let row = |node: &str, value: u8, timestamp: &str| {
            format!(r#"{{"id":"node/{node}","metric":"cpu_avg1","value":{value},"timestamp":{timestamp}}}"#)
        };
        let rows = [row("b", 1, "10"), row("b", 2, "30"), row("a", 3, "5"), row("b", 4, "20"), row("b", 5, "null")];
        let expected = Ok(vec![sample("a", NodeMetric::Load1, 3.0), sample("b", NodeMetric::Load1, 2.0)]);
        assert_eq!(samples(&format!("[{}]", rows.join(","))), expected);
        let turned: Vec<String> = rows.iter().rev().cloned().collect();
        assert_eq!(samples(&format!("[{}]", turned.join(","))), expected);
    }

    #[test]
    fn the_last_words_of_a_dead_pvestatd_are_left_out() {
        let row = |node: &str, timestamp: &str| {
            format!(r#"{{"id":"node/{node}","metric":"cpu_avg1","value":1,"timestamp":{timestamp}}}"#)
        };
        let rows = [row("a", "1000"), row("b", "940"), row("c", "939"), row("d", "null"), row("e", "2000")];
        let told = |date: Option<f64>, rows: &[String]| -> Vec<String> {
            let answer = Answer { date, ..Answer::of(&format!(r#"{{"data":{{"data":[{}]}}}}"#, rows.join(","))) };
            node_metrics(&answer).expect("rows").into_iter().map(|sample| sample.node.into_owned()).collect()
        };
        assert_eq!(told(Some(1000.0), &rows), ["a", "b", "d", "e"], "a clock that is ahead does no harm");
        assert_eq!(told(Some(5000.0), &rows), ["d"], "on a node that stands alone, only the date tells");
        assert_eq!(told(None, &rows[..4]), ["a", "b", "d"]);
        assert_eq!(told(None, &[]), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_no_fault_and_something_else_is() {
        assert_eq!(samples("[]"), Ok(Vec::new()));
        assert_eq!(samples(r#"[{"id":"qemu/100","metric":"uptime","value":1}]"#), Ok(Vec::new()));
        for rows in [r#"[{"name":"x"},7]"#, "{}", "null", "7"] {
            assert!(samples(rows).is_err_and(|error| error.contains("malformed")), "{rows}");
        }
        for body in [r#"{"data":[[]]}"#, r#"{"data":{}}"#, r#"{"data":null}"#] {
            assert!(node_metrics(&Answer::of(body)).is_err(), "{body}");
        }
    }

    #[test]
    fn names_are_borrowed() {
        let answer = recorded("pve-9.2-cluster/GET_cluster__metrics__export.json");
        let samples = node_metrics(&answer).expect("the recording");
        assert_eq!(samples.len(), 16);
        assert!(samples.iter().all(|sample| matches!(sample.node, Cow::Borrowed(_))));
    }
}
