//! The one writer of pages: parts and own metrics in, chunks of text out.
//!
//! A page is never whole in memory: each chunk is written when it is asked for.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::format::{VALUE_SIZE, base_name, header_size, write_header, write_value};
use super::{Desc, Format, Kind, Own, Part};

/// The size of a chunk in bytes. Only a single line that is longer makes a longer chunk.
pub const CHUNK: usize = 64 * 1024;

/// Everything that stands on one page.
#[derive(Debug, Clone)]
pub struct Page {
    parts: Vec<Arc<Part>>,
    own: Option<Arc<Own>>,
}

/// The text of a page, piece by piece; keeps its place between two calls.
#[derive(Debug)]
pub struct Chunks {
    format: Format,
    parts: Vec<Arc<Part>>,
    /// In the order of the page.
    plan: Vec<Slot>,
    slot: usize,
    sample: usize,
    /// What every labelled sample of the current slot begins with: `name{cluster="home",`.
    prefix: Vec<u8>,
    own: Option<Arc<Own>>,
    /// The own metrics and the end of the page, once all parts are written.
    tail: Option<Bytes>,
    /// Its allocation comes back when the reader has dropped the chunk before.
    buffer: BytesMut,
}

/// A family of a part.
#[derive(Debug, Clone, Copy)]
struct Slot {
    part: usize,
    family: usize,
    /// Whether HELP and TYPE are due: the first of its name.
    first: bool,
}

impl Page {
    /// Families come from `parts`, the process' own metrics, if wanted, after them.
    pub fn new(parts: Vec<Arc<Part>>, own: Option<Arc<Own>>) -> Self {
        Self { parts, own }
    }

    /// Writes the page in `format`: families by name, each once, with the samples of all parts in the order of the
    /// parts; families without samples are left out.
    pub fn chunks(&self, format: Format) -> Chunks {
        Chunks {
            format,
            parts: self.parts.clone(),
            plan: plan(&self.parts, format),
            slot: 0,
            sample: 0,
            prefix: Vec::new(),
            own: self.own.clone(),
            tail: None,
            buffer: BytesMut::new(),
        }
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.buffer.reserve(CHUNK);
        while self.slot < self.plan.len() {
            if !self.write_slot() {
                return Some(self.buffer.split().freeze());
            }
            self.slot += 1;
            self.sample = 0;
        }
        self.write_tail();
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }
}

impl Chunks {
    /// Writes what is left of the current slot; false when the chunk is full before.
    fn write_slot(&mut self) -> bool {
        let Slot { part, family, first } = self.plan[self.slot];
        let part = &self.parts[part];
        let family = &part.families[family];
        let desc = family.desc.view();
        if self.sample == 0 {
            if first {
                if is_full(&self.buffer, header_size(desc)) {
                    return false;
                }
                write_header(&mut self.buffer, self.format, desc);
            }
            set_prefix(&mut self.prefix, sample_name(desc, self.format), part.labels.as_str());
        }
        let mut samples = family.samples.walk(self.sample);
        while let Some((place, labels, value)) = samples.step() {
            if is_full(&self.buffer, self.prefix.len() + labels.len() + VALUE_SIZE) {
                // The header is written already: a first sample must not bring it again.
                if self.sample == 0 {
                    self.plan[self.slot].first = false;
                }
                return false;
            }
            write_sample(&mut self.buffer, &self.prefix, labels, value);
            self.sample = place + 1;
        }
        true
    }

    fn write_tail(&mut self) {
        let tail = self.tail.get_or_insert_with(|| {
            let mut text = self.own.take().map(|own| own.encode(self.format)).unwrap_or_default();
            text.push_str(self.format.end());
            Bytes::from(text)
        });
        let room = CHUNK.saturating_sub(self.buffer.len());
        let piece = tail.split_to(room.min(tail.len()));
        self.buffer.extend_from_slice(&piece);
    }
}

/// Whether `more` bytes do not fit; an empty chunk takes them in any case.
fn is_full(buffer: &[u8], more: usize) -> bool {
    !buffer.is_empty() && buffer.len() + more > CHUNK
}

fn set_prefix(prefix: &mut Vec<u8>, name: (&str, &str), part_labels: &str) {
    prefix.clear();
    prefix.extend_from_slice(name.0.as_bytes());
    prefix.extend_from_slice(name.1.as_bytes());
    prefix.push(b'{');
    if !part_labels.is_empty() {
        prefix.extend_from_slice(part_labels.as_bytes());
        prefix.push(b',');
    }
}

