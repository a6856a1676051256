//! Rounds of a day: the cluster is edited by chance, its clock turned on, and the page compared with what is so.

use std::collections::{BTreeMap, BTreeSet};

use pve_sentinel::collectors::{self, Lane, Per};
use pve_sentinel::sim::{Edit, GuestKind, World};
use serde_json::Value;

use crate::support::{Exporter, Page, Simulated};

/// From one round to the next, in seconds: five hundred of them are a day.
const STEP: u64 = 170;

/// What a soak is made of.
pub struct Plan {
    pub seed: u64,
    pub rounds: usize,
    pub nodes: usize,
    /// About so many, all the time.
    pub guests: usize,
}

/// Does all rounds and gives the exporter's resident memory after each, in bytes. Panics at the first wrong page.
pub fn run(plan: &Plan) -> Vec<u64> {
    // The first node answers all the time, the second as long as it is there.
    let lab = Simulated::start(World::new(plan.seed, plan.nodes, plan.guests), 2);
    let exporter = Exporter::serve_all(&lab.cluster.config("home"));
    let mut day = Day {
        chance: Chance(plan.seed),
        lost: BTreeSet::new(),
        next_vmid: 10_000,
        names: BTreeMap::new(),
        seen: BTreeMap::new(),
    };
    let memory = (0..plan.rounds)
        .map(|round| {
            lab.turn_to(lab.now().as_secs() + STEP);
            let vmids = lab.world.vmids();
            let events = lab.world.edit(lab.now(), |edit| day.happen(plan, vmids, edit));
            let page = Page::parse(&exporter.page("/metrics"));
            let context = format!("seed {}, round {round}, {events:?}", plan.seed);
            day.compare(&lab.world.resources(lab.now()), &page, &context);
            exporter.resident_memory()
        })
        .collect();
    for what in ["create", "delete", "migrate", "rename", "lose", "bring"] {
        assert!(day.seen.contains_key(what), "seed {}: no {what} in {} rounds: {:?}", plan.seed, plan.rounds, day.seen);
    }
    memory
}

/// What is known of the day so far.
struct Day {
    chance: Chance,
    lost: BTreeSet<usize>,
    next_vmid: u64,
    /// The name that was told last, by id.
    names: BTreeMap<String, String>,
    /// What happened how often, by its first word.
    seen: BTreeMap<String, usize>,
}

impl Day {
    /// A few things happen; says which.
    fn happen(&mut self, plan: &Plan, mut vmids: Vec<u64>, edit: &mut Edit<'_>) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..1 + self.chance.below(6) {
            let guest = vmids[self.chance.below(vmids.len())];
            let node = self.chance.below(plan.nodes);
            let kind = if self.chance.below(2) == 0 { GuestKind::Qemu } else { GuestKind::Lxc };
            let (event, done) = match self.chance.below(10) {
                0..=3 if vmids.len() < plan.guests => {
                    // Some numbers are given again, to guests that have nothing to do with those before.
                    self.next_vmid = if self.chance.below(4) == 0 { guest + 1 } else { self.next_vmid + 1 };
                    let vmid = self.next_vmid.max(100);
                    let name = format!("new-{vmid}-{}", self.chance.below(1000));
                    (format!("create {vmid} on {node}"), edit.create(vmid, node, kind, &name))
                }
                0..=3 => (format!("delete {guest}"), edit.delete(guest)),
                4 | 5 => (format!("migrate {guest} to {node}"), edit.migrate(guest, node)),
                6 | 7 => {
                    let name = format!("renamed \"{}\"", self.chance.below(1000));
                    (format!("rename {guest}"), edit.rename(guest, &name))
                }
                // The first node stays, and with one of four lost there is a quorum.
                8 if self.lost.is_empty() && node > 0 => {
                    self.lost.insert(node);
                    (format!("lose {node}"), edit.lose(node))
                }
                9 => match self.lost.pop_first() {
                    Some(node) => (format!("bring back {node}"), edit.bring_back(node)),
                    None => continue,
                },
                _ => continue,
            };
            if event.starts_with("delete") {
                vmids.retain(|vmid| *vmid != guest);
            }
            if done {
                *self.seen.entry(event.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
                events.push(event);
            }
        }
        events
    }

