//! The API of the real binary: who is let in, what is told, and that no token ever turns up.

use std::io::Write;

use pve_sentinel::sim::{Certificate, SshFault};
use serde_json::Value;

use crate::support::{Cluster, Exporter, Kept, Machine, Page, Reply, SECRET, connect, parse, recorded, request};

/// A token, and its SHA-256.
const TOKEN: &str = "pvs_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA";
const OTHER: &str = "pvs_7xI0VniQq83vEjRWeJAq83vEjRWeJCrze8SNFZ4kKvN";

/// A token that nobody knows.
const WRONG: &str = "pvs_wrongwrongwrongwrongwrongwrongwrongwrong123";

fn control(tokens: &[(&str, &str)]) -> String {
    let hash = |token: &str| pve_sentinel::ids::TokenHash::of(token).hex();
    let entry = |(name, token): &(&str, &str)| {
        format!("{{ name = \"{name}\", sha256 = \"{}\", scopes = [\"read\"] }}", hash(token))
    };
    format!("[control]\ntokens = [{}]\n", tokens.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn serve(more: &str, cluster: &Cluster) -> Exporter {
    let config = format!("{}{more}\n{}", cluster.config("home"), control(&[("ops", TOKEN), ("grafana", OTHER)]));
    Exporter::serve_with(&config, &["--log.level", "debug"])
}

fn with(exporter: &Exporter, method: &str, path: &str, token: &str) -> Reply {
    request(exporter.address, method, path, &[("Authorization", &format!("Bearer {token}"))])
}

fn json(reply: &Reply) -> Value {
    assert_eq!(reply.header("content-type"), "application/json");
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

fn code(reply: &Reply) -> String {
    json(reply)["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// What was counted under a pattern.
fn counted(exporter: &Exporter, path: &str, status: &str) -> f64 {
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    page.value("pve_sentinel_http_requests_total", &[("path", path), ("code", status)]).unwrap_or_default()
}

#[test]
fn a_right_token_reads_and_no_other_way_is_open() {
    let cluster = Cluster::recorded();
    let exporter = serve("", &cluster);
    let path = "/api/v1/clusters";
    for token in [TOKEN, OTHER] {
        let reply = with(&exporter, "GET", path, token);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!((reply.header("cache-control"), reply.header("x-content-type-options")), ("no-store", "nosniff"));
        assert!(!reply.header("x-request-id").is_empty() && reply.header("access-control-allow-origin").is_empty());
        assert_eq!(json(&reply)["clusters"][0]["name"], "home");
    }
    let basic = format!("Basic {}", data_encoding::BASE64.encode(format!("ops:{TOKEN}").as_bytes()));
    let (bearer, twice) = (format!("Bearer {TOKEN}"), format!("Bearer {TOKEN} {TOKEN}"));
    let nothing: &[(&str, &str)] = &[];
    for (path, headers, words) in [
        (path.to_owned(), nothing, "Authorization: Bearer"),
        (format!("{path}?token={TOKEN}"), nothing, "in the header only"),
        (format!("{path}?{TOKEN}"), nothing, "in the header only"),
        (path.to_owned(), &[("Authorization", &basic)], "expected one header"),
        (path.to_owned(), &[("Authorization", TOKEN)], "expected one header"),
        (path.to_owned(), &[("Authorization", &twice)], "expected one header"),
        (path.to_owned(), &[("Authorization", &bearer), ("Authorization", &bearer)], "expected one header"),
        (path.to_owned(), &[("X-Api-Key", TOKEN), ("Cookie", &bearer)], "Authorization: Bearer"),
        (path.to_owned(), &[("Authorization", &bearer[..bearer.len() - 1])], "not known"),
        ("/api".to_owned(), nothing, "Authorization: Bearer"),
        (format!("/api/{TOKEN}"), nothing, "Authorization: Bearer"),
    ] {
        let reply = request(exporter.address, "GET", &path, headers);
        assert_eq!((reply.status, code(&reply)), (401, "unauthorized".to_owned()), "{path} {headers:?}");
        assert!(reply.text().contains(words), "{path} {headers:?}: {}", reply.text());
        assert!(reply.header("www-authenticate").starts_with("Bearer realm=\"pve-sentinel\""));
        assert!(!reply.text().contains("pvs_"), "{}", reply.text());
    }
    let reply = with(&exporter, "GET", &format!("{path}?token={TOKEN}"), TOKEN);
    assert_eq!((reply.status, code(&reply)), (400, "bad_request".to_owned()), "a token in the query is no way in");
    assert!(!reply.text().contains(TOKEN), "{}", reply.text());
    let garbled = with(&exporter, "GET", &format!("{path}?token={TOKEN}%zz"), TOKEN);
    assert!(garbled.status == 400 && !garbled.text().contains("pvs_"), "{}", garbled.text());
    assert_eq!(cluster.sims[0].requests().len(), 0, "nothing is asked for its sake");

    let log = exporter.log();
    let line = log.lines().find(|line| line.contains("path=/api/v1/clusters") && line.contains("status=200")).unwrap();
    assert!(line.contains("user=ops") && line.contains("id=") && line.contains("client=127.0.0.1:"), "{line}");
    assert_eq!(log.matches("refused a caller of the API").count(), 1, "one line a minute and address:\n{log}");
    let hash = pve_sentinel::ids::TokenHash::of(TOKEN).hex();
    for secret in ["pvs_", "q83vEjRW", &hash[..16], basic.rsplit(' ').next().unwrap()] {
        assert!(!log.contains(secret), "{secret}:\n{log}");
    }
    assert!(counted(&exporter, path, "200") == 2.0 && counted(&exporter, "/api/", "401") == 11.0);
}

#[test]
fn paths_and_methods_are_answered_by_the_book() {
    let exporter = serve("", &Cluster::recorded());
    for (method, path, status, word) in [
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("GET", "/api/v1/clusters/", 404, "not_found"),
        ("GET", "/api/v1//clusters", 404, "not_found"),
        ("GET", "/api/v1/../v1/clusters", 404, "not_found"),
        ("GET", "/api/v1/%63lusters", 404, "not_found"),
        ("GET", "/api/v1/clusters%00", 404, "not_found"),
        ("GET", "/api/v1/clusters?cluster=%zz", 400, "bad_request"),
        ("GET", "/api/v1/clusters?cluster=x", 400, "bad_request"),
        ("GET", "/api/v1/clusters?clusters=home", 400, "bad_request"),
        ("GET", "/api/v1/nodes?status=away", 400, "bad_request"),
        ("POST", "/api/v1/clusters", 405, "method_not_allowed"),
        ("DELETE", "/api/v1/clusters", 405, "method_not_allowed"),
        ("OPTIONS", "/api/v1/clusters", 405, "method_not_allowed"),
    ] {
        let reply = with(&exporter, method, path, TOKEN);
        assert_eq!((reply.status, code(&reply).as_str()), (status, word), "{method} {path}: {}", reply.text());
        assert_eq!(reply.header("allow"), if status == 405 { "GET, HEAD" } else { "" }, "{path}");
        let message = json(&reply)["error"]["message"].as_str().unwrap().to_owned();
        assert!(!message.is_empty() && !message.ends_with('.'), "{message}");
    }
    let long = format!("/api/v1/{}", "a/".repeat(5000));
    assert_eq!(with(&exporter, "GET", &long, TOKEN).status, 404);
    let (get, head) =
        (with(&exporter, "GET", "/api/v1/clusters", TOKEN), with(&exporter, "HEAD", "/api/v1/clusters", TOKEN));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    assert_eq!(exporter.get("/apiary").status, 404, "no page of the API");
    assert!(counted(&exporter, "/api/v1/clusters", "405") == 3.0 && counted(&exporter, "/api/", "404") == 8.0);
}

#[test]
fn wrong_tokens_have_to_wait_and_right_ones_do_not() {
    let exporter = serve("", &Cluster::recorded());
    let mut statuses = Vec::new();
    while statuses.len() < 1000 && statuses.last() != Some(&429) {
        statuses.push(with(&exporter, "GET", "/api/v1/nodes", WRONG).status);
        assert_eq!(with(&exporter, "GET", "/api/v1/nodes", TOKEN).status, 200);
    }
    assert!(statuses.len() > 10 && statuses[..10].iter().all(|status| *status == 401), "{statuses:?}");
    let reply = with(&exporter, "GET", "/api/v1/nodes", WRONG);
    if reply.status == 429 {
        let wait: u64 = reply.header("retry-after").parse().unwrap();
        assert!((1..=6).contains(&wait) && code(&reply) == "too_many_requests", "{}", reply.text());
    }
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(with(&exporter, "GET", "/api/v1/nodes", TOKEN).status, 200);
    assert_eq!(exporter.get("/metrics").status, 200, "only the API is closed to them");
    let log = exporter.log();
    assert_eq!(log.matches("refused a caller of the API").count(), 1, "{log}");
    assert!(log.contains("why=\"an unknown token\"") && !log.contains("pvs_") && !log.contains("wrongwrong"), "{log}");
}

#[test]
fn passwords_guard_the_pages_and_tokens_the_api() {
    let users = format!("basic_auth_users = {{ prometheus = \"{}\" }}\n", bcrypt::hash("hunter2", 4).unwrap());
    let cluster = Cluster::recorded();
    let config = |tokens: &[(&str, &str)]| {
        let control = if tokens.is_empty() { String::new() } else { control(tokens) };
        format!("[web]\n{users}{}{control}", cluster.config("home"))
    };
    let exporter = Exporter::serve_with(&config(&[]), &["--log.level", "debug"]);
    let status = |token: &str| with(&exporter, "GET", "/api/v1/hosts", token).status;
    let reply = with(&exporter, "GET", "/api/v1/hosts", TOKEN);
    assert_eq!((reply.status, code(&reply)), (401, "unauthorized".to_owned()));
    assert!(reply.text().contains("pve-sentinel hash-token"), "{}", reply.text());
    assert_eq!(with(&exporter, "GET", "/metrics", TOKEN).status, 401, "a token opens no page");

    // A token is known as soon as the configuration says so, and no longer.
    let mut kept = Kept::new(connect(exporter.address));
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut on_kept = || kept.get("/api/v1/hosts", &header).unwrap().status;
    assert_eq!(on_kept(), 401);
    for (count, tokens, first, second) in
        [(1, vec![("ops", TOKEN)], 200, 401), (2, vec![("ops", OTHER)], 401, 200), (3, vec![], 401, 401)]
    {
        exporter.rewrite(&config(&tokens));
        exporter.hang_up(count);
        assert_eq!((status(TOKEN), status(OTHER), on_kept()), (first, second, first), "{tokens:?}");
    }
    exporter.rewrite(&config(&[("ops", TOKEN)]));
    exporter.hang_up(4);
    exporter.rewrite(&config(&[("ops", TOKEN)]).replace("sha256 = \"", &format!("sha256 = \"{TOKEN}")));
    exporter.hang_up(5);
    assert_eq!(status(TOKEN), 200, "a faulty file changes nothing");
    assert!(!exporter.log().contains("pvs_"), "{}", exporter.log());
}

#[test]
fn junk_in_a_request_is_refused_and_harms_nobody() {
    let exporter = serve("", &Cluster::recorded());
    let ask = |bytes: &[u8]| {
        use std::io::Read;
        let mut stream = connect(exporter.address);
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        if answer.is_empty() { 0 } else { parse(&answer, false).status }
    };
    let head =
        |line: &str, more: &str| format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n").into_bytes();
    let line = "GET /api/v1/clusters";
    for (more, status) in [
        (format!("Authorization: Bearer {}\r\n", "a".repeat(8000)), 401),
        ("Authorization: Bearer \t \r\n".to_owned(), 401),
        ("Authorization:\r\n".to_owned(), 401),
        (format!("Authorization: Bearer {TOKEN}\0\r\n"), 400),
        (format!("Authorization: Bearer\r\n {TOKEN}\r\n"), 400),
        (format!("Authorization: bEARER   {TOKEN}\r\n"), 200),
    ] {
        assert_eq!(ask(&head(line, &more)), status, "{more:?}");
    }
    let mut bytes = head(line, "Authorization: Bearer XX\r\n");
    let at = bytes.windows(2).position(|window| window == b"XX").unwrap();
    bytes[at] = 0xff;
    assert_eq!(ask(&bytes), 401);
    for target in
        ["GET /api/v1/%", "GET /api/v1/%ff/%2e%2e", "GET http://evil.example/api/v1/clusters", "GET //api/v1/clusters"]
    {
        let status = ask(&head(target, ""));
        assert!([401, 404].contains(&status), "{target}: {status}");
    }
    assert_eq!(with(&exporter, "GET", "/api/v1/clusters", TOKEN).status, 200);
}

#[test]
fn clusters_nodes_and_hosts_are_told_as_scrapes_found_them() {
    let (mut cluster, nas) = (Cluster::recorded(), Machine::node());
    let exporter = serve(&nas.host("nas"), &cluster);
    let get = |path: &str| json(&with(&exporter, "GET", path, TOKEN));
    let fresh = get("/api/v1/clusters");
    assert_eq!(
        (&fresh["clusters"][0]["health"], &fresh["clusters"][0]["last_success"]),
        (&"unknown".into(), &Value::Null)
    );
    assert_eq!((get("/api/v1/nodes")["nodes"].as_array().unwrap().len(), cluster.sims[0].requests().len()), (0, 0));
    assert_eq!(get("/api/v1/hosts")["hosts"][0]["status"], "unknown");

    exporter.page("/metrics");
    let asked = cluster.sims[0].requests().len();
    let (clusters, nodes, hosts) = (get("/api/v1/clusters"), get("/api/v1/nodes"), get("/api/v1/hosts"));
    let home = &clusters["clusters"][0];
    assert_eq!((&home["health"], &home["endpoints"][0]["status"]), (&"well".into(), &"well".into()), "{clusters}");
    assert_eq!(
        (&home["endpoints"][0]["in_use"], &home["endpoints"][0]["url"]),
        (&true.into(), &cluster.sims[0].url().into())
    );
    assert!(home["last_success"].as_u64().is_some_and(|at| at > 1_700_000_000) && home["last_error"].is_null());
    let node = nodes["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "pve-lab").unwrap();
    assert!(node["status"] == "online" && node["uptime_seconds"].as_u64().is_some_and(|seconds| seconds > 0), "{node}");
    assert_eq!(
        (&hosts["hosts"][0]["status"], &hosts["hosts"][0]["type"], &hosts["hosts"][0]["name"]),
        (&"up".into(), &"other".into(), &"The nas".into())
    );
    assert_eq!(cluster.sims[0].requests().len(), asked, "nothing was asked for the API");

    cluster.stop(0);
    exporter.page("/metrics");
    let (clusters, nodes) = (get("/api/v1/clusters"), get("/api/v1/nodes"));
    let home = &clusters["clusters"][0];
    assert_eq!((&home["health"], &home["endpoints"][0]["status"]), (&"down".into(), &"down".into()), "{clusters}");
    assert!(home["last_error"].as_str().unwrap().contains("no connection") && !clusters.to_string().contains(SECRET));
    assert!(home["failing_collectors"].as_array().unwrap().contains(&"guest".into()));
    assert_eq!(
        nodes["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "pve-lab"),
        Some(node.clone()).as_ref(),
        "with the time of then"
    );
}

#[test]
fn endpoints_are_told_with_what_is_in_their_way() {
    let mut cluster = Cluster::start(2, recorded("pve-9.2-cluster", "GET_"), Certificate::Good);
    let machine = Machine::node();
    let nodes = machine.ssh(&format!("addresses = {{ pve-lab = \"127.0.0.1:{}\" }}", machine.sim.address().port()));
    let config = format!("{}{nodes}\n{}", cluster.config("home"), control(&[("ops", TOKEN)]));
    let exporter = Exporter::serve(&config);
    let get = |path: &str| json(&with(&exporter, "GET", path, TOKEN));
    exporter.page("/metrics");
    let hosts = get("/api/v1/hosts?cluster=home&status=up")["hosts"].clone();
    assert_eq!((&hosts[0]["id"], &hosts[0]["type"]), (&"home-pve-lab".into(), &"proxmox".into()), "{hosts}");
    assert_eq!((&hosts[0]["cluster"], &hosts[0]["last_error"]), (&"home".into(), &Value::Null));

    cluster.stop(0);
    machine.set_fault(SshFault::RefuseCommand);
    exporter.page("/metrics");
    let home = get("/api/v1/clusters?cluster=home")["clusters"][0].clone();
    let endpoint = |index: usize, key: &str| home["endpoints"][index][key].clone();
    assert_eq!((endpoint(0, "status"), endpoint(0, "in_use")), ("down".into(), false.into()), "{home}");
    assert!(endpoint(0, "error").as_str().is_some_and(|error| error.contains("no connection")), "{home}");
    assert_eq!((endpoint(1, "status"), endpoint(1, "in_use")), ("well".into(), true.into()), "{home}");
    let host = get("/api/v1/hosts?status=down")["hosts"][0].clone();
    assert!(host["id"] == "home-pve-lab" && host["last_success"].is_u64() && host["last_error"].is_string(), "{host}");
    assert_eq!(home["health"], "well", "the other one stands in: {home}");
}

#[test]
fn what_is_told_is_what_the_document_says() {
    let (cluster, nas) = (Cluster::recorded(), Machine::node());
    let exporter = serve(&nas.host("nas"), &cluster);
    exporter.page("/metrics");
    let document = json(&with(&exporter, "GET", "/api/v1/openapi.json", TOKEN));
    assert_eq!(
        (&document["openapi"], &document["info"]["version"]),
        (&"3.1.0".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 4 && paths.contains_key("/api/v1/openapi.json"));
    let mut operations = std::collections::BTreeSet::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operations.insert(operation["operationId"].as_str().unwrap()), "{path}");
            let content = &operation["responses"]["200"]["content"]["application/json"];
            assert_eq!(misfits(&content["schema"], &content["example"], "example"), Vec::<String>::new(), "{path}");
            if method == "get" && !path.contains('{') {
                let told = json(&with(&exporter, "GET", path, TOKEN));
                assert_eq!(misfits(&content["schema"], &told, path), Vec::<String>::new());
            }
        }
    }
    let error = &document["components"]["schemas"]["Error"];
    let refused = json(&request(exporter.address, "GET", "/api/v1/openapi.json", &[]));
    assert_eq!(misfits(error, &refused, "error"), Vec::<String>::new());
    let strange = serde_json::json!({"error": {"code": "other", "message": 1}});
    assert_eq!(misfits(error, &strange, "error").len(), 2, "the reader of schemas reads them");
}

/// Where a value is not as its schema says: as much of JSON Schema as the document uses.
fn misfits(schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
    match &schema["type"] {
        Value::Array(kinds) if kinds.iter().any(fits) => {}
        wanted if fits(wanted) => {}
        wanted => found.push(format!("{place}: expected {wanted}, found {value}")),
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        found.push(format!("{place}: expected one of {words:?}, found {value}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(misfits(schema, inner, &format!("{place}.{name}"))),
            None if schema["properties"].is_object() && schema["additionalProperties"] != true => {
                found.push(format!("{place}: {name} is not described"));
            }
            None => {}
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(misfits(&schema["items"], inner, &format!("{place}[{index}]")));
    }
    found
}
