//! `[events]` as it is written.

use super::super::example::{example, load_example};
use super::super::tests::{SECRET, cluster, output, parsed, write};
use super::super::{Loaded, Login, Tls};
use super::*;

fn read(events: &str) -> Result<Loaded, super::super::LoadError> {
    parsed(&format!("state_dir = \"/var/lib/x\"\n{}\n{events}\n", cluster("token_secret_env = \"PVE_TOKEN\"")))
}

fn fault(events: &str) -> String {
    let result = read(events);
    assert!(result.is_err(), "{events} was taken");
    output(&result)
}

#[test]
fn its_presence_switches_it_on() {
    assert!(read("").unwrap().config.events.is_none());
    let loaded = read("[events]").unwrap();
    let events = loaded.config.events.as_ref().unwrap();
    assert_eq!((events.interval.as_secs(), events.lookback.as_secs()), (10, 0));
    assert_eq!((events.hold.as_secs(), events.resend.as_secs()), (900, 60));
    assert!(events.alertmanagers.is_empty() && events.rules.is_empty());
    assert!(loaded.config.summary().contains("events are looked for every 10s, and told to nobody"));
    let without = parsed(&format!("{}\n[events]\n", cluster("token_secret_env = \"PVE_TOKEN\"")));
    assert!(
        output(&without).contains("x.toml:7: events: expected state_dir at the top of the file"),
        "{}",
        output(&without)
    );
}

#[test]
fn every_key_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        write(&folder.path().join(name), content, 0o600);
        folder.path().join(name).display().to_string()
    };
    let (ca, password) = (file("ca.pem", &super::super::example::authority()), file("password", "p:w \n"));
    let loaded = read(&format!(
        "[events]\ninterval = \"5s\"\nlookback = \"1h\"\nhold = \"20m\"\nresend = \"30s\"\n\
         alertmanagers = [\n{{ url = \"http://127.0.0.1:9093\", bearer_token_env = \"PVE_TOKEN\" }},\n\
         {{ url = \"https://am/x/\", username = \"me\", password_file = \"{password}\", tls = {{ ca_file = \"{ca}\" }} }} ]\n\
         [events.rules]\ntask_failed = {{ severity = \"critical\" }}\nmigration_done = {{ enabled = false }}\n\
         guest_in_error = {{ severity = \"info\", guests = [\"tag:prod\", \"!150\"] }}\n"
    ));
    let config = loaded.unwrap().config;
    let events = config.events.as_ref().unwrap();
    assert_eq!((events.interval.as_secs(), events.lookback.as_secs()), (5, 3600));
    assert_eq!((events.hold.as_secs(), events.resend.as_secs()), (1200, 30));
    let [one, two] = events.alertmanagers.as_slice() else { panic!("{:?}", events.alertmanagers) };
    assert!(matches!(&one.login, Some(Login::Bearer(token)) if token.expose() == SECRET));
    assert_eq!((one.url.as_str(), two.url.as_str()), ("http://127.0.0.1:9093", "https://am:443/x"));
    assert!(matches!(&two.login, Some(Login::Basic { name, password }) if name == "me" && password.expose() == "p:w "));
    assert!(matches!(two.tls, Tls::CaFile { .. }));
    assert_eq!(events.rules.keys().copied().collect::<Vec<_>>(), ["guest_in_error", "migration_done", "task_failed"]);
    assert!(
        !events.rules["migration_done"].enabled && events.rules["task_failed"].severity == Some(Severity::Critical)
    );
    let guests = events.rules["guest_in_error"].guests.as_ref().unwrap();
    assert_eq!(guests.to_string(), "tag:prod,!150");
}

