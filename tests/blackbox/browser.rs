//! The landing page in a real browser: Debian's chromium, without a window and without a network.

use std::path::Path;

use crate::programs::{missing, program};
use crate::support::{Cluster, Exporter};

/// What a page has become once the browser has read it, and what the browser says of it.
fn looked_at(url: &str, screenshot: &Path) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let started = program("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=360,800", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--screenshot={}", screenshot.display()))
        .arg(url)
        .output();
    let output = started.unwrap_or_else(|error| missing("chromium", &error));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_landing_page_is_shown_and_each_of_its_links_leads_somewhere() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    let folder = tempfile::tempdir().unwrap();
    let screenshot = folder.path().join("landing.png");
    let (document, said) = looked_at(&format!("http://{}/", exporter.address), &screenshot);
    // A page's own policy may forbid what the page needs: browsers say so, and nobody else does.
    assert!(!said.contains("Content Security Policy") && !said.contains("Refused to"), "{said}");
    assert!(document.contains("<h1>pve-sentinel</h1>"), "{document}");
    let links = regex_lite::Regex::new(r#"href="([^"]+)""#).unwrap();
    let links: Vec<String> = links.captures_iter(&document).map(|found| found[1].replace("&amp;", "&")).collect();
    assert!(links.len() >= 10, "{links:?}");
    for link in links {
        assert_eq!(exporter.get(&link).status, 200, "{link}");
    }
    let picture = std::fs::read(&screenshot).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{} bytes", picture.len());
}