fn write_sample(buffer: &mut BytesMut, prefix: &[u8], labels: &str, value: f64) {
    match (labels, prefix) {
        ("", [bare @ .., b'{']) => {
            buffer.extend_from_slice(bare);
            buffer.extend_from_slice(b" ");
        }
        ("", [shared @ .., b',']) => {
            buffer.extend_from_slice(shared);
            buffer.extend_from_slice(b"} ");
        }
        _ => {
            buffer.extend_from_slice(prefix);
            buffer.extend_from_slice(labels.as_bytes());
            buffer.extend_from_slice(b"} ");
        }
    }
    write_value(buffer, value);
    buffer.extend_from_slice(b"\n");
}

/// The name of the samples, in two pieces.
fn sample_name(desc: Desc<&str>, format: Format) -> (&str, &str) {
    match (format, desc.kind) {
        (Format::OpenMetrics100, Kind::Counter) => (base_name(desc), "_total"),
        _ => (desc.name, ""),
    }
}

/// The order of the page. What would make it invalid is left out and logged: the tests of the collectors see to it
/// that there is no such thing, but one family lost is better than all.
fn plan(parts: &[Arc<Part>], format: Format) -> Vec<Slot> {
    let mut plan: Vec<Slot> = Vec::new();
    for (part, content) in parts.iter().enumerate() {
        for (family, content) in content.families.iter().enumerate() {
            if !content.samples.is_empty() {
                plan.push(Slot { part, family, first: false });
            }
        }
    }
    // Stable: the parts stay in their order.
    let desc = |slot: &Slot| parts[slot.part].families[slot.family].desc.view();
    plan.sort_by(|a, b| desc(a).name.cmp(desc(b).name));
    let others: Vec<&str> = plan.iter().map(desc).filter(|d| d.kind != Kind::Counter).map(|d| d.name).collect();
    let mut last: Option<Desc<&str>> = None;
    plan.retain_mut(|slot| {
        let desc = desc(slot);
        slot.first = last.is_none_or(|last| last.name != desc.name);
        let two_kinds = !slot.first && last.is_some_and(|last| last.kind != desc.kind);
        let one_family_twice = format == Format::OpenMetrics100
            && desc.kind == Kind::Counter
            && base_name(desc) != desc.name
            && others.binary_search(&base_name(desc)).is_ok();
        let fits = !two_kinds && !one_family_twice;
        if fits {
            last = Some(desc);
        } else {
            tracing::error!(family = desc.name, "a family that would make the page invalid is left out");
        }
        fits
    });
    plan
}

#[cfg(test)]
mod tests {
    use super::super::{About, Family, Labels, Sample};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    static UP: Desc = Desc { name: "pve_up", help: "Whether it runs.", kind: Kind::Gauge };
    static READ: Desc = Desc { name: "pve_read_bytes_total", help: "Bytes \"read\".", kind: Kind::Counter };
    static CPU: Desc = Desc { name: "pve_cpu_ratio", help: "Load.", kind: Kind::Gauge };

    fn family(desc: &'static Desc, samples: &[(&[(&str, &str)], f64)]) -> Family {
        let samples = samples.iter().map(|(labels, value)| Sample { labels: Labels::new(labels), value: *value });
        Family { desc: desc.into(), samples: samples.collect() }
    }

    fn part(labels: &[(&str, &str)], families: Vec<Family>) -> Arc<Part> {
        Arc::new(Part { labels: Labels::new(labels), families })
    }

    fn text(parts: &[Arc<Part>], format: Format) -> String {
        let chunks: Vec<Bytes> = Page::new(parts.to_vec(), None).chunks(format).collect();
        String::from_utf8(chunks.concat()).unwrap()
    }

    fn two_clusters() -> Vec<Arc<Part>> {
        let vm: &[(&str, &str)] = &[("id", "qemu/100")];
        vec![
            part(
                &[("cluster", "home")],
                vec![
                    family(&UP, &[(vm, 1.0), (&[("id", "lxc/101")], 0.0)]),
                    family(&CPU, &[]),
                    family(&READ, &[(vm, 1.5e3)]),
                ],
            ),
            part(&[], vec![family(&CPU, &[(&[], 0.25), (vm, f64::NAN)])]),
            part(&[("cluster", "lab")], vec![family(&READ, &[(&[], 7.0)]), family(&UP, &[(vm, 1.0)])]),
        ]
    }

