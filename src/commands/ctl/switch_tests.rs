use super::*;

fn told(status: u16, json: Value, waited: bool) -> Told {
    Told { place: "home/100".to_owned(), name: Some("web01".to_owned()), answer: Ok(Answer { status, json }), waited }
}

#[test]
fn what_came_of_an_order_is_one_word_and_counts_as_well_or_not() {
    let task = json!({"cluster": "home", "upid": "UPID:pve1:x:"});
    for (status, json, waited, result, is_well) in [
        (200, json!({"changed": true, "status": "running"}), true, "done", true),
        (200, json!({"changed": false}), true, "unchanged", true),
        (200, json!({"changed": true, "dry_run": true}), false, "would change", true),
        (200, json!({"changed": false, "dry_run": true}), false, "unchanged", true),
        (202, json!({"task": task}), false, "asked", true),
        (202, json!({"task": task}), true, "not ended", false),
        (409, json!({"error": {"code": "locked", "message": "no"}}), true, "locked", false),
        (500, json!({}), true, "unexpected", false),
    ] {
        let told = told(status, json, waited);
        assert_eq!((told.result().as_str(), told.is_well()), (result, is_well));
        assert!(told.why().starts_with("web01 (home/100): "), "{}", told.why());
    }
    assert!(told(202, json!({"task": task}), true).why().ends_with("pve-sentinel ctl task home UPID:pve1:x:"));
    let lost = Told { answer: Err(Failure::Runtime("no connection".to_owned())), ..told(0, Value::Null, false) };
    assert!(!lost.is_well() && lost.json().unwrap()["error"]["message"] == "no connection");
    assert_eq!(lost.json().unwrap()["target"], "home/100");
}

#[test]
fn what_would_be_sent_is_told_with_what_it_needs() {
    let need = |privilege: &str, held: Value| json!({"privilege": privilege, "path": "/vms/100", "held": held});
    let answer = json!({
        "request": {"method": "POST", "path": "/nodes/pve1/qemu/100/status/suspend"},
        "needs": [need("VM.PowerMgmt", json!(true)), need("VM.Config.Disk", json!(false)), need("X", Value::Null)],
    });
    assert_eq!(
        detail(&answer),
        "POST /nodes/pve1/qemu/100/status/suspend; needs VM.PowerMgmt on /vms/100 (held), VM.Config.Disk on /vms/100 \
         (lacking), X on /vms/100 (unknown)"
    );
    assert_eq!(detail(&json!({"request": {"ssh": "systemctl suspend"}})), "{\"ssh\":\"systemctl suspend\"}");
    assert_eq!(detail(&json!({"task": {"upid": "UPID:x"}})), "UPID:x");
}

#[test]
fn each_of_several_orders_has_its_own_key() {
    let manner = |key: Option<&str>| Manner { wait: None, dry_run: false, idempotency_key: key.map(str::to_owned) };
    let guest = Guest { cluster: "home".to_owned(), vmid: 100, name: None };
    let of = |key: Option<&str>, of: usize| manner(key).key_for(&guest, of).map_err(|error| error.to_string());
    assert_eq!((of(None, 2), of(Some("a"), 1)), (Ok(None), Ok(Some("a".to_owned()))));
    assert_eq!(of(Some("a"), 2), Ok(Some("a:home/100".to_owned())));
    assert!(of(Some(&"a".repeat(120)), 2).unwrap_err().contains("home/100"));
}

#[test]
fn times_keys_and_nodes_are_checked_before_anything_is_sent() {
    assert!(wait("30s").is_ok() && wait("10m").is_ok() && wait("11m").is_err() && wait("soon").is_err());
    assert!(time("90s").is_ok() && time("90").is_err());
    assert!(key("a b").is_err() && key("").is_err() && key(&"a".repeat(129)).is_err());
    assert_eq!(place("home/pve1"), Ok(("home".to_owned(), "pve1".to_owned())));
    for text in ["pve1", "/pve1", "home/", "home/pve1/x", ""] {
        assert!(place(text).is_err(), "{text}");
    }
}
