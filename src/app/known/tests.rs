//! What is told of made-up clusters and hosts, and whether the document tells of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::api::{Caller, Desk, gaps};
use crate::inventory::{Node, Usage};
use crate::pve::{Condition, KnownEndpoint};
use crate::scrape::KnownHost;

const NOW: u64 = 1_790_000_000;

fn request(query: &[(&str, &str)]) -> Request {
    let caller = Caller { name: "ops".to_owned(), scopes: vec![Scope::Read], guests: None, from: None };
    let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { path: Vec::new(), query, body: bytes::Bytes::new(), key: None, caller, id: "1".to_owned() }
}

/// The moment at which the tests ask, and one that was so long before.
fn clock(seconds: u64) -> (Clock, Instant) {
    let then = Instant::now();
    (Clock { now: Duration::from_secs(NOW), instant: then + Duration::from_secs(seconds) }, then)
}

fn body(reply: Result<Reply, Error>) -> Value {
    serde_json::from_slice(&reply.expect("an answer").json).expect("JSON")
}

fn cluster(name: &str, past: Past) -> KnownCluster {
    KnownCluster { name: name.to_owned(), past, failing: BTreeSet::new(), endpoints: Vec::new(), nodes: None }
}

#[test]
fn health_is_one_word_and_times_are_those_of_the_world() {
    let (clock, then) = clock(30);
    let past = |answered, last_failure| Past { answered, last_success: Some(then), last_failure, refused_key: None };
    let failed = Some((then, "guest: it broke".to_owned()));
    let mut degraded = cluster("b", past(Some(true), failed.clone()));
    degraded.failing.insert("guest");
    degraded.endpoints.push(KnownEndpoint {
        url: "https://192.0.2.11:8006".to_owned(),
        node: Some("pve1".to_owned()),
        condition: Condition::Troubled,
        error: Some("it broke".to_owned()),
        distrusted: false,
        in_use: true,
    });
    let mut down = cluster("c", past(Some(false), failed));
    down.failing.insert("guest");
    let all = [cluster("a", past(Some(true), None)), degraded, down, cluster("d", Past::default())];
    let told = body(clusters::reply(&all, &request(&[]), clock));
    let health: Vec<&str> = (0..4).filter_map(|index| told["clusters"][index]["health"].as_str()).collect();
    assert_eq!(health, ["well", "degraded", "down", "unknown"]);
    assert_eq!(
        told["clusters"][1],
        json!({
            "name": "b", "health": "degraded", "last_success": NOW - 30, "last_failure": NOW - 30,
            "last_error": "guest: it broke", "failing_collectors": ["guest"],
            "endpoints": [{"url": "https://192.0.2.11:8006", "node": "pve1", "status": "troubled", "in_use": true, "error": "it broke"}],
        })
    );
    assert_eq!(
        (&told["clusters"][3]["last_success"], &told["clusters"][0]["last_error"]),
        (&Value::Null, &Value::Null)
    );

    let some = body(clusters::reply(&all, &request(&[("cluster", "c"), ("cluster", "a")]), clock));
    assert_eq!(some["clusters"].as_array().map(Vec::len), Some(2));
    let error = clusters::reply(&all, &request(&[("cluster", "c"), ("cluster", "x")]), clock).expect_err("unknown");
    assert_eq!(error.to_string(), "bad_request: unknown cluster \"x\"; known: a, b, c, d");
}

#[test]
fn nodes_tell_what_is_known_and_when_it_was() {
    let (clock, then) = clock(5);
    let node = |name: &str, online| Node {
        name: name.to_owned(),
        online,
        ha_state: None,
        usage: Usage { uptime: Some(7.0).filter(|_| online).into(), ..Usage::default() },
        ghost: None,
    };
    let mut home = cluster("home", Past::default());
    home.nodes = Some((then, vec![node("pve1", true), node("pve2", false)]));
    let all = [home, cluster("lab", Past::default())];
    let told = |query: &[(&str, &str)]| body(nodes::reply(&all, &request(query), clock))["nodes"].clone();
    let nodes = told(&[]);
    assert_eq!(nodes.as_array().map(Vec::len), Some(2));
    for (key, one, two) in [
        ("status", json!("online"), json!("offline")),
        ("uptime_seconds", json!(7), Value::Null),
        ("told_at", json!(NOW - 5), json!(NOW - 5)),
        ("cluster", json!("home"), json!("home")),
    ] {
        assert_eq!((&nodes[0][key], &nodes[1][key]), (&one, &two), "{key}");
    }
    assert_eq!(told(&[("status", "offline")])[0]["node"], "pve2");
    assert_eq!(told(&[("cluster", "lab")]), json!([]));
    assert!(super::nodes::reply(&all, &request(&[("status", "on")]), clock).is_err());
}

#[test]
fn hosts_tell_whether_they_answer() {
    let (clock, then) = clock(1);
    let host = |id: &str, cluster: Option<&str>, answered| KnownHost {
        id: id.to_owned(),
        name: id.to_uppercase(),
        cluster: cluster.map(str::to_owned),
        address: "192.0.2.11:22".to_owned(),
        past: Past {
            answered,
            last_success: None,
            last_failure: answered.map(|_| (then, "broke".to_owned())),
            refused_key: None,
        },
    };
    let all =
        [host("nas", None, None), host("home-pve1", Some("home"), Some(true)), host("lab-x", Some("lab"), Some(false))];
    let known = ["home".to_owned(), "lab".to_owned()];
    let told = |query: &[(&str, &str)]| body(hosts::reply(&all, &known, &request(query), clock))["hosts"].clone();
    let hosts = told(&[]);
    let said = |index: usize| (hosts[index]["type"].as_str(), hosts[index]["status"].as_str());
    assert_eq!(said(0), (Some("other"), Some("unknown")));
    assert_eq!((said(1), said(2)), ((Some("proxmox"), Some("up")), (Some("proxmox"), Some("down"))));
    assert_eq!(hosts[1]["last_failure"], NOW - 1);
    assert_eq!(told(&[("cluster", "home")]).as_array().map(Vec::len), Some(1), "hosts of no cluster are not asked for");
    assert_eq!(told(&[("status", "unknown"), ("status", "down")]).as_array().map(Vec::len), Some(2));
}

#[test]
fn the_document_tells_of_every_route() {
    let text = "[[clusters]]\nname = \"home\"\nendpoints = [\"https://192.0.2.11\"]\ntoken_id = \"a@pve!b\"\ntoken_secret = \"x\"";
    let loaded = crate::config::parse(text, "x.toml".as_ref(), &crate::config::Env::new(&|_| None), &[]);
    let scraper = Arc::new(Scraper::new(Vec::new(), Vec::new(), Vec::new(), &loaded.expect("a configuration").config));
    let desk = Desk::new(routes(&scraper, || Duration::ZERO), Vec::new(), Arc::default(), "1");
    assert_eq!(desk.routes().len(), 4);
    assert_eq!(gaps(desk.routes()), Vec::<String>::new());
}
