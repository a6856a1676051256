//! Services of hosts: what answers is told, what hangs holds nobody up, and each change is one line of the log.

use std::time::{Duration, Instant};

use crate::support::{BlackHole, Cluster, Exporter, Machine, Page, Refusing, Service, check_golden, request};

const UP: &str = "pve_service_up";
const HOST: &str = "pve_host_up";
const SUCCESS: &str = "pve_scrape_collector_success";
const PAGE: &str = "/metrics?collect[]=service";

/// A host of services, each with name, port and type.
fn host(id: &str, services: &[(&str, u16, &str)]) -> String {
    let entry =
        |(name, port, kind): &(&str, u16, &str)| format!("{{ name = \"{name}\", port = {port}, type = \"{kind}\" }}");
    let services: Vec<String> = services.iter().map(entry).collect();
    format!(
        "[[hosts]]\nid = \"{id}\"\nname = \"The {id}\"\nhostname = \"127.0.0.1\"\nservices = [{}]\n",
        services.join(", ")
    )
}

fn up(exporter: &Exporter, service: &str) -> Option<f64> {
    Page::parse(&exporter.page(PAGE)).value(UP, &[("service", service)])
}

/// How often the log says it, of one service.
fn told(exporter: &Exporter, words: &str, service: &str) -> usize {
    let service = format!("service={service}");
    exporter.log().lines().filter(|line| line.contains(words) && line.contains(&service)).count()
}

#[test]
fn every_kind_of_service_is_on_the_page() {
    let (cluster, refusing) = (Cluster::recorded(), Refusing::new());
    let (silent, ssh, http, failing, https) =
        (Service::silent(), Service::ssh(), Service::http(), Service::http(), Service::https());
    failing.set_status(502);
    let services = [
        ("Files", silent.port, "tcp"),
        ("Shell", ssh.port, "ssh"),
        ("Site", http.port, "http"),
        ("Proxy", failing.port, "http"),
        ("Web UI", https.port, "https"),
        ("Plain", ssh.port, "https"),
        ("Off", refusing.port, "tcp"),
    ];
    let hosts = host("nas", &services) + &host("off", &[("Off", refusing.port, "http")]);
    let exporter = Exporter::serve(&format!("{}{hosts}", cluster.config("home")));
    let text = exporter.page(PAGE);

    let times = ["pve_service_response_seconds{", "pve_scrape_collector_duration", "pve_scrape_collector_age"];
    let mut masked = String::new();
    for line in text.lines() {
        let is_time = times.iter().any(|name| line.starts_with(name));
        let line = if is_time { format!("{} MASKED", line.rsplit_once(' ').unwrap().0) } else { line.to_owned() };
        masked.push_str(&line);
        masked.push('\n');
    }
    for (name, port, _) in services {
        masked = masked.replace(&format!("\"{port}\""), &format!("\"PORT OF {}\"", name.to_uppercase()));
    }
    check_golden("collectors/service.prom", &masked);

    let whole = Page::parse(&exporter.page("/metrics"));
    assert!(whole.samples[UP].len() == services.len() + 1 && whole.samples.contains_key("pve_guest_info"));
    assert!(!whole.samples.contains_key("pve_host_ssh_up"), "no word of SSH was said");
    let took = whole.value("pve_service_response_seconds", &[("service", "Web UI")]);
    assert!(took.is_some_and(|took| took > 0.0 && took < 5.0), "{took:?}");
    let open =
        request(exporter.address, "GET", "/metrics", &[("Accept", "application/openmetrics-text;version=1.0.0")]);
    assert_eq!(Page::parse(&open.text()).samples[UP], whole.samples[UP]);
    // Machines that are no nodes belong to no cluster.
    assert!(!exporter.page("/metrics?cluster=home").contains("pve_service_"));
    assert!(!exporter.page("/metrics?collect[]=guest").contains("pve_service_"));

    for (service, why) in [
        ("Proxy", "answer: expected a status below 500, found 502"),
        ("Plain", "TLS handshake: no TLS is spoken there"),
        ("Off", "connection refused"),
    ] {
        let line = exporter.wait_for_log(&format!("service={service}"));
        assert!(line.contains("level=warn") && line.contains("the service is down") && line.contains(why), "{line}");
    }
    assert_eq!(told(&exporter, "the service", "Site"), 0, "what is well is no news");
}

