//! What each page says, in which format, and how requests that make no sense are answered.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::*;

const TEXT: &str = r#"# HELP pve_read_bytes_total Bytes read.
# TYPE pve_read_bytes_total counter
pve_read_bytes_total{cluster="home",id="qemu/0"} 0
# HELP pve_up Whether it runs.
# TYPE pve_up gauge
pve_up{cluster="home",id="qemu/0"} 0
"#;

#[tokio::test]
async fn each_path_has_its_page() {
    let server = start(small(), Limits::default());
    let mut client = Client::connect(&server).await;
    for (path, content_type, text) in [
        ("/", "text/html; charset=utf-8", "<a href=\"/metrics?cluster=my%20lab\">my lab</a>"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "pve_up{cluster=\"home\",id=\"qemu/2\"} 2\n"),
        ("/metrics?unknown=1", "text/plain; version=0.0.4; charset=utf-8", "pve_up{"),
        ("/-/healthy", "text/plain; charset=utf-8", "pve-sentinel is healthy.\n"),
        ("/-/ready", "text/plain; charset=utf-8", "pve-sentinel is ready.\n"),
    ] {
        let got = client.get(path).await;
        assert_eq!((got.status, got.header("content-type")), (200, content_type), "{path}");
        assert!(got.text().contains(text), "{path}: {}", got.text());
        assert_eq!(got.header("x-content-type-options"), "nosniff", "{path}");

        // How a body is cut up is of no use without one.
        let of_the_page = |mut headers: BTreeMap<String, String>| {
            headers.retain(|name, _| name != "date" && name != "transfer-encoding");
            headers
        };
        let head = client.ask("HEAD", path, "").await;
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(of_the_page(head.headers), of_the_page(got.headers), "{path}");
    }
    let landing = client.get("/").await;
    assert!(landing.header("content-security-policy").starts_with("default-src 'none';"));
    assert_eq!((landing.header("x-frame-options"), landing.header("referrer-policy")), ("DENY", "no-referrer"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_explained() {
    let server = start(small(), Limits::default());
    let mut client = Client::connect(&server).await;
    for path in ["/metric", "/metrics/", "//", "/-/reloads", "/%6Detrics"] {
        let reply = client.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(
            reply.text(),
            "there is no such page here; there are:\n/\n/metrics\n/pve\n/host\n/sd/clusters\n/sd/hosts\n/sd/guests\n/-/healthy\n/-/ready\n/-/reload\n"
        );
    }
    for path in ["/", "/metrics", "/pve", "/host", "/sd/clusters", "/sd/hosts", "/sd/guests", "/-/healthy", "/-/ready"]
    {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "BREW"] {
            let reply = client.ask(method, path, "").await;
            assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method} {path}");
            assert_eq!(reply.text(), format!("{path} answers GET, HEAD only\n"));
        }
    }
    let counted = server.own.encode(Format::Text004);
    for line in [
        "pve_sentinel_http_requests_total{path=\"other\",code=\"404\"} 5\n",
        "pve_sentinel_http_requests_total{path=\"/metrics\",code=\"405\"} 8\n",
    ] {
        assert!(counted.contains(line), "{counted}");
    }
}

#[tokio::test]
async fn formats_are_negotiated() {
    let server = start(always(vec![part(1)], false), Limits::default());
    let mut client = Client::connect(&server).await;
    let open_metrics = TEXT.replace(
        "# HELP pve_read_bytes_total Bytes read.\n# TYPE pve_read_bytes_total",
        "# HELP pve_read_bytes Bytes read.\n# TYPE pve_read_bytes",
    ) + "# EOF\n";
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    for (headers, content_type, text) in [
        ("", "text/plain; version=0.0.4; charset=utf-8", TEXT),
        (prometheus, "application/openmetrics-text; version=1.0.0; charset=utf-8", open_metrics.as_str()),
    ] {
        let plain = client.ask("GET", "/metrics", headers).await;
        assert_eq!((plain.header("content-type"), plain.text()), (content_type, text));
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "Accept, Accept-Encoding"));

        let packed = client.ask("GET", "/metrics", &format!("{headers}Accept-Encoding: gzip\r\n")).await;
        assert_eq!((packed.header("content-type"), packed.header("content-encoding")), (content_type, "gzip"));
        assert_eq!(packed.header("vary"), "Accept, Accept-Encoding");
        assert_eq!(unpacked(&packed), text);
    }
}

