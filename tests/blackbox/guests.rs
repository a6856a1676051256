//! Guests for programs, and their services: what is told, what is refused, and what is left alone.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Fault, World};
use serde_json::Value;

use crate::support::{BlackHole, Cluster, Exporter, Page, Refusing, Reply, Service, Simulated, request};

const TOKEN: &str = "pvs_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA";
/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const PAGE: &str = "/metrics?collect[]=service";
const UP: &str = "pve_service_up";

fn control() -> String {
    let hash = pve_sentinel::ids::TokenHash::of(TOKEN).hex();
    format!("[control]\ntokens = [{{ name = \"ops\", sha256 = \"{hash}\", scopes = [\"read\"] }}]\n")
}

fn ask(exporter: &Exporter, method: &str, path: &str) -> Reply {
    request(exporter.address, method, path, &[("Authorization", &format!("Bearer {TOKEN}"))])
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

fn told(exporter: &Exporter, path: &str) -> Vec<Value> {
    let reply = ask(exporter, "GET", path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    json(&reply)["guests"].as_array().expect("a list").clone()
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "it never came true");
        std::thread::yield_now();
    }
}

/// The container 200 tells an address that leads to this machine, and 202 none.
pub fn tells_loopback(cluster: &Cluster) {
    let body = r#"{"data":[{"name":"lo","inet":"127.0.0.1/8"}]}"#;
    cluster.sims[0].set_fault("/nodes/pve-lab/lxc/200/interfaces", Fault::Body(body.into()));
}

/// The rest of `[discovery]`, in which this machine may stand for a guest, and entries for `[[discovery.services]]`, each with
/// name, guests, port and type.
pub fn services(services: &[(&str, &str, u16, &str)]) -> String {
    let entry = |(name, guests, port, kind): &(&str, &str, u16, &str)| {
        format!(
            "[[discovery.services]]\nguests = [\"{guests}\"]\nname = \"{name}\"\nport = {port}\ntype = \"{kind}\"\n"
        )
    };
    format!("prefer = [\"127.0.0.0/8\"]\n{}", services.iter().map(entry).collect::<String>())
}

#[test]
fn guests_are_told_with_all_that_is_known() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&format!("{}{}", cluster.config("home"), control()));
    let all = told(&exporter, "/api/v1/guests");
    let ids: Vec<&str> = all.iter().map(|guest| guest["id"].as_str().expect("an id")).collect();
    assert!(ids.contains(&"home-vm-100") && !ids.contains(&"home-vm-9000"), "a template is no guest: {ids:?}");
    let web = &all[ids.iter().position(|id| *id == "home-vm-100").expect("it is there")];
    for (key, value) in [
        ("cluster", "home".into()),
        ("vmid", 100.into()),
        ("type", "qemu".into()),
        ("name", "web-1".into()),
        ("node", "pve-lab".into()),
        ("status", "running".into()),
        ("template", false.into()),
        ("tags", serde_json::json!(["prod", "web"])),
        ("pool", "prod".into()),
        ("lock", Value::Null),
        ("ha_state", Value::Null),
    ] {
        assert_eq!(web[key], value, "{key}");
    }
    assert!(web["uptime_seconds"].as_u64().is_some_and(|uptime| uptime > 0), "{web}");
    assert!(web["first_seen"].as_i64().is_some_and(|seen| seen > 1_000_000_000), "{web}");
    assert_eq!(web["first_seen"], web["last_seen"]);
    // What was asked for in the background is there later.
    let container = wait_for(|| {
        let reply = ask(&exporter, "GET", "/api/v1/guests/home/200");
        assert_eq!(reply.status, 200, "{}", reply.text());
        Some(json(&reply)["guest"].clone()).filter(|guest| guest["addresses"] != serde_json::json!([]))
    });
    let primary: Vec<&Value> = container["addresses"].as_array().expect("a list").iter().collect();
    let primary: Vec<&Value> = primary.into_iter().filter(|address| address["primary"] == true).collect();
    assert_eq!(primary.len(), 1, "{container}");
    assert_eq!(primary[0]["address"], "10.77.2.50");
    for (query, expected) in [
        ("tag=web", &["home-vm-100"][..]),
        ("pool=prod", &["home-vm-100", "home-vm-200"]),
        ("type=lxc&status=stopped", &["home-vm-201"]),
        ("node=pve-lab2", &["home-vm-301"]),
        ("tag=web&tag=agent&cluster=home", &["home-vm-100", "home-vm-103"]),
        ("tag=nobody", &[]),
    ] {
        let some = told(&exporter, &format!("/api/v1/guests?{query}"));
        let some: Vec<&str> = some.iter().filter_map(|guest| guest["id"].as_str()).collect();
        assert_eq!(some, expected, "{query}");
    }
}