    #[test]
    fn text_004() {
        assert_eq!(
            text(&two_clusters(), Format::Text004),
            r#"# HELP pve_cpu_ratio Load.
# TYPE pve_cpu_ratio gauge
pve_cpu_ratio 0.25
pve_cpu_ratio{id="qemu/100"} NaN
# HELP pve_read_bytes_total Bytes "read".
# TYPE pve_read_bytes_total counter
pve_read_bytes_total{cluster="home",id="qemu/100"} 1500
pve_read_bytes_total{cluster="lab"} 7
# HELP pve_up Whether it runs.
# TYPE pve_up gauge
pve_up{cluster="home",id="qemu/100"} 1
pve_up{cluster="home",id="lxc/101"} 0
pve_up{cluster="lab",id="qemu/100"} 1
"#
        );
    }

    #[test]
    fn open_metrics() {
        assert_eq!(
            text(&two_clusters(), Format::OpenMetrics100),
            r#"# HELP pve_cpu_ratio Load.
# TYPE pve_cpu_ratio gauge
pve_cpu_ratio 0.25
pve_cpu_ratio{id="qemu/100"} NaN
# HELP pve_read_bytes Bytes \"read\".
# TYPE pve_read_bytes counter
pve_read_bytes_total{cluster="home",id="qemu/100"} 1500
pve_read_bytes_total{cluster="lab"} 7
# HELP pve_up Whether it runs.
# TYPE pve_up gauge
pve_up{cluster="home",id="qemu/100"} 1
pve_up{cluster="home",id="lxc/101"} 0
pve_up{cluster="lab",id="qemu/100"} 1
# EOF
"#
        );
    }

    #[test]
    fn an_empty_page_is_valid() {
        assert_eq!(text(&[], Format::Text004), "");
        assert_eq!(text(&[], Format::OpenMetrics100), "# EOF\n");
    }

