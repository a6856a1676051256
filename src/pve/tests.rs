//! The parsers before every recorded answer, and before any bytes.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::answer::Answer;
use super::error::{Error, Reason};
use super::failure::refused;
use super::testing::any_json;
use super::{
    backup_jobs, certificates, guest_config, guest_status, ha_status, node_metrics, node_network, node_pressure,
    node_status, not_backed_up, packages, pending_changes, qdevice, replication, repositories, resources, sdn_zones,
    services, snapshots, status, subscription, task_log, tasks, updates, version,
};

#[derive(Deserialize)]
struct Recording {
    path: String,
    status: u16,
    reason: String,
    body: Option<serde_json::Value>,
    body_text: Option<String>,
}

fn recordings() -> Vec<(String, Recording)> {
    let mut found = Vec::new();
    for folder in ["pve-9.2-cluster", "pve-9.2-node-lost"] {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
        for entry in fs::read_dir(folder).expect("the recordings") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a recording");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            found.push((name, serde_json::from_str(&text).expect("a recording")));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn every_recorded_answer_parses_or_is_named_for_what_it_is() {
    let (mut answers, mut typed, mut errors) = (0, 0, 0);
    for (name, recording) in recordings() {
        let body = match (&recording.body, &recording.body_text) {
            (Some(body), _) => body.to_string(),
            (None, text) => text.clone().unwrap_or_default(),
        };
        if recording.status != 200 {
            let reason = refused(recording.status, &recording.reason, body.as_bytes());
            let words = match &reason {
                Reason::Unauthorized(words) | Reason::Forbidden(words) | Reason::NotFoundHere(words) => words,
                Reason::Status(code, words) if *code == recording.status => words,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(words.trim(), recording.reason.trim(), "{name}");
            errors += 1;
            continue;
        }
        let answer = Answer::of(&body);
        answer.data::<IgnoredAny>().unwrap_or_else(|error| panic!("{name}: {error}"));
        answers += 1;
        let path = recording.path.trim_start_matches("/api2/json").split('?').next().unwrap_or_default();
        typed += parsed(path, &answer).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(answers > 150 && typed >= 85 && errors > 50, "{answers} answers, {typed} typed, {errors} errors");
}

/// How many answers the parser of the path has understood: one, or none where there is no parser or nothing is told.
fn parsed(path: &str, answer: &Answer) -> Result<usize, Error> {
    let told = |empty: bool| usize::from(!empty);
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["version"] => version(answer).map(|_| 1),
        ["cluster", "resources"] => resources(answer, |_| ()).map(|()| 1),
        ["cluster", "status"] => status(answer).map(|entries| told(entries.is_empty())),
        ["cluster", "metrics", "export"] => node_metrics(answer).map(|samples| told(samples.is_empty())),
        ["cluster", "backup-info", "not-backed-up"] => not_backed_up(answer).map(|guests| told(guests.is_empty())),
        ["cluster", "config", "qdevice"] => qdevice(answer).map(|device| told(device.is_none())),
        ["nodes", _, "qemu" | "lxc", _, "config"] => guest_config(answer).map(|_| 1),
        ["nodes", _, "qemu" | "lxc", _, "status", "current"] => guest_status(answer).map(|_| 1),
        ["nodes", _, "qemu" | "lxc", _, "snapshot"] => snapshots(answer).map(|_| 1),
        ["nodes", _, "qemu" | "lxc", _, "pending"] => pending_changes(answer).map(|_| 1),
        ["nodes", _, "apt", "versions"] => packages(answer).map(|packages| told(packages.is_empty())),
        ["nodes", _, "replication"] => replication(answer).map(|jobs| told(jobs.is_empty())),
        ["cluster", "tasks"] | ["nodes", _, "tasks"] => tasks(answer).map(|tasks| told(tasks.is_empty())),
        ["nodes", _, "tasks", _, "log"] => task_log(answer).map(|lines| told(lines.is_empty())),
        ["cluster", "ha", "status", "current"] => ha_status(answer).map(|entries| told(entries.is_empty())),
        ["cluster", "backup"] => backup_jobs(answer).map(|jobs| told(jobs.is_empty())),
        ["nodes", _, "subscription"] => subscription(answer).map(|_| 1),
        ["nodes", _, "status"] => node_status(answer).map(|_| 1),
        ["nodes", _, "certificates", "info"] => certificates(answer).map(|found| told(found.is_empty())),
        ["nodes", _, "services"] => services(answer).map(|found| told(found.is_empty())),
        ["nodes", _, "network"] => node_network(answer).map(|found| told(found.is_empty())),
        ["nodes", _, "rrddata"] => node_pressure(answer).map(|pressure| told(pressure.is_none())),
        ["nodes", _, "apt", "update"] => updates(answer).map(|found| told(found.is_empty())),
        _ => Ok(0),
    }
}

#[test]
fn old_versions_tell_the_reason_in_the_phrase_only() {
    assert_eq!(
        refused(403, "Permission check failed (/vms/101, VM.Audit)", br#"{"data":null}"#),
        Reason::Forbidden("Permission check failed (/vms/101, VM.Audit)".into())
    );
    assert_eq!(refused(401, "Authentication failed!", b""), Reason::Unauthorized("Authentication failed!".into()));
    assert_eq!(refused(595, "No route to host", b""), Reason::Status(595, "No route to host".into()));
}

fn detail(error: &Error) -> &str {
    match &error.reason {
        Reason::Malformed(detail) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn malformed_answers_are_located() {
    let answer = Answer::of(r#"{"data":[{"type":"node","node":"a"},{"type":"qemu","vmid":1"#);
    let error = resources(&answer, |_| ()).expect_err("cut off");
    assert!(detail(&error).contains("line 1 column 59 in data[1];"), "{error}");
    assert!(error.to_string().starts_with("GET https://pve.example.com:8006/api2/json/test: malformed"), "{error}");
    let answer = Answer::of("<!DOCTYPE html><html>\u{7}a proxy</html>");
    let error = version(&answer).expect_err("no JSON");
    assert!(detail(&error).contains("begins with \"<!DOCTYPE html><html>a proxy</html>\""), "{error}");
}

fn parse_all(body: &str) {
    let answer = Answer::of(body);
    let _ = resources(&answer, |_| ());
    let _ = status(&answer);
    let _ = version(&answer);
    let _ = node_metrics(&answer);
    let _ = not_backed_up(&answer);
    let _ = guest_config(&answer).map(|config| (config.disks().len(), config.nics().len(), config.vcpus()));
    let _ = guest_status(&answer);
    let _ = snapshots(&answer);
    let _ = pending_changes(&answer);
    let _ = packages(&answer);
    let _ = replication(&answer);
    let _ = subscription(&answer).map(|subscription| subscription.next_due());
    let _ = qdevice(&answer);
    let _ = tasks(&answer);
    let _ = task_log(&answer);
    let _ = ha_status(&answer).map(|entries| entries.iter().filter(|entry| entry.is_dead()).count());
    let _ = backup_jobs(&answer);
    let _ = node_status(&answer).map(|status| (status.version().is_some(), status.kernel_release().is_some()));
    let _ = certificates(&answer);
    let _ = services(&answer).map(|found| found.iter().filter(|service| service.active().is_some()).count());
    let _ = node_network(&answer).map(|found| found.iter().map(|interface| interface.members().count()).sum::<usize>());
    let _ = node_pressure(&answer);
    let _ = sdn_zones(&answer);
    let _ = (updates(&answer), repositories(&answer));
}

proptest! {
    #[test]
    fn no_text_panics(body in ".{0,300}") {
        parse_all(&body);
    }

    #[test]
    fn no_json_panics(data in any_json()) {
        parse_all(&serde_json::json!({ "data": data }).to_string());
        parse_all(&data.to_string());
    }

    #[test]
    fn no_cut_or_mutated_recording_panics(cut in 0_usize..5000, at in 0_usize..5000, byte in any::<u8>()) {
        let text = include_str!("../../tests/fixtures/pve-9.2-cluster/GET_cluster__resources.json");
        let mut bytes = text.as_bytes().to_vec();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut % length);
        parse_all(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_error_body_panics(code in 100_u16..600, phrase in ".{0,40}", body in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = refused(code, &phrase, &body);
    }
}

#[test]
fn deep_nesting_is_no_danger() {
    for body in
        ["[".repeat(200_000), format!("{{\"data\":[{{\"new\":{}", "[".repeat(200_000)), "{\"a\":".repeat(200_000)]
    {
        parse_all(&body);
    }
}