#[test]
fn what_is_unknown_is_refused_and_no_token_is_no_answer() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&format!("{}{}", cluster.config("home"), control()));
    for (method, path, status, code, words) in [
        ("GET", "/api/v1/guests/home/4711", 404, "not_found", "no guest 4711 in home"),
        ("GET", "/api/v1/guests/home/9000", 404, "not_found", "or it is a template"),
        ("GET", "/api/v1/guests/hom/100", 404, "not_found", "no cluster \\\"hom\\\""),
        ("GET", "/api/v1/guests/home/web-1", 400, "bad_request", "expected vmid to be the number"),
        ("GET", "/api/v1/guests/home/+100", 400, "bad_request", "expected vmid to be the number"),
        ("GET", "/api/v1/guests/home/99999999999999999999999", 400, "bad_request", "expected vmid"),
        ("GET", "/api/v1/guests?cluster=hom", 400, "bad_request", "expected a cluster of the configuration: home"),
        ("GET", "/api/v1/guests?type=vm", 400, "bad_request", "expected qemu or lxc"),
        ("GET", "/api/v1/guests?tags=web", 400, "bad_request", "tags"),
        ("GET", "/api/v1/discovery", 405, "method_not_allowed", ""),
    ] {
        let reply = ask(&exporter, method, path);
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert_eq!(json(&reply)["error"]["code"], code, "{path}");
        assert!(reply.text().contains(words), "{path}: {}", reply.text());
    }
    for (method, path) in [("GET", "/api/v1/guests"), ("POST", "/api/v1/discovery")] {
        assert_eq!(request(exporter.address, method, path, &[]).status, 401, "{path}");
    }
    let document = json(&ask(&exporter, "GET", "/api/v1/openapi.json"));
    for (path, method) in
        [("/api/v1/guests", "get"), ("/api/v1/guests/{cluster}/{vmid}", "get"), ("/api/v1/discovery", "post")]
    {
        let about = document["paths"][path][method]["responses"]["502"]["description"].as_str().unwrap_or_default();
        assert!(about.contains("pve_unreachable"), "{path}: {about}");
    }
}

#[test]
fn the_document_says_what_a_guest_is() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&format!("{}{}", cluster.config("home"), control()));
    let document = json(&ask(&exporter, "GET", "/api/v1/openapi.json"));
    let content = &document["paths"]["/api/v1/guests"]["get"]["responses"]["200"]["content"]["application/json"];
    let guest = &content["schema"]["properties"]["guests"]["items"];
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let all = wait_for(|| {
        Some(told(&exporter, "/api/v1/guests")).filter(|all| all.iter().any(|guest| !guest["addresses"][0].is_null()))
    });
    for told in &all {
        assert_eq!(keys(told), keys(&guest["properties"]), "{told}");
        for address in told["addresses"].as_array().expect("a list") {
            assert_eq!(keys(address), keys(&guest["properties"]["addresses"]["items"]["properties"]));
        }
    }
}