    #[test]
    fn own_metrics_follow_and_the_end_is_last() {
        let own = Arc::new(Own::new("1"));
        for n in 0..3000 {
            own.collector_error(&format!("cluster-{n}"), "guest", "timeout");
        }
        let page = Page::new(two_clusters(), Some(own));
        for format in [Format::Text004, Format::OpenMetrics100] {
            let chunks: Vec<Bytes> = page.chunks(format).collect();
            assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.len() <= CHUNK));
            let text = String::from_utf8(chunks.concat()).unwrap();
            let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is missing"));
            assert!(at("pve_up{") < at("pve_scrape_collector_errors_total{"));
            assert_eq!(text.matches("# EOF").count(), usize::from(format == Format::OpenMetrics100));
            assert!(text.ends_with(format.end()));
            assert_eq!(text.matches("pve_scrape_collector_errors_total{").count(), 3000);
        }
    }

    #[test]
    fn invalid_families_are_left_out() {
        static UP_COUNTER: Desc = Desc { name: "pve_up", help: "Another.", kind: Kind::Counter };
        static READ_GAUGE: Desc = Desc { name: "pve_read_bytes", help: "Clashes.", kind: Kind::Gauge };
        let part = part(
            &[],
            vec![
                family(&UP, &[(&[("a", "1")], 1.0)]),
                family(&UP_COUNTER, &[(&[("a", "2")], 2.0)]),
                family(&UP, &[(&[("a", "3")], 3.0)]),
                family(&READ, &[(&[], 4.0)]),
                family(&READ_GAUGE, &[(&[], 5.0)]),
            ],
        );
        let classic = text(std::slice::from_ref(&part), Format::Text004);
        assert_eq!(
            classic.lines().filter(|line| !line.starts_with("# HELP")).collect::<Vec<_>>(),
            [
                "# TYPE pve_read_bytes gauge",
                "pve_read_bytes 5",
                "# TYPE pve_read_bytes_total counter",
                "pve_read_bytes_total 4",
                "# TYPE pve_up gauge",
                "pve_up{a=\"1\"} 1",
                "pve_up{a=\"3\"} 3"
            ]
        );
        assert!(!text(&[part], Format::OpenMetrics100).contains("pve_read_bytes_total"));
    }

    #[test]
    fn the_buffer_is_used_again() {
        let samples =
            (0..20_000).map(|n| Sample { labels: Labels::new(&[("id", &n.to_string())]), value: f64::from(n) });
        let parts = vec![part(&[], vec![Family { desc: (&UP).into(), samples: samples.collect() }])];
        let mut starts = std::collections::BTreeSet::new();
        let mut count = 0;
        for chunk in Page::new(parts, None).chunks(Format::Text004) {
            assert!(chunk.len() <= CHUNK);
            starts.insert(chunk.as_ptr());
            count += 1;
        }
        assert!(count > 5 && starts.len() <= 2, "{count} chunks in {} allocations", starts.len());
    }

    /// A reader of its own: family → (kind, help), and samples as (name, labels, value), escapes undone.
    #[derive(Debug, Default, PartialEq)]
    struct Parsed {
        families: Vec<(String, String, String)>,
        samples: Vec<(String, BTreeMap<String, String>, f64)>,
        ended: bool,
    }

    fn unescape(text: &str) -> String {
        let mut plain = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            plain.push(match character {
                '\\' => match characters.next() {
                    Some('n') => '\n',
                    Some(other) => other,
                    None => panic!("a lone backslash ends {text:?}"),
                },
                other => other,
            });
        }
        plain
    }

    fn parse_labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
        let mut labels = BTreeMap::new();
        loop {
            let (name, value) = text.split_once("=\"").unwrap();
            let mut escaped = false;
            let end = value.find(|character| {
                let closes = character == '"' && !escaped;
                escaped = character == '\\' && !escaped;
                closes
            });
            let (value, rest) = value.split_at(end.unwrap());
            assert!(labels.insert(name.to_owned(), unescape(value)).is_none(), "{name} is doubled");
            match rest[1..].strip_prefix(',') {
                Some(more) => text = more,
                None => return (labels, rest[1..].strip_prefix('}').unwrap()),
            }
        }
    }

    fn parse(text: &str) -> Parsed {
        let mut parsed = Parsed::default();
        for line in text.split_terminator('\n') {
            assert!(!parsed.ended, "{line:?} follows the end");
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                parsed.families.push((name.to_owned(), String::new(), unescape(help)));
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                let family = parsed.families.last_mut().unwrap();
                assert_eq!(family.0, name);
                kind.clone_into(&mut family.1);
            } else if line == "# EOF" {
                parsed.ended = true;
            } else {
                let end = line.find(['{', ' ']).unwrap();
                let (name, rest) = line.split_at(end);
                let (labels, value) = match rest.strip_prefix('{') {
                    Some(labels) => parse_labels(labels),
                    None => (BTreeMap::new(), rest),
                };
                let value = value.strip_prefix(' ').unwrap().parse().unwrap();
                parsed.samples.push((name.to_owned(), labels, value));
            }
        }
        parsed
    }

    fn labels(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(&'static str, String)>> {
        let value = prop_oneof![r#"[a-z"\\\n{},= #é]{0,8}"#, "\\PC{0,5}"];
        prop::collection::vec(value, 0..=names.len()).prop_map(|values| names.iter().copied().zip(values).collect())
    }

    type Pairs = Vec<(&'static str, String)>;

    /// The labels of a part; its families, as an index and samples.
    type Given = (Pairs, Vec<(usize, Vec<(Pairs, f64)>)>);

    fn any_parts() -> impl Strategy<Value = Vec<Given>> {
        let samples = prop::collection::vec((labels(&["id", "name"]), -1e9..1e9_f64), 0..4);
        let families = prop::collection::vec((0..3_usize, samples), 0..4);
        prop::collection::vec((labels(&["cluster"]), families), 0..4)
    }

    fn built(pairs: &Pairs) -> Labels {
        Labels::new(&pairs.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(given in any_parts()) {
            let descs: [&'static Desc; 3] = [&CPU, &READ, &UP];
            let parts: Vec<Arc<Part>> = given.iter().map(|(shared, families)| {
                let families = families.iter().map(|(desc, samples)| Family {
                    desc: descs[*desc].into(),
                    samples: samples.iter().map(|(own, value)| Sample { labels: built(own), value: *value }).collect(),
                });
                Arc::new(Part { labels: built(shared), families: families.collect() })
            }).collect();
            let mut families = Vec::new();
            let mut expected = Vec::new();
            for (index, desc) in descs.iter().enumerate() {
                let before = expected.len();
                for (shared, listed) in &given {
                    for (_, samples) in listed.iter().filter(|(desc, _)| *desc == index) {
                        for (own, value) in samples {
                            let labels = shared.iter().chain(own).map(|(name, value)| ((*name).to_owned(), value.clone()));
                            expected.push((desc.name.to_owned(), labels.collect::<BTreeMap<_, _>>(), *value));
                        }
                    }
                }
                if expected.len() > before {
                    families.push(*desc);
                }
            }
            for format in [Format::Text004, Format::OpenMetrics100] {
                let read = parse(&text(&parts, format));
                prop_assert_eq!(&read.samples, &expected);
                let declared: Vec<_> = families.iter().map(|desc| {
                    let kind = if desc.kind == Kind::Counter { "counter" } else { "gauge" };
                    (format.family_name(**desc).to_owned(), kind.to_owned(), desc.help.to_owned())
                }).collect();
                prop_assert_eq!(&read.families, &declared);
                prop_assert_eq!(read.ended, format == Format::OpenMetrics100);
            }
        }

        #[test]
        fn chunk_boundaries_lose_nothing(lengths in prop::collection::vec(0..30_000_usize, 0..40), again in 0..40_usize) {
            let name = "é".repeat(15_000);
            let samples: Vec<Sample> = lengths.iter().enumerate().map(|(index, length)| Sample {
                labels: Labels::new(&[("id", &index.to_string()), ("name", name.get(..length & !1).unwrap())]),
                value: index as f64,
            }).collect();
            let split = again.min(samples.len());
            let parts = [
                part(&[("cluster", "a")], vec![Family { desc: (&UP).into(), samples: samples[..split].to_vec().into() }]),
                part(&[("cluster", "b")], vec![Family { desc: (&UP).into(), samples: samples[split..].to_vec().into() }]),
            ];
            let chunks: Vec<Bytes> = Page::new(parts.to_vec(), None).chunks(Format::OpenMetrics100).collect();
            prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK));
            let mut whole = String::new();
            for (index, sample) in samples.iter().enumerate() {
                if index == 0 {
                    whole.push_str("# HELP pve_up Whether it runs.\n# TYPE pve_up gauge\n");
                }
                let cluster = if index < split { "a" } else { "b" };
                whole.push_str(&format!("pve_up{{cluster=\"{cluster}\",{}}} {index}\n", sample.labels.as_str()));
            }
            whole.push_str("# EOF\n");
            prop_assert_eq!(String::from_utf8(chunks.concat()).unwrap(), whole);
        }
    }

    #[test]
    fn a_family_may_bring_its_own_description() {
        let made = |name: &str, kind| About::Made(Arc::new(Desc { name: name.into(), help: "Made.".into(), kind }));
        let sample = |value| vec![Sample { labels: Labels::new(&[]), value }].into();
        let families = vec![
            Family { desc: made("node_b", Kind::Untyped), samples: sample(1.0) },
            Family { desc: made("node_a_total", Kind::Counter), samples: sample(2.0) },
            Family { desc: made("node_a", Kind::Untyped), samples: sample(3.0) },
        ];
        let parts = [part(&[], families)];
        let (a, b) =
            ("# HELP node_a_total Made.\n# TYPE node_a_total counter\nnode_a_total 2\n", "# HELP node_b Made.\n");
        let untyped = "# HELP node_a Made.\n# TYPE node_a untyped\nnode_a 3\n";
        assert_eq!(text(&parts, Format::Text004), format!("{untyped}{a}{b}# TYPE node_b untyped\nnode_b 1\n"));
        let unknown = "# HELP node_a Made.\n# TYPE node_a unknown\nnode_a 3\n";
        // There `node_a` and `node_a_total` are one family: the counter gives way.
        assert_eq!(
            text(&parts, Format::OpenMetrics100),
            format!("{unknown}{b}# TYPE node_b unknown\nnode_b 1\n# EOF\n")
        );
    }

    #[test]
    fn a_line_longer_than_a_chunk_stands_alone() {
        let long = "x".repeat(3 * CHUNK);
        let parts = [part(&[], vec![family(&UP, &[(&[], 1.0), (&[("a", &long)], 2.0), (&[], 3.0)])])];
        let chunks: Vec<Bytes> = Page::new(parts.to_vec(), None).chunks(Format::Text004).collect();
        assert_eq!(chunks.len(), 3);
        assert!(chunks[1].starts_with(b"pve_up{a=") && chunks[1].ends_with(b" 2\n"));
        assert_eq!(chunks[2], "pve_up 3\n");
    }

    #[test]
    fn a_header_is_not_written_again_in_the_next_chunk() {
        let (most, half) = ("x".repeat(CHUNK - 1000), "y".repeat(CHUNK / 2));
        let parts = [part(&[], vec![family(&CPU, &[(&[("a", &most)], 1.0)]), family(&UP, &[(&[("a", &half)], 2.0)])])];
        let chunks: Vec<Bytes> = Page::new(parts.to_vec(), None).chunks(Format::Text004).collect();
        assert_eq!(chunks.len(), 2);
        assert!(chunks[0].ends_with(b"# TYPE pve_up gauge\n") && chunks[1].starts_with(b"pve_up{a=\"y"));
    }
}
