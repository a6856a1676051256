//! `GET /`: what this is, and where to go.

use std::fmt::Write;

use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{Response, StatusCode};

use super::Site;
use super::body::Body;
use super::reply::reply;

const STYLE: &str = ":root{color-scheme:light dark}\
body{font-family:system-ui,sans-serif;line-height:1.5;max-width:44rem;margin:3rem auto;padding:0 1rem}\
code{font-family:ui-monospace,monospace}";

/// Nothing but the page's own style is loaded or run.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn page(site: &Site) -> Response<Body> {
    let html = html(&site.version, &site.clusters);
    let mut response = reply(StatusCode::OK, "text/html; charset=utf-8", Body::Text(html.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn html(version: &str, clusters: &[String]) -> String {
    let mut list = String::new();
    for cluster in clusters {
        let (link, name) = (percent_encoded(cluster), escaped(cluster));
        let _ = writeln!(
            list,
            "<li><a href=\"/metrics?cluster={link}\">{name}</a> (<a href=\"/pve?target={link}\">/pve</a>)</li>"
        );
    }
    let version = escaped(version);
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pve-sentinel</title>
<style>{STYLE}</style>
</head>
<body>
<h1>pve-sentinel</h1>
<p>Prometheus exporter for Proxmox VE, version {version}</p>
<ul>
<li><a href="/metrics">/metrics</a>: every configured cluster, and the exporter itself</li>
<li><code>/pve?target=…</code>: one target as prometheus-pve-exporter tells it; a target is a cluster's name or one of its addresses</li>
<li><code>/host?target=…</code>: one host over SSH as node_exporter tells it; a node's id is the cluster's name, a hyphen and its own</li>
<li><a href="/sd/clusters">/sd/clusters</a>, <a href="/sd/hosts">/sd/hosts</a>, <a href="/sd/guests?port=9100">/sd/guests?port=9100</a>: targets for Prometheus' HTTP service discovery</li>
<li><a href="/-/healthy">/-/healthy</a>: whether the exporter runs</li>
<li><a href="/-/ready">/-/ready</a>: whether it takes requests</li>
</ul>
<h2>Clusters</h2>
<ul>
{list}</ul>
<h2>Less at a time</h2>
<p>The parameters <code>cluster</code> and <code>collect[]</code> narrow a page, and both can be repeated:
<a href="/metrics?collect[]=guest&amp;collect[]=node"><code>/metrics?collect[]=guest&amp;collect[]=node</code></a>
has guests and nodes only, <a href="/metrics?collect[]=process"><code>/metrics?collect[]=process</code></a> the exporter itself.
An unknown name is answered with the names there are.</p>
</body>
</html>
"#
    )
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// All but letters, digits and `-._~` as `%XX`, so that it can stand in a query and in an attribute.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::super::query;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_page_is_as_its_golden() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/landing.html");
        let html = html("0.1.0", &["home".to_owned(), "<b>R&D \"x\" é".to_owned()]);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &html).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), html, "UPDATE_GOLDEN=1 rewrites {path}");
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_place(name in ".{0,20}") {
            let link = percent_encoded(&name);
            prop_assert_eq!(query::pairs(&format!("cluster={link}")).unwrap(), [("cluster".to_owned(), name.clone())]);
            prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>&".contains(&byte)));
            prop_assert!(!escaped(&name).contains(['<', '>', '"', '\'']));
        }
    }
}