#[test]
fn another_look_reads_at_once_and_says_what_does_not_answer() {
    let lab = Simulated::start(World::new(1, 2, 20), 1);
    let config = format!("{}[discovery]\ninterval = \"1h\"\n{}", lab.cluster.config("home"), control());
    let exporter = Exporter::serve(&config);
    let before = told(&exporter, "/api/v1/guests").len();
    lab.world.edit(lab.now(), |edit| assert!(edit.create(4711, 0, pve_sentinel::sim::GuestKind::Qemu, "new")));
    let looked = wait_for(|| {
        let reply = ask(&exporter, "POST", "/api/v1/discovery");
        assert_eq!(reply.status, 200, "{}", reply.text());
        // Within a second of the first look this one is the same.
        Some(json(&reply)["clusters"][0].clone()).filter(|cluster| cluster["guests"] == before + 1)
    });
    assert_eq!(looked["cluster"], "home");
    assert_eq!(ask(&exporter, "GET", "/api/v1/guests/home/4711").status, 200);

    let refused = Fault::Status { code: 500, reason: "no such luck".to_owned(), body: String::new() };
    lab.cluster.sims[0].set_fault("/cluster/resources", refused);
    let reply = wait_for(|| Some(ask(&exporter, "POST", "/api/v1/discovery")).filter(|reply| reply.status != 200));
    assert_eq!((reply.status, json(&reply)["error"]["code"].as_str()), (502, Some("pve_unreachable")));
    assert!(reply.text().contains("home") && reply.text().contains("no such luck"), "{}", reply.text());
    // What is known stays known, but not to those who just began.
    assert_eq!(told(&exporter, "/api/v1/guests").len(), before + 1);
    let other = Exporter::serve(&config);
    for path in ["/api/v1/guests", "/api/v1/guests/home/100"] {
        let reply = ask(&other, "GET", path);
        assert_eq!((reply.status, json(&reply)["error"]["code"].as_str()), (502, Some("pve_unreachable")), "{path}");
        assert!(reply.text().contains("no such luck"), "{}", reply.text());
    }
}

#[test]
fn large_lists_are_compressed_where_that_is_wished() {
    let lab = Simulated::start(World::new(1, 4, 2000), 1);
    let exporter = Exporter::serve(&format!("{}{}", lab.cluster.config("home"), control()));
    let bearer = format!("Bearer {TOKEN}");
    let plain = ask(&exporter, "GET", "/api/v1/guests?type=qemu");
    let packed = request(
        exporter.address,
        "GET",
        "/api/v1/guests?type=qemu",
        &[("Authorization", &bearer), ("Accept-Encoding", "gzip")],
    );
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert_eq!(packed.header("vary"), "Accept-Encoding");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).expect("gzip");
    let ids = |text: &str| text.matches("\"id\":").count();
    assert!(ids(&text) == ids(&plain.text()) && text.ends_with("]}\n"), "the addresses may come between the two");
    assert!(packed.body.len() * 5 < plain.body.len() && plain.body.len() > 64 * 1024, "{}", plain.body.len());
    // Short ones are not worth it.
    let short = request(
        exporter.address,
        "GET",
        "/api/v1/guests?tag=nobody",
        &[("Authorization", &bearer), ("Accept-Encoding", "gzip")],
    );
    assert_eq!((short.status, short.header("content-encoding")), (200, ""));
}