#[test]
fn what_hangs_holds_nobody_up() {
    let (cluster, hole, stuck, well) = (Cluster::recorded(), BlackHole::new(), Service::http(), Service::http());
    stuck.hold(true);
    let hosts = host("hole", &[("Hole", hole.port, "http")])
        + &host("stuck", &[("Stuck", stuck.port, "http"), ("Well", well.port, "http")]);
    let exporter = Exporter::serve(&format!("{}{hosts}", cluster.config("home")));
    // Whoever cannot wait does not make a service down.
    let timeout = [("X-Prometheus-Scrape-Timeout-Seconds", "1")];
    let page = Page::parse(&request(exporter.address, "GET", "/metrics", &timeout).text());
    let value = |page: &Page, name: &str, label, value| page.value(name, &[(label, value)]);
    let success = |page: &Page, host| page.value(SUCCESS, &[("collector", "service"), ("host", host)]);
    assert_eq!(value(&page, UP, "service", "Hole"), None);
    assert_eq!((success(&page, "hole"), success(&page, "stuck")), (Some(0.0), Some(0.0)));
    assert_eq!(value(&page, UP, "service", "Well"), Some(1.0));
    assert!(page.samples.contains_key("pve_guest_info"));

    for service in ["Hole", "Stuck"] {
        let line = exporter.wait_for_log(&format!("service={service}"));
        assert!(line.contains("nothing came within 5s"), "{line}");
    }
    // From now on they cost the page next to nothing.
    let begun = Instant::now();
    let page = Page::parse(&exporter.page("/metrics"));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    for (service, up) in [("Hole", 0.0), ("Stuck", 0.0), ("Well", 1.0)] {
        assert_eq!(value(&page, UP, "service", service), Some(up), "{service}");
    }
    assert_eq!((value(&page, HOST, "host", "hole"), value(&page, HOST, "host", "stuck")), (Some(0.0), Some(1.0)));
    assert_eq!((success(&page, "hole"), success(&page, "stuck")), (Some(1.0), Some(1.0)));
    assert_eq!(value(&page, "pve_service_response_seconds", "service", "Stuck"), None);

    stuck.hold(false);
    while up(&exporter, "Stuck") != Some(1.0) {
        std::thread::yield_now();
    }
    assert!(exporter.wait_for_log("the service is up again").contains("service=Stuck"));
    assert_eq!(told(&exporter, "the service is down", "Hole"), 1);
}

#[test]
fn each_change_is_one_line_of_the_log() {
    let (cluster, site) = (Cluster::recorded(), Service::http());
    let exporter =
        Exporter::serve(&format!("{}{}", cluster.config("home"), host("nas", &[("Site", site.port, "http")])));
    for round in 1..=2 {
        for (status, value, words) in [(404, 1.0, None), (503, 0.0, Some("is down")), (200, 1.0, Some("is up again"))] {
            site.set_status(status);
            for _ in 0..3 {
                assert_eq!(up(&exporter, "Site"), Some(value), "{status}");
            }
            if let Some(words) = words {
                let line = exporter.wait_for_log(words);
                assert!(line.contains("host=nas") && line.contains(&format!("port={}", site.port)), "{line}");
                assert_eq!(told(&exporter, words, "Site"), round, "{}", exporter.log());
            }
        }
    }
    assert_eq!(told(&exporter, "the service", "Site"), 4, "{}", exporter.log());
}

