//! Many guests at once: those that are meant, as many as were expected, each once, in their order.

use std::io::{Read, Write};

use pve_sentinel::sim::{Credential, Fault, GuestKind, Rights};
use serde_json::{Value, json};

use super::control::{ALL, CONTAINER, Lab, READ, SOME, VM, get, json, post};
use crate::support::{Exporter, Page, connect};

const PATH: &str = "/api/v1/batch";

/// The lab with two more virtual machines.
fn lab() -> Lab {
    let lab = Lab::start();
    lab.edit(|edit| {
        assert!(edit.create(902, 2, GuestKind::Qemu, "db") && edit.create(903, 0, GuestKind::Qemu, "app"));
    });
    lab
}

fn batch(lab: &Lab, token: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
    let headers: Vec<(&str, &str)> = key.into_iter().map(|key| ("Idempotency-Key", key)).collect();
    let reply = post(&lab.exporter, token, &format!("{PATH}?wait=2m"), &headers, &body.to_string());
    (reply.status, json(&reply))
}

/// Numbers and outcomes.
fn outcomes(body: &Value) -> Vec<String> {
    let results = body["results"].as_array().unwrap_or_else(|| panic!("{body}"));
    results.iter().map(|row| format!("{} {}", row["vmid"], row["outcome"].as_str().unwrap())).collect()
}

/// What was sent, without its beginnings.
fn sent(lab: &Lab) -> Vec<String> {
    let short = |order: String| order.split_once('/').unwrap().1.replace("qemu/", "").replace("/status/", " ");
    lab.orders().into_iter().map(short).collect()
}