#[test]
fn services_of_guests_are_checked_at_their_addresses() {
    let (cluster, refusing) = (Cluster::recorded(), Refusing::new());
    tells_loopback(&cluster);
    let (site, https) = (Service::http(), Service::https());
    let told = [
        ("Site", "200-202", site.port, "http"),
        ("UI", "pool:prod\", \"!100", https.port, "https"),
        ("Off", "200", refusing.port, "tcp"),
    ];
    let exporter = Exporter::serve(&format!("{}[discovery]\n{}", cluster.config("home"), services(&told)));
    let page = wait_for(|| {
        let page = Some(exporter.page(PAGE)).filter(|text| text.contains(UP))?;
        Some(Page::parse(&page)).filter(|page| page.samples[UP].len() == 3)
    });
    let site_port = site.port.to_string();
    let labels =
        [("cluster", "home"), ("guest", "home-vm-200"), ("service", "Site"), ("port", &site_port), ("type", "http")];
    assert_eq!(page.value(UP, &labels), Some(1.0));
    assert_eq!((page.value(UP, &[("service", "UI")]), page.value(UP, &[("service", "Off")])), (Some(1.0), Some(0.0)));
    assert!(page.value("pve_service_response_seconds", &labels).is_some_and(|took| took > 0.0));
    let certificate = "pve_service_certificate_not_after_timestamp_seconds";
    assert!(page.value(certificate, &[("service", "UI"), ("guest", "home-vm-200")]).is_some());
    let success = [("cluster", "home"), ("collector", "service")];
    assert_eq!(page.value("pve_scrape_collector_success", &success), Some(1.0));
    // Of 201, which is stopped, and 202, which told no address, nothing is said.
    assert!(page.samples[UP].len() == 3 && !page.samples.contains_key("pve_host_up"));
    assert!(exporter.page("/metrics?cluster=home").contains(UP), "guests belong to their cluster");
    assert!(!exporter.page("/metrics?collect[]=guest").contains(UP));

    site.set_status(502);
    wait_for(|| Page::parse(&exporter.page(PAGE)).value(UP, &labels).filter(|up| *up == 0.0));
    exporter.page(PAGE);
    site.set_status(200);
    wait_for(|| Page::parse(&exporter.page(PAGE)).value(UP, &labels).filter(|up| *up == 1.0));
    let log = exporter.log();
    let lines = |words: &str, service: &str| {
        let service = format!("service={service}");
        log.lines().filter(|line| line.contains(words) && line.contains(&service)).collect::<Vec<_>>()
    };
    let down = lines("the service is down", "Site");
    assert_eq!((down.len(), lines("the service is up again", "Site").len()), (1, 1), "{log}");
    assert!(down[0].contains("cluster=home") && down[0].contains("guest=home-vm-200"), "{}", down[0]);
    assert!(down[0].contains("expected a status below 500, found 502") && !down[0].contains("host="), "{}", down[0]);
    assert_eq!(lines("the service is down", "Off").len(), 1, "{log}");
}

#[test]
fn a_guest_that_hangs_holds_no_page_up_for_long() {
    let (cluster, hole) = (Cluster::recorded(), BlackHole::new());
    tells_loopback(&cluster);
    let config = services(&[("Hung", "200", hole.port, "tcp")]);
    let exporter = Exporter::serve(&format!("{}[discovery]\n{config}", cluster.config("home")));
    wait_for(|| {
        let page = Some(exporter.page(PAGE)).filter(|text| text.contains(UP))?;
        Page::parse(&page).value(UP, &[("guest", "home-vm-200")]).filter(|up| *up == 0.0)
    });
    let started = Instant::now();
    assert_eq!(Page::parse(&exporter.page(PAGE)).value(UP, &[("guest", "home-vm-200")]), Some(0.0));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn nobody_is_asked_for_addresses_where_no_service_wants_them() {
    let cluster = Cluster::recorded();
    let site = Service::http();
    let config = services(&[("Site", "301", site.port, "http")]);
    let exporter =
        Exporter::serve(&format!("{}[discovery]\n{config}[collectors]\nservice = false\n", cluster.config("home")));
    wait_for(|| exporter.page("/metrics?collect[]=discovery").contains("pve_discovery_guests").then_some(()));
    exporter.page("/metrics");
    let asked = || cluster.sims[0].requests().iter().filter(|seen| seen.target.contains("interfaces")).count();
    assert_eq!((asked(), site.connections()), (0, 0));
}