#[tokio::test]
async fn a_large_page_arrives_whole() {
    let server = start(always(vec![part(40_000)], false), Limits::default());
    let mut client = Client::connect(&server).await;
    let plain = client.get("/metrics").await;
    assert!(plain.body.len() > 3_000_000, "{} bytes", plain.body.len());
    assert_eq!(plain.text().lines().filter(|line| line.starts_with("pve_up{")).count(), 40_000);

    let packed = client.ask("GET", "/metrics", "Accept-Encoding: gzip\r\n").await;
    assert!(packed.body.len() < plain.body.len() / 4, "{} bytes", packed.body.len());
    assert!(unpacked(&packed) == plain.text(), "the two pages differ");
}

#[tokio::test]
async fn who_asks_at_once_gets_the_same_compressed_page() {
    // Own metrics change with each answer, so that no two pages are the same by chance.
    let server = start(always(vec![part(200_000)], true), Limits::default());
    let gzip = "Accept-Encoding: gzip\r\n";
    let mut stuck = Client::connect_narrow(&server).await;
    stuck.send(&format!("GET /metrics HTTP/1.1\r\nHost: test\r\n{gzip}\r\n")).await;
    tokio::time::timeout(PATIENCE, stuck.stream.readable()).await.unwrap().unwrap();
    let ask = async || Client::connect(&server).await.ask("GET", "/metrics", gzip).await;
    let replies = futures_util::future::join_all((0..8).map(|_| ask())).await;
    let text = unpacked(&replies[0]);
    assert_eq!(text.lines().filter(|line| line.starts_with("pve_up{")).count(), 200_000);
    assert!(replies.iter().all(|reply| reply.body == replies[0].body), "the pages differ");
    let late = stuck.reply(false).await.unwrap();
    assert!(late.body == replies[0].body, "the late page differs");
    assert!(text.contains("pve_sentinel_build_info{"));
}

#[tokio::test]
async fn own_metrics_are_on_the_page_when_the_round_says_so() {
    let server = start(always(vec![part(1)], true), Limits::default());
    let mut client = Client::connect(&server).await;
    client.get("/-/healthy").await;
    let text = client.get("/metrics").await;
    assert!(text.text().starts_with(TEXT));
    assert!(text.text().contains("pve_sentinel_http_requests_total{path=\"/-/healthy\",code=\"200\"} 1\n"));
    assert!(text.text().contains("pve_sentinel_build_info{version=\"0.1.0\"} 1\n"));
}

#[tokio::test]
async fn a_request_narrows_the_round() {
    let (rounds, asked) = asking();
    let server = start(rounds, Limits::default());
    let mut client = Client::connect(&server).await;
    let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 9.5\r\n";
    let target = "/metrics?cluster=home&collect%5B%5D=guest&collect[]=no+de&foo=bar";
    assert_eq!(client.ask("GET", target, timeout).await.status, 200);
    assert_eq!(client.ask("GET", "/metrics", "X-Prometheus-Scrape-Timeout-Seconds: soon\r\n").await.status, 200);
    let all = Asked { clusters: Vec::new(), collect: Vec::new(), timeout: None };
    let narrow = Asked {
        clusters: vec!["home".to_owned()],
        collect: vec!["guest".to_owned(), "no de".to_owned()],
        timeout: Some(Duration::from_millis(9500)),
    };
    assert_eq!(*asked.lock().unwrap(), [narrow, all]);
}

#[tokio::test]
async fn bad_requests_are_explained() {
    let (rounds, asked) = asking();
    let server = start(rounds, Limits::default());
    let mut client = Client::connect(&server).await;
    let unknown = client.get("/metrics?cluster=home&cluster=%3Cb%3E").await;
    assert_eq!((unknown.status, unknown.header("content-type")), (400, "text/plain; charset=utf-8"));
    assert_eq!(unknown.text(), "the parameter cluster names \"<b>\", which is not configured; known: home\n");
    assert_eq!(asked.lock().unwrap().len(), 1);

    let malformed = client.get("/metrics?cluster=%zz").await;
    assert_eq!(malformed.status, 400);
    assert!(malformed.text().starts_with("the query holds \"%zz\", which is not percent-encoded UTF-8"));
    assert_eq!(asked.lock().unwrap().len(), 1, "nothing was asked");
}

fn unpacked(reply: &Reply) -> String {
    let mut text = String::new();
    GzDecoder::new(reply.body.as_slice()).read_to_string(&mut text).unwrap();
    text
}