    /// The page tells each guest and node as it is, and nobody else.
    fn compare(&mut self, resources: &str, page: &Page, context: &str) {
        let body: Value = serde_json::from_str(resources).expect("a body");
        let entries = body["data"].as_array().expect("a list");
        let of = |kinds: &'static [&str]| entries.iter().filter(move |entry| kinds.contains(&text(entry, "type")));
        let online: BTreeMap<&str, bool> =
            of(&["node"]).map(|node| (text(node, "node"), text(node, "status") == "online")).collect();
        let guests: Vec<&Value> = of(&["qemu", "lxc"]).collect();
        let ids: BTreeSet<&str> = guests.iter().map(|guest| text(guest, "id")).collect();
        self.names.retain(|id, _| ids.contains(id.as_str()));
        for (family, series) in page.samples.iter().filter(|(family, _)| is_prompt(family)) {
            for id in series.keys().filter_map(|labels| labels.get("id")) {
                let is_guest = id.starts_with("qemu/") || id.starts_with("lxc/");
                assert!(!is_guest || ids.contains(id.as_str()), "{context}: {family} of {id}, which is gone");
            }
        }
        for collector in collectors::ALL.iter().filter(|collector| matches!(collector.lane, Lane::Fast(_))) {
            let success = page.value("pve_scrape_collector_success", &[("collector", collector.name)]);
            assert_eq!(success, Some(1.0), "{context}: {}", collector.name);
        }
        for (node, online) in &online {
            let id = format!("node/{node}");
            assert_eq!(page.value("pve_up", &[("id", &id)]), Some(f64::from(u8::from(*online))), "{context}: {id}");
            assert_eq!(page.value("pve_uptime_seconds", &[("id", &id)]).is_some(), *online, "{context}: {id}");
        }
        for family in ["pve_guest_info", "pve_guest_state"] {
            assert_eq!(page.samples[family].len(), ids.len(), "{context}: one {family} for each guest");
        }
        for guest in guests {
            self.compare_guest(guest, online[text(guest, "node")], page, context);
        }
    }

    fn compare_guest(&mut self, guest: &Value, online: bool, page: &Page, context: &str) {
        let id = text(guest, "id");
        // A node that is lost takes the names with it after a while; the last one stands.
        if let Some(name) = guest["name"].as_str() {
            self.names.insert(id.to_owned(), name.to_owned());
        }
        let name = self.names.get(id).map_or("", String::as_str);
        let info = [("id", id), ("name", name), ("node", text(guest, "node"))];
        assert_eq!(page.value("pve_guest_info", &info), Some(1.0), "{context}: {info:?}");
        let state = if online { text(guest, "status") } else { "unknown" };
        assert_eq!(
            page.value("pve_guest_state", &[("id", id), ("state", state)]),
            Some(1.0),
            "{context}: {id} {state}"
        );
        let up = online.then(|| f64::from(u8::from(state == "running")));
        assert_eq!(page.value("pve_up", &[("id", id)]), up, "{context}: {id}");
        for (family, key) in [("pve_memory_usage_bytes", "mem"), ("pve_network_receive_bytes_total", "netin")] {
            let expected = guest[key].as_f64().filter(|_| online);
            assert_eq!(page.value(family, &[("id", id)]), expected, "{context}: {family} of {id}");
        }
    }
}

/// Whether a family tells only of what is there at this scrape. What is told of the cluster or of a node as a whole
/// may be as old as its age on the page says.
fn is_prompt(family: &str) -> bool {
    collectors::ALL.iter().any(|collector| {
        let prompt = match collector.lane {
            Lane::Fast(_) => true,
            Lane::Slow(slow) => matches!(slow.per, Per::Guest | Per::Running | Per::RunningVms),
            Lane::Host(_) | Lane::Services => false,
        };
        prompt && collector.families.iter().any(|desc| desc.name == family)
    })
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("no {key} in {entry}"))
}

/// Numbers by chance, always the same for the same seed.
struct Chance(u64);

impl Chance {
    /// From 0 to one less than `count`.
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % count as u64) as usize
    }
}