#[test]
fn nothing_is_sent_unless_the_number_is_right() {
    let lab = lab();
    let mut body = json!({"action": "shutdown", "select": {"vmids": [VM, CONTAINER, 999]}, "timeout": "60s"});
    let (status, told) = batch(&lab, ALL, Some("one"), &body);
    assert_eq!((status, &told["dry_run"], &told["selected"]), (200, &json!(true), &json!(2)), "{told}");
    assert_eq!((&told["unknown"], &told["refused"], &told["failed"]), (&json!([999]), &json!(0), &json!(0)));
    assert_eq!(outcomes(&told), ["900 dry_run", "901 dry_run"]);
    let request = &told["results"][1]["answer"]["request"];
    let expected = json!({"method": "POST", "path": "/nodes/pve2/lxc/901/status/shutdown", "form": {"timeout": "60"}});
    assert_eq!(*request, expected);
    assert_eq!(told["results"][0]["answer"]["needs"][0]["held"], json!(true));
    for (confirm, dry_run) in [(json!(3), Value::Null), (json!(0), Value::Null), (json!(2), json!(true))] {
        body["confirm"] = confirm;
        if !dry_run.is_null() {
            body["dry_run"] = dry_run.clone();
        }
        let (status, told) = batch(&lab, ALL, Some("one"), &body);
        if dry_run.is_null() {
            assert_eq!((status, &told["selected"]), (400, &json!(2)), "{told}");
            assert!(told["error"]["message"].as_str().unwrap().contains("2 guests are selected now"), "{told}");
        } else {
            assert_eq!((status, &told["dry_run"]), (200, &json!(true)), "{told}");
        }
    }
    assert!(lab.orders().is_empty());
    body["dry_run"] = json!(false);
    let (status, told) = batch(&lab, ALL, Some("one"), &body);
    assert_eq!((status, outcomes(&told)), (200, vec!["900 done".to_owned(), "901 done".to_owned()]), "{told}");
    assert_eq!((&told["ended"], &told["failed"], &told["dry_run"]), (&json!(2), &json!(0), &json!(false)));
    assert_eq!(told["results"][0]["answer"]["guest"]["id"], "home-vm-900");
    let mut orders = sent(&lab);
    orders.sort();
    assert_eq!(orders, ["900 shutdown timeout=60", "lxc/901 shutdown timeout=60"]);
    // Each guest has its lines, and the batch its own.
    let lines = lab.audit();
    let of = |line: &Value| {
        ["event", "action", "vmid", "outcome"].map(|key| line[key].as_str().unwrap_or_default()).join(" ")
    };
    let lines: Vec<String> = lines.iter().map(of).collect();
    assert_eq!(lines[..2], ["decision batch  dry_run", "decision batch  bad_request"], "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("intent shutdown")).count(), 2, "{lines:?}");
    assert_eq!(lines.last().unwrap(), "decision batch  done", "{lines:?}");
}

#[test]
fn selectors_mean_what_they_say_and_never_more_than_the_token_reaches() {
    let lab = lab();
    // Whoever asked for the list of guests still has their addresses asked for, behind its back.
    let asked = || {
        let seen = lab.pve.cluster.sims[0].requests().into_iter().map(|seen| seen.target);
        let is_about_guests = |target: &String| {
            ["/cluster/resources", "/status/current", "/access/permissions"].iter().any(|path| target.contains(path))
        };
        seen.filter(is_about_guests).collect::<Vec<_>>()
    };
    let select = |token: &str, select: Value| batch(&lab, token, None, &json!({"action": "stop", "select": select}));
    let (status, told) = select(ALL, json!({"vmids": [VM, 902], "status": "running"}));
    assert_eq!((status, outcomes(&told)), (200, vec!["900 dry_run".to_owned(), "902 dry_run".to_owned()]));
    assert_eq!(select(ALL, json!({"vmids": [VM], "status": "stopped"})).1["selected"], 0);
    assert_eq!(select(ALL, json!({"vmids": [VM], "tags": ["prod"]})).1["selected"], 0);
    // Those with a tag, as the list of guests has them.
    let guests = json(&get(&lab.exporter, READ, "/api/v1/guests"))["guests"].clone();
    let guests = guests.as_array().unwrap();
    let tag = guests.iter().find_map(|guest| guest["tags"][0].as_str()).unwrap();
    let tagged = guests.iter().filter(|guest| guest["tags"].as_array().unwrap().iter().any(|other| other == tag));
    let expected: Vec<&Value> = tagged.map(|guest| &guest["vmid"]).collect();
    let (_, told) = select(ALL, json!({"cluster": "home", "tags": [tag, "nobody"]}));
    let found: Vec<&Value> = told["results"].as_array().unwrap().iter().map(|row| &row["vmid"]).collect();
    assert_eq!(found, expected);
    let (status, told) = batch(&lab, ALL, None, &json!({"action": "stop", "select": {"cluster": "home"}, "max": 3}));
    assert_eq!((status, &told["selected"]), (400, &json!(guests.len())), "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("more than max, which is 3"), "{told}");
    // A token of few guests.
    let (status, told) = select(SOME, json!({"cluster": "home"}));
    assert_eq!((status, outcomes(&told)), (200, vec!["900 dry_run".to_owned()]), "{told}");
    assert_eq!(told["refused"], guests.len() - 1);
    let all = json!({"action": "suspend", "select": {"vmids": [VM, CONTAINER, 100, 999]}, "confirm": 4});
    assert_eq!((batch(&lab, SOME, None, &all).0, lab.orders().len()), (400, 0));
    let before = asked();
    for body in [json!({"vmids": [CONTAINER]}), json!({"vmids": [CONTAINER, 100, 999]})] {
        let (status, told) = select(SOME, body);
        assert_eq!((status, &told["selected"], &told["unknown"]), (200, &json!(0), &json!([])), "{told}");
    }
    for vmid in [CONTAINER, 100, 999] {
        let reply = post(&lab.exporter, SOME, &format!("/api/v1/guests/home/{vmid}/stop?wait=1m"), &[], "");
        assert_eq!(reply.status, 403, "{}", reply.text());
    }
    assert_eq!(asked(), before, "whom a token does not reach by number, nobody is asked about");
    assert_eq!(select(READ, json!({"vmids": [VM]})).0, 403);
    assert_eq!(select(ALL, json!({"cluster": "elsewhere"})).0, 404);
    for wrong in [json!({"tags": ["dev"], "cluster": null}), json!({}), json!(["home"]), json!({"vmids": ["900"]})] {
        assert_eq!(select(ALL, wrong.clone()).0, 400, "{wrong}");
    }
    let doubled = format!("{{\"action\":\"stop\",\"select\":{{\"vmids\":[{VM}]}},\"confirm\":2,\"confirm\":1}}");
    assert_eq!(post(&lab.exporter, ALL, PATH, &[], &doubled).status, 400);
    let giant = format!("{{\"action\":\"stop\",\"select\":{{\"tags\":[\"{}\"]}}}}", "x".repeat(70_000));
    assert_eq!(post(&lab.exporter, ALL, PATH, &[], &giant).status, 413);
    let twice = json!({"action": "stop", "select": {"vmids": [VM]}, "wait": "1s"});
    assert_eq!(batch(&lab, ALL, None, &twice).0, 400);
    assert!(lab.orders().is_empty());
}

#[test]
fn who_is_first_up_is_last_down() {
    let lab = lab();
    lab.edit(|edit| {
        assert!(edit.order(VM, "order=2,up=1") && edit.order(902, "order=1,up=1,down=40") && edit.order(903, "up=900"));
    });
    let body =
        |action: &str| json!({"action": action, "select": {"vmids": [VM, 902, 903]}, "order": "startup", "confirm": 3});
    let (status, told) = batch(&lab, ALL, None, &body("shutdown"));
    assert_eq!((status, outcomes(&told)), (200, ["903 done", "900 done", "902 done"].map(str::to_owned).to_vec()));
    assert_eq!(told["pauses_seconds"], json!([0, 0, 0]));
    let (status, told) = batch(&lab, ALL, None, &body("start"));
    assert_eq!((status, outcomes(&told)), (200, ["902 done", "900 done", "903 done"].map(str::to_owned).to_vec()));
    assert_eq!(told["pauses_seconds"], json!([1, 1, 0]));
    let orders = ["903 shutdown", "900 shutdown", "902 shutdown timeout=40", "902 start", "900 start", "903 start"];
    assert_eq!(sent(&lab), orders);
    // Settings are read by whoever reads; where that fails, nothing is sent.
    let seen = lab.pve.cluster.sims[0].requests();
    let settings: Vec<_> = seen.iter().filter(|seen| seen.target.ends_with("/config")).collect();
    assert!(settings.len() >= 6 && settings.iter().all(|seen| seen.credential == Credential::Right(Rights::Auditor)));
    lab.pve.cluster.sims[0].set_fault("/nodes/pve3/qemu/902/config", Fault::Body("{}".into()));
    let (status, told) = batch(&lab, ALL, None, &body("shutdown"));
    assert_eq!((status, &told["error"]["code"], lab.orders().len()), (502, &json!("pve_unreachable"), 6), "{told}");
}

#[test]
fn who_cannot_be_switched_hides_none_of_the_others() {
    let lab = lab();
    assert!(lab.edit(|edit| edit.lock(902, Some("backup"))));
    let body = json!({"action": "stop", "select": {"vmids": [VM, 902, 903]}, "confirm": 3});
    let (status, told) = batch(&lab, ALL, Some("k"), &body);
    assert_eq!((status, outcomes(&told)), (502, ["900 done", "902 locked", "903 done"].map(str::to_owned).to_vec()));
    assert_eq!((&told["error"]["code"], &told["failed"]), (&json!("partly_failed"), &json!(1)));
    assert_eq!(told["error"]["message"], "1 of 3 guests are not as asked for: home/902 (locked)");
    assert_eq!(told["results"][1]["status"], 409);
    // The same key is the same answer, even though the guest is free by now.
    assert!(lab.edit(|edit| edit.lock(902, None)));
    assert_eq!(batch(&lab, ALL, Some("k"), &body), (502, told));
    assert_eq!(lab.orders().len(), 2);
    let (status, told) = batch(&lab, ALL, Some("other"), &body);
    assert_eq!(
        (status, outcomes(&told)),
        (200, ["900 unchanged", "902 done", "903 unchanged"].map(str::to_owned).to_vec())
    );
    assert_eq!(lab.orders().len(), 3);
}

#[test]
fn no_more_than_so_many_are_asked_at_once() {
    let lab = lab();
    let sim = &lab.pve.cluster.sims[0];
    for path in ["/nodes/pve1/qemu/900/status/suspend", "/nodes/pve3/qemu/902/status/suspend"] {
        sim.set_fault(path, Fault::Hang);
    }
    let body = json!({"action": "suspend", "select": {"vmids": [VM, 902, 903]}, "confirm": 3, "parallel": 2});
    let reply = post(&lab.exporter, ALL, PATH, &[], &body.to_string());
    let told = json(&reply);
    assert_eq!(
        (reply.status, outcomes(&told)),
        (202, ["900 pending", "902 pending", "903 pending"].map(str::to_owned).to_vec())
    );
    while lab.orders().len() < 2 {
        std::thread::yield_now();
    }
    // A whole other order fits in between.
    assert_eq!(lab.act(CONTAINER, "stop", "").0, 200);
    let mut orders = sent(&lab);
    orders.sort();
    assert_eq!(orders, ["900 suspend", "902 suspend", "lxc/901 stop"]);
    // The same once more is the same batch.
    let again = post(&lab.exporter, ALL, PATH, &[], &body.to_string());
    assert_eq!((again.status, lab.orders().len()), (202, 3));
}

#[test]
fn a_key_is_one_batch_also_after_a_kill() {
    let mut lab = lab();
    assert!(lab.edit(|edit| edit.deafen(902)));
    let body = json!({"action": "shutdown", "select": {"vmids": [VM, 902, 903], "status": "running"},
        "confirm": 3, "parallel": 1, "timeout": "60s"});
    let reply = post(&lab.exporter, ALL, PATH, &[("Idempotency-Key", "night")], &body.to_string());
    assert_eq!(reply.status, 202, "{}", reply.text());
    while lab.orders().len() < 2 {
        std::thread::yield_now();
    }
    lab.restart();
    // By now, the selectors mean two.
    let running = || get(&lab.exporter, READ, "/api/v1/guests?status=running").text().contains("\"home-vm-900\"");
    while running() {
        std::thread::yield_now();
    }
    let (status, told) = batch(&lab, ALL, Some("night"), &body);
    assert_eq!(
        (status, outcomes(&told)),
        (502, ["900 done", "902 task_failed", "903 done"].map(str::to_owned).to_vec()),
        "{told}"
    );
    let orders = ["900", "902", "903"].map(|vmid| format!("{vmid} shutdown timeout=60"));
    assert_eq!(sent(&lab), orders);
    lab.restart();
    assert_eq!(batch(&lab, ALL, Some("night"), &body), (502, told));
    for (key, value) in [("confirm", json!(2)), ("timeout", json!("61s")), ("action", json!("stop"))] {
        let mut other = body.clone();
        other[key] = value;
        if key == "action" {
            other.as_object_mut().unwrap().remove("timeout");
        }
        let (status, told) = batch(&lab, ALL, Some("night"), &other);
        assert!(status == 400 && told["error"]["message"].as_str().unwrap().contains("Idempotency-Key"), "{told}");
    }
    let single = post(&lab.exporter, ALL, "/api/v1/guests/home/900/start", &[("Idempotency-Key", "night")], "");
    assert_eq!((single.status, sent(&lab)), (400, orders.to_vec()), "{}", single.text());
}

#[test]
fn whose_token_is_taken_away_switches_nobody_more() {
    let lab = lab();
    assert!(lab.edit(|edit| edit.deafen(VM)));
    let body = json!({"action": "shutdown", "select": {"vmids": [VM, 902, 903], "status": "running"},
        "confirm": 3, "parallel": 1, "timeout": "60s"});
    assert_eq!(post(&lab.exporter, ALL, PATH, &[], &body.to_string()).status, 202);
    while lab.orders().is_empty() {
        std::thread::yield_now();
    }
    // It may still switch one of the two that are left.
    let less = "name = \"ops\", guests = [\"!903\", \"1-999\"]";
    lab.exporter.rewrite(&lab.config.replace("name = \"ops\"", less));
    lab.exporter.hang_up(1);
    let line = lab.exporter.wait_for_log("outcome=partly_failed");
    assert!(line.contains("home/903 (forbidden)") && !line.contains("home/902"), "{line}");
    assert_eq!(sent(&lab), ["900 shutdown timeout=60", "902 shutdown timeout=60"]);
    // Or none at all.
    assert!(lab.edit(|edit| edit.deafen(903)));
    let body = json!({"action": "shutdown", "select": {"vmids": [VM, 903, 901]}, "confirm": 3, "parallel": 1});
    lab.exporter.rewrite(&lab.config);
    lab.exporter.hang_up(2);
    assert_eq!(post(&lab.exporter, ALL, PATH, &[], &body.to_string()).status, 202);
    while lab.orders().len() < 3 {
        std::thread::yield_now();
    }
    lab.exporter.rewrite(&lab.config.replace("name = \"ops\"", "name = \"others\""));
    lab.exporter.hang_up(3);
    lab.exporter.wait_for_logs("outcome=partly_failed", 2);
    assert_eq!(lab.orders().len(), 3);
}

#[test]
fn bodies_that_do_not_come_and_those_that_never_end_are_refused_and_told() {
    let lab = Lab::start();
    let mut slow = connect(lab.exporter.address);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {ALL}\r\nContent-Type: \
         application/json\r\nContent-Length: 50\r\n\r\n{{\"action\":"
    );
    slow.write_all(head.as_bytes()).unwrap();
    assert_eq!(post(&lab.exporter, ALL, PATH, &[], &" ".repeat(70_000)).status, 413);
    let mut text = String::new();
    slow.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    lab.exporter.wait_for_log("outcome=request_timeout");
    let outcome = |line: Value| (line["event"] == "refusal").then(|| line["outcome"].as_str().unwrap().to_owned());
    let outcomes = || lab.audit().into_iter().filter_map(outcome).collect::<Vec<_>>();
    while outcomes().len() < 2 {
        std::thread::yield_now();
    }
    assert_eq!(outcomes(), ["too_large", "request_timeout"]);
    assert!(lab.orders().is_empty());
}

#[test]
fn without_an_acting_credential_nothing_is_selected() {
    let lab = Lab::start();
    let config: Vec<&str> = lab.config.lines().filter(|line| !line.starts_with("control = ")).collect();
    let off = Exporter::serve(&config.join("\n").replace("/state\"", "/other\""));
    for select in [json!({"vmids": [VM]}), json!({"cluster": "home"})] {
        for confirm in [None, Some(1)] {
            let mut body = json!({"action": "stop", "select": select});
            confirm.into_iter().for_each(|confirm| body["confirm"] = json!(confirm));
            let reply = post(&off, ALL, PATH, &[], &body.to_string());
            assert_eq!((reply.status, &json(&reply)["error"]["code"]), (503, &json!("control_disabled")), "{body}");
        }
    }
    assert!(lab.pve.cluster.sims[0].requests().iter().all(|seen| seen.method == "GET"));
}

#[test]
fn ten_thousand_wrong_tokens_are_counted_and_not_written_down_one_by_one() {
    const EACH: usize = 1000;
    let lab = Lab::start();
    let order = "POST /api/v1/guests/home/900/stop HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer \
                 pvs_wrongwrongwrongwrongwrongwrongwrongwrong123\r\nContent-Length: 0\r\n";
    for _ in 0..10 {
        let mut stream = connect(lab.exporter.address);
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            let mut text = format!("{order}\r\n").repeat(EACH - 1);
            text.push_str(&format!("{order}Connection: close\r\n\r\n"));
            writer.write_all(text.as_bytes()).unwrap();
        });
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        writing.join().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let of = |status: &str| text.matches(&format!("HTTP/1.1 {status} ")).count();
        assert_eq!((of("401") + of("429"), of("200")), (EACH, 0));
    }
    let page = Page::parse(&lab.exporter.page("/metrics?collect[]=process"));
    let counted = |outcome| {
        page.value("pve_sentinel_control_actions_total", &[("action", "stop"), ("outcome", outcome)])
            .unwrap_or_default()
    };
    assert_eq!(counted("unauthorized") + counted("too_many_requests"), 10_000.0);
    // A right token is heard all the same, and its refusals are told, too.
    assert_eq!(post(&lab.exporter, READ, "/api/v1/guests/home/900/stop", &[], "").status, 403);
    assert_eq!(lab.act(VM, "suspend", "").0, 200);
    lab.exporter.wait_for_log("outcome=forbidden");
    let refusals = || lab.audit().into_iter().filter(|line| line["event"] == "refusal").collect::<Vec<_>>();
    while refusals().len() < 3 {
        std::thread::yield_now();
    }
    let refusals = refusals();
    assert!(refusals.len() < 20, "{refusals:?}");
    let of = |outcome: &str| refusals.iter().find(|line| line["outcome"] == outcome).unwrap();
    let (first, forbidden) = (of("unauthorized"), of("forbidden"));
    assert_eq!(
        (&first["token"], &first["client"], &first["action"]),
        (&Value::Null, &json!("127.0.0.1"), &json!("stop"))
    );
    assert_eq!((&forbidden["token"], &forbidden["path"]), (&json!("grafana"), &json!("/api/v1/guests/home/900/stop")));
    let text = std::fs::read_to_string(lab.folder.path().join("state/audit.log")).unwrap() + &lab.exporter.log();
    assert!(!text.contains("pvs_"), "{text}");
    assert_eq!(lab.orders().len(), 1);
}

#[test]
fn a_token_gives_orders_at_its_pace_and_reads_at_any() {
    let lab = Lab::start();
    let order = |token: &str| post(&lab.exporter, token, "/api/v1/guests/home/0900/stop", &[], "");
    let mut statuses: Vec<u16> = (0..60).map(|_| order(ALL).status).collect();
    let mut last = order(ALL);
    // A slow machine earns some back.
    while last.status == 400 && statuses.len() < 1000 {
        statuses.push(last.status);
        last = order(ALL);
    }
    assert!(statuses.iter().all(|status| *status == 400) && last.status == 429, "{}", last.text());
    assert_eq!((last.header("retry-after"), &json(&last)["error"]["code"]), ("1", &json!("too_many_requests")));
    assert_eq!(get(&lab.exporter, ALL, "/api/v1/tasks").status, 200);
    assert_eq!(order(SOME).status, 400, "another token");
    assert!(lab.orders().is_empty());
}
