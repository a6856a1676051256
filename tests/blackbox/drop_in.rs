//! `/pve` in front of a real Prometheus, configured as the reference exporter's documentation has it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use super::programs::{Prometheus, missing, program};
use super::pve::whole;
use crate::support::{Exporter, repository};

/// Serves the reference exporter's page of the recorded cluster, whatever is asked for.
fn reference_exporter() -> SocketAddr {
    let golden = repository().join("tests/fixtures/reference/prometheus-pve-exporter-3.10.2.pve-9.2-cluster.prom");
    let page = std::fs::read(golden).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                page.len()
            );
            let mut stream = reader.into_inner();
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&page));
        }
    });
    address
}

/// A scrape job for an exporter that does not run on the Proxmox VE node.
fn relabelling_job(name: &str, target: SocketAddr, exporter: SocketAddr) -> String {
    format!(
        "  - job_name: '{name}'
    static_configs:
      - targets:
        - {target}
    metrics_path: /pve
    params:
      module: [default]
      cluster: ['1']
      node: ['1']
    relabel_configs:
      - source_labels: [__address__]
        target_label: __param_target
      - source_labels: [__param_target]
        target_label: instance
      - target_label: __address__
        replacement: {exporter}
"
    )
}

const EVERY_SECOND: &str = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n";

/// What the panels of the public dashboard 10347 ask, and the alert of the reference's documentation.
const DASHBOARD: &[&str] = &[
    r#"group by (instance) (pve_node_info)"#,
    r#"sum by (id, name, type) (pve_guest_info{instance="$instance", template!="1"})"#,
    r#"pve_up{instance="$instance"} and on (id, instance) pve_guest_info{instance="$instance", template!="1"}"#,
    r#"pve_cpu_usage_limit{instance="$instance"} and on (id, instance) pve_guest_info"#,
    r#"pve_memory_size_bytes{instance="$instance"} and on (id, instance) pve_guest_info"#,
    r#"pve_memory_usage_bytes{instance="$instance"} and on (id, instance) pve_guest_info"#,
    r#"pve_disk_size_bytes{instance="$instance"} and on (id, instance) pve_guest_info"#,
    r#"pve_disk_usage_bytes{instance="$instance"} and on (id, instance) pve_guest_info"#,
    r#"pve_cpu_usage_ratio{instance="$instance"} and on (id, instance) pve_guest_info"#,
    r#"pve_cpu_usage_ratio{instance="$instance"} / pve_cpu_usage_limit and on (id) pve_node_info"#,
    r#"pve_memory_usage_bytes{instance="$instance"} / pve_memory_size_bytes and on (id) pve_node_info"#,
    r#"rate(pve_disk_write_bytes{instance="$instance"}[5m]) + rate(pve_disk_read_bytes{instance="$instance"}[5m])"#,
    r#"rate(pve_network_receive_bytes{instance="$instance"}[5m])"#,
    r#"rate(pve_network_transmit_bytes{instance="$instance"}[5m])"#,
    r#"pve_network_receive_bytes{instance="$instance"} + pve_network_transmit_bytes"#,
    r#"pve_disk_usage_bytes{id=~"storage/.+", instance="$instance"} / pve_disk_size_bytes{id=~"storage/.+"}
       * on (id, instance) group_left (storage, node) pve_storage_info"#,
    r#"sum by (id) (pve_disk_size_bytes{id=~"storage/.+", instance="$instance"})"#,
    r#"pve_uptime_seconds{instance="$instance"}"#,
    r#"max(pve_not_backed_up_total)"#,
    r#"(pve_guest_info{tags=~".*n2.*"} * on (id) group_left (name) pve_up{}) == 0"#,
];

/// The series of an instant query.
fn told(prometheus: &Prometheus, query: &str) -> BTreeMap<String, f64> {
    let vector = prometheus.vector(query).unwrap_or_else(|| panic!("{query}: {}", prometheus.log()));
    let value = |series: &serde_json::Value| series["value"][1].as_str().unwrap().parse::<f64>().unwrap();
    vector.iter().map(|series| (series["metric"].to_string(), value(series))).collect()
}

#[test]
fn the_public_dashboard_shows_what_it_showed_over_the_reference() {
    let cluster = whole();
    let config = format!("{}modules = [\"default\"]\n", cluster.config("home"));
    let (exporter, target) = (Exporter::serve_all(&config), cluster.sims[0].addr());
    let scrape = |exporter| Prometheus::start(&format!("{EVERY_SECOND}{}", relabelling_job("pve", target, exporter)));
    let (mut ours, mut reference) = (scrape(exporter.address), scrape(reference_exporter()));
    for prometheus in [&mut ours, &mut reference] {
        let up = format!("up{{job=\"pve\", instance=\"{target}\"}}");
        prometheus.wait_for(&format!("count_over_time({up}[1m])"), |count| count >= 3.0);
        prometheus.wait_for(&format!("min_over_time({up}[1m])"), |up| up == 1.0);
    }
    for query in DASHBOARD {
        let query = query.replace("$instance", &target.to_string());
        let expected = told(&reference, &query);
        assert!(!expected.is_empty(), "{query} shows nothing");
        assert_eq!(told(&ours, &query), expected, "{query}");
    }
}

/// Runs the lines that the README gives to those who compare the two.
#[test]
fn the_comparison_of_the_readme_finds_no_difference() {
    let cluster = whole();
    let (exporter, target) = (Exporter::serve_all(&cluster.config("home")), cluster.sims[0].addr());
    let jobs = relabelling_job("pve", target, reference_exporter())
        + &relabelling_job("pve-sentinel", target, exporter.address);
    let mut prometheus = Prometheus::start(&format!("{EVERY_SECOND}{jobs}"));
    for job in ["pve", "pve-sentinel"] {
        prometheus.wait_for(&format!("count_over_time(up{{job=\"{job}\"}}[1m])"), |count| count >= 3.0);
    }
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let line =
        |line: &'_ str| line.trim().strip_prefix("promtool query instant http://localhost:9090 '").map(str::to_owned);
    let queries: Vec<String> = readme.lines().filter_map(line).map(|query| query.replace('\'', "")).collect();
    let [outages, absent, different] = queries.as_slice() else { panic!("{queries:?}") };
    let run = |query: &str| {
        let server = format!("http://{}", prometheus.address);
        let output = program("promtool")
            .args(["query", "instant", &server, query])
            .output()
            .unwrap_or_else(|error| missing("promtool", &error));
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let up = run(outages);
    assert!(up.contains("{job=\"pve\"} => 1 @") && up.contains("{job=\"pve-sentinel\"} => 1 @"), "{up}");
    assert_eq!(run(absent).trim(), "", "every series is on both pages");
    assert_eq!(run(different).trim(), "", "with the same value");
    // They would tell: series of one job only, and another value.
    let alone = run(&absent.replace("job=\"pve-sentinel\"", "job=\"nobody\""));
    assert!(alone.contains("pve_guest_info"), "{alone}");
    let changed = run(&different.replace("{job=\"pve-sentinel\"}", "{job=\"pve-sentinel\"} * 2"));
    assert!(changed.contains("node/pve-lab"), "{changed}");
}