#[test]
fn scrapes_that_follow_closely_share_a_check() {
    let (cluster, site) = (Cluster::recorded(), Service::http());
    let config = format!("{}{}", cluster.config("home"), host("nas", &[("Site", site.port, "http")]));
    let exporter = Exporter::serve(&config);
    for checks in 1..=2 {
        assert_eq!(up(&exporter, "Site"), Some(1.0));
        assert_eq!(site.connections(), checks, "max_age is 0");
    }
    exporter.rewrite(&format!("[scrape]\nmax_age = \"1h\"\n{config}"));
    exporter.hang_up(1);
    for _ in 0..3 {
        assert_eq!(up(&exporter, "Site"), Some(1.0));
    }
    let found = request(exporter.address, "GET", PAGE, &[("Accept-Encoding", "gzip")]);
    assert_eq!((found.status, site.connections()), (200, 2), "what was found a moment ago is told again");
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let (cluster, nas) = (Cluster::recorded(), Machine::node());
    let (site, other) = (Service::http(), Service::http());
    site.set_status(500);
    let config = |more: &str| format!("{}{}{more}", cluster.config("home"), nas.host("nas"));
    let one =
        |service: &Service| format!("services = [{{ name = \"Site\", port = {}, type = \"http\" }}]\n", service.port);
    let exporter = Exporter::serve(&config(&one(&site)));
    let page = Page::parse(&exporter.page("/metrics"));
    let of_nas = |page: &Page, name: &str| page.value(name, &[("host", "nas")]);
    assert_eq!(
        (of_nas(&page, UP), of_nas(&page, HOST), of_nas(&page, "pve_host_ssh_up")),
        (Some(0.0), Some(1.0), Some(1.0))
    );
    assert_eq!(page.samples["pve_host_info"].len(), 1, "told once");
    assert_eq!(told(&exporter, "the service is down", "Site"), 1);

    // A neighbour comes: nothing is news, and the connection of SSH goes on.
    let both = format!(
        "services = [{{ port = {}, type = \"tcp\" }}, {{ name = \"Site\", port = {}, type = \"http\" }}]\n",
        other.port, site.port
    );
    exporter.rewrite(&config(&both));
    exporter.hang_up(1);
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.samples[UP].len(), 2);
    assert_eq!(page.value(UP, &[("service", &format!("tcp/{}", other.port))]), Some(1.0));
    assert_eq!(told(&exporter, "the service is down", "Site"), 1, "{}", exporter.log());
    assert_eq!(nas.sim.seen().connections, 1);

    // What is gone is not checked any more, nor what is switched off.
    exporter.rewrite(&config(&one(&other)));
    exporter.hang_up(2);
    let before = site.connections();
    assert_eq!(up(&exporter, "Site"), Some(1.0));
    assert_eq!(site.connections(), before);
    exporter.rewrite(&format!("{}[collectors]\nservice = false\n", config(&one(&site))));
    exporter.hang_up(3);
    assert!(!exporter.page("/metrics").contains("pve_service_"));
    assert_eq!(exporter.get(PAGE).status, 400);
    assert_eq!(site.connections(), before);
}

#[test]
fn a_host_of_services_only_is_not_asked_over_ssh() {
    let (cluster, nas, site) = (Cluster::recorded(), Machine::node(), Service::ssh());
    let router = host("router", &[("Shell", site.port, "ssh")]);
    let exporter = Exporter::serve(&format!("{}{}{router}", cluster.config("home"), nas.host("nas")));
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value("pve_host_ssh_up", &[("host", "router")]), None);
    let told = [("host", "router"), ("name", "The router"), ("address", "127.0.0.1")];
    assert_eq!(page.value("pve_host_info", &told), Some(1.0));
    let reply = exporter.get("/host?target=router");
    assert!(reply.status == 400 && reply.text().contains("nas"), "{}", reply.text());
    assert!(!exporter.page("/host?target=nas").contains("pve_service_"));
    assert_eq!(site.connections(), 1, "checked by the page of all, once");
}