#[test]
fn faults_say_what_to_do_and_no_secret() {
    let one = |keys: &str| format!("[events]\nalertmanagers = [{{ url = \"http://127.0.0.1:9093\", {keys} }}]");
    for (events, expected) in [
        (
            "[events]\nhold = \"1s\"".to_owned(),
            "events.hold: expected a duration in whole seconds from 2s to 1w, such as \"15m\", found \"1s\"",
        ),
        ("[events]\nresend = \"1500ms\"".to_owned(), "in whole seconds from 1s to 1h"),
        (
            "[events]\nresend = \"10m\"".to_owned(),
            "events.resend: expected resend to be at most half of hold, found 10m and 15m",
        ),
        ("[events]\nholdd = \"1m\"".to_owned(), "events.holdd: unknown key; did you mean hold?"),
        (
            "[events.rules.task_faild]".to_owned(),
            "unknown kind of events; did you mean task_failed? the kinds are task_failed, ",
        ),
        (
            "[events]\nrules.task_failed = true".to_owned(),
            "expected a table such as { severity = \"critical\" }, found true or false",
        ),
        (
            "[events.rules.task_failed]\nseverity = \"bad\"".to_owned(),
            "events.rules.task_failed.severity: expected \"critical\", \"warning\" or \"info\", found \"bad\"",
        ),
        ("[events.rules.task_failed]\nguests = [\"web\"]".to_owned(), "expected a selector such as tag:dev"),
        (
            "[events]\nalertmanagers = [{}]".to_owned(),
            "events.alertmanagers[0].url: expected an address, such as \"http://127.0.0.1:9093\", found none",
        ),
        (
            one("username = \"me\""),
            "expected the password as one of password_file, password_env, password_credential or password, found none",
        ),
        (one("password = \"hunter2\""), "events.alertmanagers[0]: expected username beside the password, found none"),
        (one("username = \"a:hunter2\", password = \"x\""), "a user's name without a colon"),
        (one("username = \"me\", password = \"hunter2\", bearer_token = \"hunter2\""), "expected one way to be let in"),
        (one("tls = { ca_file = \"none.pem\" }"), "none.pem cannot be read"),
        (one("tls = { fingerprints = [\"AB\"] }"), "unknown key; "),
        (
            "[events]\nalertmanagers = [{ url = \"http://a\" }, { url = \"http://A:80/\" }]".to_owned(),
            "alertmanagers[1]: expected each Alertmanager once, found http://a:80 again",
        ),
    ] {
        let said = fault(&events);
        assert!(said.contains(expected) && !said.contains("hunter2"), "{events}\n{said}");
    }
}

#[test]
fn a_password_on_the_open_network_is_warned_of() {
    let read = |url: &str| {
        let one = format!("{{ url = \"{url}\", username = \"me\", password = \"hunter2\" }}");
        let loaded = read(&format!("[events]\nalertmanagers = [{one}]")).unwrap();
        assert!(!output(&Ok(loaded.clone())).contains("hunter2"));
        loaded.warnings
    };
    assert!(read("http://192.0.2.1:9093")[0].contains("the password or token crosses the network unencrypted"));
    for near in ["http://127.0.0.1:9093", "http://localhost:9093", "http://[::1]", "https://192.0.2.1"] {
        assert!(read(near).is_empty(), "{near}");
    }
}

#[test]
fn the_example_shows_what_works_and_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let text = example(folder.path());
    assert!(load_example(&text, folder.path()).unwrap().config.events.is_none());
    let lines = text.lines().map(|line| {
        let in_events = ["[events]", "interval = \"10s\"", "lookback", "alertmanagers", "hold", "resend", "rules."];
        let bare = line.strip_prefix("#   ").filter(|bare| in_events.iter().any(|start| bare.starts_with(start)));
        bare.unwrap_or(line)
    });
    let text: Vec<&str> = std::iter::once("state_dir = \"/var/lib/x\"").chain(lines).collect();
    let events = load_example(&text.join("\n"), folder.path()).unwrap().config.events.unwrap();
    let default = read("[events]").unwrap().config.events.unwrap();
    assert_eq!((events.alertmanagers.len(), events.rules.len()), (1, 1));
    assert_eq!(Events { alertmanagers: Vec::new(), rules: BTreeMap::new(), ..events }, default);
}
