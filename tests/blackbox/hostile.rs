//! Answers that nobody should give: everything twice, and here and there something else. A page with a series twice is
//! refused as a whole, so there is none, whatever comes.

use std::collections::BTreeSet;

use pve_sentinel::collectors::{ALL, Lane};
use pve_sentinel::sim::{Certificate, Recorded, Source};
use serde_json::{Value, json};

use crate::slow_collectors::asked_with;
use crate::support::{Cluster, Exporter, Page, recorded};

/// What can be had by chance, the same in each run.
struct Chance(u64);

impl Chance {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The same with each entry of each list twice; with one value in `rarity` replaced by something of any type.
fn twisted(value: &Value, chance: &mut Chance, rarity: u64) -> Value {
    if rarity > 0 && chance.below(rarity) == 0 {
        let others = [
            Value::Null,
            json!(true),
            json!(-1),
            json!(1.7e308),
            json!(""),
            json!("a\"b\\c\nd"),
            json!("NaN"),
            json!([]),
            json!({}),
            json!([[1]]),
            json!("x".repeat(1000)),
        ];
        return others[usize::try_from(chance.below(others.len() as u64)).unwrap()].clone();
    }
    match value {
        Value::Array(entries) => {
            let twice = entries.iter().flat_map(|entry| [entry, entry]);
            twice.map(|entry| twisted(entry, chance, rarity)).collect()
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), twisted(field, chance, rarity))).collect()
        }
        other => other.clone(),
    }
}

/// The recorded cluster, with what was made by hand in place of what it does not have, twisted.
fn answers(seed: u64, rarity: u64) -> Recorded {
    let Source::Recorded(mut replies) = recorded("pve-9.2-cluster", "GET_") else { panic!("no recordings") };
    let Source::Recorded(hand_made) = recorded("hand-made", "GET_") else { panic!("nothing made by hand") };
    replies.0.extend(hand_made.0);
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ ((seed << 32) | (seed + 1)));
    for reply in replies.0.values_mut() {
        let Ok(Value::Object(mut body)) = serde_json::from_slice::<Value>(&reply.body) else { continue };
        let Some(data) = body.get_mut("data") else { continue };
        *data = twisted(data, &mut chance, rarity);
        reply.body = Value::Object(body).to_string().into();
    }
    replies
}

const OPTIONS: [(&str, &str); 2] = [("disk", "smart = true"), ("ceph", "objects = true")];

#[test]
fn no_collector_tells_a_series_twice_whatever_it_is_told() {
    let (mut told, mut failed) = (0, 0);
    for (seed, rarity) in [(0, 0), (1, 200), (2, 40), (3, 15), (4, 15), (5, 6)] {
        let source = answers(seed, rarity);
        for collector in ALL.iter().copied().filter(|collector| matches!(collector.lane, Lane::Slow(_))) {
            let cluster = Cluster::start(1, Source::Recorded(source.clone()), Certificate::Good);
            let option = OPTIONS.iter().find(|(name, _)| *name == collector.name);
            let table = option.map(|(name, option)| format!("[collectors.{name}]\n{option}")).unwrap_or_default();
            let Ok(families) = asked_with(&cluster, collector, &table) else {
                failed += 1;
                continue;
            };
            let (mut seen, context) = (BTreeSet::new(), format!("{}, seed {seed}", collector.name));
            for family in &families {
                let desc = family.desc.view();
                for sample in family.samples.iter() {
                    let series = (desc.name, desc.help, sample.labels.as_str().to_owned());
                    assert!(sample.value.is_finite(), "{context}: {series:?} {}", sample.value);
                    assert!(!seen.contains(&series), "{context}: {series:?} is there twice");
                    seen.insert(series);
                    told += 1;
                }
            }
        }
    }
    assert!(told > 1000 && failed > 0, "{told} series and {failed} failures are no test");
}

#[test]
fn a_page_of_an_answer_that_says_all_twice_can_be_read() {
    let lanes =
        |collector: &&&pve_sentinel::collectors::Collector| matches!(collector.lane, Lane::Fast(_) | Lane::Slow(_));
    let names: Vec<&str> = ALL.iter().filter(lanes).map(|collector| collector.name).collect();
    for (seed, rarity) in [(0, 0), (7, 100)] {
        let cluster = Cluster::start(1, Source::Recorded(answers(seed, rarity)), Certificate::Good);
        let table: Vec<String> = names
            .iter()
            .map(|name| match OPTIONS.iter().find(|(of, _)| of == name) {
                Some((_, option)) => format!("{name} = {{ enabled = true, {option} }}\n"),
                None => format!("{name} = true\n"),
            })
            .collect();
        let exporter = Exporter::serve(&format!("{}\n[collectors]\n{}", cluster.config("home"), table.concat()));
        // Where no node has a name, there is nobody to ask.
        let (spoken, fewest) = if rarity == 0 { (names.as_slice(), 400) } else { (&["guest"][..], 10) };
        // Reading it fails where a series is there twice.
        let page = Page::parse(&exporter.settled_page("/metrics?cluster=home", spoken));
        assert!(page.count > fewest, "{} series, seed {seed}", page.count);
        Page::parse(&exporter.page("/pve?target=home"));
    }
}
