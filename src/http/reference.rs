//! `GET /pve`: the drop-in page of one target, always in the classic format.

use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};

use super::body::Body;
use super::{Site, exposition, negotiate, query, reply};
use crate::metrics::Format;
use crate::scrape::{ReferenceQuery, Refusal};

pub(super) async fn page(site: Arc<Site>, request: Parts) -> Response<Body> {
    let pairs = match query::pairs(request.uri.query().unwrap_or_default()) {
        Ok(pairs) => pairs,
        Err(error) => return reply::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match (site.references)(asked(&pairs), negotiate::timeout(&request.headers)).await {
        Ok(parts) => exposition::body(&site, parts, None, Format::Text004, &request.headers),
        Err(Refusal::Unknown(unknown)) => reply::text(StatusCode::BAD_REQUEST, exposition::explain(&unknown)),
        Err(Refusal::Unclear(words)) => reply::text(StatusCode::BAD_REQUEST, format!("{words}\n")),
        Err(Refusal::Failed(reasons)) => {
            let text = format!("not one call to Proxmox VE succeeded:\n{}\n", reasons.join("\n"));
            reply::text(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

/// The first value of each parameter counts, and others are passed over, as in the original.
fn asked(pairs: &[(String, String)]) -> ReferenceQuery {
    let first = |name: &str| query::values(pairs, name).into_iter().next();
    let is_on = |name: &str| {
        let value = first(name).unwrap_or_else(|| "1".to_owned()).to_lowercase();
        !matches!(value.as_str(), "false" | "0" | "")
    };
    ReferenceQuery { target: first("target"), module: first("module"), cluster: is_on("cluster"), node: is_on("node") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_the_original_reads_them() {
        let read = |text: &str| asked(&query::pairs(text).expect("a query"));
        let all = ReferenceQuery { target: None, module: None, cluster: true, node: true };
        assert_eq!(read(""), all);
        assert_eq!(read("x=1&collect[]=guest"), all);
        for (value, on) in [("1", true), ("true", true), ("no", true), ("0", false), ("FALSE", false), ("", false)] {
            let expected = ReferenceQuery { cluster: on, node: true, ..all.clone() };
            assert_eq!(read(&format!("cluster={value}")), expected, "{value}");
            let expected = ReferenceQuery { cluster: true, node: on, ..all.clone() };
            assert_eq!(read(&format!("node={value}&node=1&node=0")), expected, "{value}");
        }
        let named = read("target=192.0.2.11%3A8006&module=default&target=other&module=");
        assert_eq!((named.target.as_deref(), named.module.as_deref()), (Some("192.0.2.11:8006"), Some("default")));
        assert_eq!(read("target=&module=").target.as_deref(), Some(""));
    }
}
