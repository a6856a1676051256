//! What cannot be had any more grows old and goes from the page, and takes nothing else with it: a storage that is dead,
//! agents that hang, a node that is lost in the middle of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pve_sentinel::collectors::{self, Collector, Lane, Per, Slow};
use pve_sentinel::sim::{Fault, World};

use crate::slow_lane::{Still, breathe, on_a_still_clock_with};
use crate::support::{Exporter, Page, Series, Simulated};

/// Longer than anything here takes on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// A series of the slow lane: the collector it is of, its name, its labels.
type Told = (&'static str, String, Series);

/// What is asked of nodes and guests.
fn slow_ones() -> impl Iterator<Item = (&'static Collector, Slow)> {
    collectors::ALL.iter().filter_map(|collector| match collector.lane {
        Lane::Slow(slow) if slow.per != Per::Cluster && collector.preset.is_some() => Some((*collector, slow)),
        _ => None,
    })
}

/// Those that are asked as often as may be, so that what they told grows old while the others' values are young.
const OFTEN: [&str; 6] = ["node_status", "network", "storage_detail", "disk", "services", "guest_status"];

fn told(page: &Page) -> BTreeSet<Told> {
    let families = slow_ones().flat_map(|(one, _)| one.families.iter().map(|desc| (one.name, desc.name)));
    let series = families.flat_map(|(collector, name)| {
        let series = page.samples.get(name).into_iter().flatten();
        series.map(move |(labels, _)| (collector, name.to_owned(), labels.clone()))
    });
    series.collect()
}

/// The ids of the guests of each node.
fn guests(page: &Page) -> BTreeMap<String, BTreeSet<String>> {
    let mut guests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for labels in page.samples["pve_guest_info"].keys() {
        guests.entry(labels["node"].clone()).or_default().insert(labels["id"].clone());
    }
    guests
}

/// Whether a series is about a node, or about what is there.
fn is_about(labels: &Series, node: &str, guests: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let id = &labels["id"];
    id.split('/').nth(1) == Some(node) || guests[node].contains(id)
}

/// An exporter that has been told everything, and then asks some things often.
fn settled(lab: &Simulated) -> (Exporter, Page, BTreeSet<Told>) {
    let config = format!("{}\n[collectors]\npreset = \"full\"\n", lab.cluster.config("home"));
    let exporter = Exporter::serve(&config);
    let names: Vec<&str> = slow_ones().map(|(one, _)| one.name).collect();
    let page = Page::parse(&exporter.settled_page("/metrics", &names));
    let often: String = OFTEN.iter().map(|name| format!("[collectors.{name}]\nttl = \"5s\"\n")).collect();
    exporter.rewrite(&format!("{config}{often}"));
    exporter.hang_up(1);
    let told = told(&page);
    (exporter, page, told)
}

/// Scrapes until exactly this is gone of what was told. No page meanwhile lacks anything of the fast lane.
fn until_gone(exporter: &Exporter, before: &BTreeSet<Told>, expected: &BTreeSet<Told>) -> Page {
    let started = Instant::now();
    loop {
        let page = Page::parse(&exporter.page("/metrics"));
        for (labels, success) in &page.samples["pve_scrape_collector_success"] {
            let fast = collectors::ALL.iter().find(|one| one.name == labels["collector"]).unwrap();
            assert!(*success == 1.0 || !matches!(fast.lane, Lane::Fast(_)), "{labels:?}");
        }
        let now = told(&page);
        let gone: BTreeSet<Told> = before.difference(&now).cloned().collect();
        if gone == *expected {
            return page;
        }
        let (late, lost) = (expected - &gone, &gone - expected);
        assert!(started.elapsed() < PATIENCE, "still told: {late:#?}\nlost besides: {lost:#?}");
    }
}

/// Waits until each of these has been asked so often anew.
fn until_asked(lab: &Simulated, exporter: &Exporter, calls: &[&str], times: u64) {
    let asked = || {
        let asked = lab.cluster.sims[0].requests_by_path();
        calls.iter().map(|call| asked.get(*call).copied().unwrap_or_default()).collect::<Vec<_>>()
    };
    let (started, before) = (Instant::now(), asked());
    while asked().iter().zip(&before).any(|(now, before)| *now < before + times) {
        exporter.page("/metrics");
        assert!(started.elapsed() < PATIENCE, "{calls:?}: {before:?}, and then {:?}", asked());
    }
}

#[test]
fn a_dead_storage_costs_its_node_what_can_block_there_and_nothing_else() {
    let lab = Simulated::start(World::new(1, 4, 16), 1);
    let (exporter, page, before) = settled(&lab);
    let sim = &lab.cluster.sims[0];
    // One whose node says nothing, and one that pveproxy itself gave up.
    sim.set_fault("/nodes/pve2/storage", Fault::Hang);
    let reason = "Connection timed out".to_owned();
    sim.set_fault("/nodes/pve3/storage", Fault::Status { code: 596, reason, body: String::new() });
    let is_lost = |(one, slow): &(&Collector, Slow)| slow.blocks && OFTEN.contains(&one.name);
    let blocking: BTreeSet<&str> = slow_ones().filter(is_lost).map(|(one, _)| one.name).collect();
    let guests = guests(&page);
    let is_lost = |(collector, _, labels): &&Told| {
        blocking.contains(collector) && ["pve2", "pve3"].iter().any(|node| is_about(labels, node, &guests))
    };
    let expected: BTreeSet<Told> = before.iter().filter(is_lost).cloned().collect();
    for collector in ["storage_detail", "disk", "services", "guest_status"] {
        assert!(expected.iter().any(|(name, ..)| *name == collector), "{collector} tells nothing of them");
    }
    until_gone(&exporter, &before, &expected);
    let fresh = [
        "/nodes/pve2/status",
        "/nodes/pve3/status",
        "/nodes/pve2/network",
        "/nodes/pve1/storage",
        "/nodes/pve4/storage",
    ];
    until_asked(&lab, &exporter, &fresh, 2);
    let page = until_gone(&exporter, &before, &expected);
    let of = |name, collector| page.value(name, &[("collector", collector)]);
    assert_eq!(of("pve_scrape_collector_success", "storage_detail"), Some(0.0));
    assert_eq!(of("pve_scrape_collector_success", "node_status"), Some(1.0));
    assert!(
        of("pve_scrape_collector_age_seconds", "storage_detail").unwrap() < 20.0,
        "what is told of the others is young"
    );
    for load in sim.load().values() {
        assert!(load.most <= 2 && load.blocking_most <= 1, "{load:?}");
    }
}

#[test]
fn agents_that_are_silent_cost_their_guests_what_only_they_could_tell() {
    let lab = Simulated::start(World::new(1, 4, 160), 1);
    let few = "[collectors]\npreset = \"minimal\"\nstorage_detail = { enabled = true, ttl = \"5s\" }\n\
               guest_agent = { enabled = true, ttl = \"10s\" }\n";
    let exporter = Exporter::serve(&format!("{}\n{few}", lab.cluster.config("home")));
    let page = Page::parse(&exporter.settled_page("/metrics", &["guest_agent", "storage_detail"]));
    let before = told(&page);
    let silent: BTreeSet<String> =
        page.samples["pve_guest_agent_up"].keys().map(|labels| labels["id"].clone()).take(50).collect();
    assert_eq!(silent.len(), 50);
    let nodes = guests(&page);
    for (node, guest) in nodes.iter().flat_map(|(node, ids)| ids.intersection(&silent).map(move |id| (node, id))) {
        let body = r#"{"data":null,"message":"QEMU guest agent is not running\n"}"#.to_owned();
        let fault = Fault::Status { code: 500, reason: "QEMU guest agent is not running".to_owned(), body };
        lab.cluster.sims[0].set_fault(&format!("/nodes/{node}/{guest}/agent"), fault);
    }
    let is_lost = |(collector, name, labels): &&Told| {
        *collector == "guest_agent" && name != "pve_guest_agent_up" && silent.contains(&labels["id"])
    };
    let expected: BTreeSet<Told> = before.iter().filter(is_lost).cloned().collect();
    let page = until_gone(&exporter, &before, &expected);
    for (labels, is_up) in &page.samples["pve_guest_agent_up"] {
        assert_eq!(*is_up == 0.0, silent.contains(&labels["id"]), "{labels:?}");
    }
}

#[test]
fn a_node_that_is_lost_while_it_is_asked_takes_only_its_own_with_it() {
    let lab = Simulated::start(World::new(1, 4, 16), 1);
    let (exporter, page, before) = settled(&lab);
    let sim = &lab.cluster.sims[0];
    sim.set_fault("/nodes/pve3/", Fault::Slow(Duration::from_millis(300)));
    let started = Instant::now();
    while sim.load()["pve3"].open == 0 {
        exporter.page("/metrics");
        assert!(started.elapsed() < PATIENCE, "the node is never asked");
    }
    lab.world.edit(lab.now(), |edit| assert!(edit.lose(2)));
    lab.turn_to(30);
    sim.clear_faults();
    let guests = guests(&page);
    let expected: BTreeSet<Told> = before
        .iter()
        .filter(|(name, _, labels)| OFTEN.contains(name) && is_about(labels, "pve3", &guests))
        .cloned()
        .collect();
    assert!(OFTEN.iter().all(|often| expected.iter().any(|(name, ..)| name == often)), "{expected:?}");
    let page = until_gone(&exporter, &before, &expected);
    assert_eq!(page.value("pve_up", &[("id", "node/pve3")]), Some(0.0));
    let failed = page.samples["pve_scrape_collector_success"].iter().filter(|(_, success)| **success == 0.0);
    assert_eq!(failed.count(), 0, "nobody is asked any more");
    until_asked(&lab, &exporter, &["/nodes/pve1/status", "/nodes/pve4/storage"], 1);
}

/// The guests of whose agents something is known.
fn agents(page: &Page) -> BTreeSet<String> {
    let told = page.samples.get("pve_guest_agent_up").into_iter().flatten();
    told.map(|(labels, _)| labels["id"].clone()).collect()
}

#[test]
fn fifty_agents_that_hang_starve_none_of_the_others() {
    const FEW: &str = "[collectors]\npreset = \"minimal\"\nguest_agent = true\nstorage_detail = true\n\
                       services = { enabled = true, ttl = \"2m\" }\n";
    // Longer than the exporter waits for an answer, and shorter than it then leaves the place alone.
    on_a_still_clock_with(World::new(1, 8, 300), FEW, Duration::from_secs(80), |still| async move {
        let mut page = still.page().await;
        let mut rounds = 0;
        while page.value("pve_sentinel_slow_lane_backlog", &[]) != Some(0.0) {
            for _ in 0..20 {
                breathe().await;
            }
            page = still.page().await;
            rounds += 1;
            assert!(rounds < 1000, "the agents are never done");
        }
        let (before, all) = (told(&page), agents(&page));
        let nodes = guests(&page);
        let mut hung = BTreeSet::new();
        for (index, (node, ids)) in nodes.iter().enumerate() {
            let (agents, count) = (ids.intersection(&all), if index < 2 { 7 } else { 6 });
            for guest in agents.step_by(2).take(count) {
                still.sim.set_fault(&format!("/nodes/{node}/{guest}/agent"), Fault::Hang);
                hung.insert(guest.clone());
            }
        }
        assert_eq!(hung.len(), 50);
        // Some agents say nothing now and then in the simulated cluster, too, which is an answer.
        let is_steady = |(collector, name, labels): &&Told| {
            *collector != "guest_agent" || (name == "pve_guest_agent_up" && !hung.contains(&labels["id"]))
        };
        let others: BTreeSet<Told> = before.iter().filter(is_steady).cloned().collect();
        for minute in 0..40 {
            let page = minutes(&still, 1).await;
            let now = told(&page);
            let lost: Vec<&Told> = others.difference(&now).collect();
            assert!(lost.is_empty(), "after {minute} min {lost:#?}");
            assert!(minute < 31 || agents(&page).is_disjoint(&hung), "after {minute} min");
        }
        for (node, load) in still.sim.load() {
            assert!(load.most <= 2 && load.blocking_most <= 1, "{node}: {load:?}");
        }
        still.sim.clear_faults();
        let mut waited = 0;
        while agents(&minutes(&still, 1).await) != all {
            waited += 1;
            assert!(waited < 30, "those that are well again are told of again");
        }
    });
}

/// Lets so many minutes pass, and scrapes at the end.
async fn minutes(still: &Still, count: usize) -> Page {
    for _ in 0..15 * count {
        breathe().await;
        tokio::time::advance(Duration::from_secs(4)).await;
    }
    breathe().await;
    still.page().await
}
