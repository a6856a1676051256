//! Users with a password: one login for all calls of a cluster, whatever happens, and nothing of it to be read anywhere.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pve_sentinel::config::Env;
use pve_sentinel::metrics::Own;
use pve_sentinel::pve::{Client, Error, Limits, Path, Roots};
use pve_sentinel::sim::{
    self, Accounts, Authority, Certificate, Credential, Fault, Logins, NodeState, Options, Rights, Sim, Source, User,
    World,
};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Cluster, Exporter, Page, recorded, request, run_to_end, write_private};

const USER: &str = "monitor@pve";
const PASSWORD: &str = " pä ss+&=%41;word ";
/// What is left of the password in every form in which it could be written.
const PIECES: [&str; 2] = ["%41;word", "%2541%3Bword"];

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn accounts(second_factor: bool) -> Arc<Accounts> {
    let (name, password) = (USER.to_owned(), PASSWORD.to_owned());
    Arc::new(Accounts::new(vec![User { name, password, rights: Rights::Auditor, second_factor }]))
}

fn logins(by_password: u64, by_ticket: u64, refused: u64) -> Logins {
    Logins { by_password, by_ticket, halves: 0, refused }
}

fn config(urls: &[String], password: &str) -> String {
    format!(
        "[[clusters]]\nname = \"home\"\nendpoints = {urls:?}\nusername = \"{USER}\"\npassword = '{password}'\n\
         tls = {{ insecure_skip_verify = true }}\n"
    )
}

/// A cluster and a client on one clock, which stands still unless everybody waits.
struct Lab {
    accounts: Arc<Accounts>,
    sims: Vec<Sim>,
    client: Client,
}

impl Lab {
    async fn start(endpoints: usize, accounts: Arc<Accounts>, password: &str) -> Self {
        let started = Instant::now();
        let world = Arc::new(World::new(1, 3, 5));
        world.edit(Duration::ZERO, |edit| edit.calm());
        let authority = Some(Arc::new(Authority::new("lab").unwrap()));
        let mut sims = Vec::new();
        for node in 0..endpoints {
            let options = Options {
                node,
                authority: authority.clone(),
                accounts: Arc::clone(&accounts),
                clock: Arc::new(move || started.elapsed()),
                ..Options::default()
            };
            sims.push(sim::start(options, Source::World(Arc::clone(&world))).await.unwrap());
        }
        let text = config(&sims.iter().map(Sim::url).collect::<Vec<_>>(), password);
        let loaded = pve_sentinel::config::parse(&text, "x.toml".as_ref(), &Env::new(&|_| None), &[]).unwrap();
        let limits = Limits { max_body: 1 << 20 };
        let client =
            Client::new(&loaded.config.clusters[0], limits, &Roots::default(), Arc::new(Own::new("1"))).unwrap();
        Self { accounts, sims, client }
    }

    async fn get(&self) -> Result<(), Error> {
        self.client.get("/version").await.map(drop)
    }

    async fn get_all(&self, count: usize) -> Result<(), Error> {
        join_all((0..count).map(|_| self.get())).await.into_iter().collect()
    }

    /// Asks every 15 seconds, and gives the minutes in which something new was counted.
    async fn scrape(&self, duration: Duration, count: impl Fn(Logins) -> u64) -> Vec<u64> {
        let (started, mut seen, mut minutes) = (Instant::now(), count(self.accounts.logins()), Vec::new());
        while started.elapsed() < duration {
            let asked = started.elapsed();
            let _ = self.get().await;
            let now = count(self.accounts.logins());
            minutes.extend((seen..now).map(|_| asked.as_secs() / 60));
            seen = now;
            sleep(15 * SECOND).await;
        }
        minutes
    }

    fn asked(&self, index: usize, path: &str) -> u64 {
        self.sims[index].requests_by_path().get(path).copied().unwrap_or(0)
    }

    /// Nobody was ever asked without a right credential, but for the logins, and for nothing but these by POST.
    fn is_clean(&self) -> bool {
        self.sims.iter().flat_map(Sim::requests).all(|seen| match seen.target.as_str() {
            "/api2/json/access/ticket" => (seen.method.as_str(), seen.credential) == ("POST", Credential::Absent),
            _ => (seen.method.as_str(), seen.credential) == ("GET", Credential::Right(Rights::Auditor)),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn all_calls_at_all_nodes_share_one_login() {
    let lab = Lab::start(2, accounts(false), PASSWORD).await;
    lab.get_all(20).await.unwrap();
    let permit = lab.client.gate().try_enter("pve2", false).unwrap();
    let path = Path::new("/nodes/{node}/subscription", &[("node", "pve2")]);
    lab.client.get_node(&path, &permit).await.unwrap();
    lab.sims[0].set_node_state(NodeState::Dead).await.unwrap();
    lab.get_all(20).await.unwrap();
    assert_eq!(lab.accounts.logins(), logins(1, 0, 0));
    assert_eq!([lab.asked(0, "/access/ticket"), lab.asked(1, "/access/ticket")], [1, 0]);
    assert!(lab.asked(1, "/version") >= 20 && lab.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_renewed_before_it_ends_and_nobody_waits_for_it() {
    let lab = Lab::start(1, accounts(false), PASSWORD).await;
    lab.get().await.unwrap();
    let started = Instant::now();
    while started.elapsed() < 600 * MINUTE {
        let asked = Instant::now();
        lab.get().await.unwrap();
        assert!(asked.elapsed() < SECOND);
        sleep(MINUTE).await;
    }
    let renewals = lab.accounts.logins().by_ticket;
    assert!((6..=7).contains(&renewals), "{renewals}");
    assert_eq!(lab.accounts.logins(), logins(1, renewals, 0));

    sleep(600 * MINUTE).await;
    assert_eq!(lab.accounts.logins(), logins(1, renewals, 0), "who is not asked asks nothing");
    lab.get_all(3).await.unwrap();
    assert_eq!(lab.accounts.logins(), logins(2, renewals, 0));
    assert!(lab.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_not_renewed_is_replaced_by_the_password() {
    let lab = Lab::start(1, accounts(false), PASSWORD).await;
    lab.get().await.unwrap();
    sleep(100 * MINUTE).await;
    lab.accounts.change_key();
    lab.get_all(3).await.unwrap();
    assert_eq!(lab.accounts.logins(), logins(2, 0, 1), "the old ticket, then the password");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_less_and_less_often() {
    let lab = Lab::start(2, accounts(false), "wrong").await;
    let asked = Instant::now();
    let errors = join_all((0..5).map(|_| lab.get())).await;
    assert!(asked.elapsed() >= 3 * SECOND);
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!(error.label(), "unauthorized");
        let told = error.to_string();
        assert!(
            told.starts_with("POST https://") && told.contains("401 authentication failure: check username"),
            "{told}"
        );
        assert!(told.contains("not tried again for 1 min"), "{told}");
    }
    let asked = Instant::now();
    assert_eq!(lab.get().await.unwrap_err().label(), "unauthorized");
    assert!(asked.elapsed() < SECOND, "the answer is known");
    assert_eq!(lab.accounts.logins(), logins(0, 0, 1));
    assert_eq!(lab.scrape(190 * MINUTE, |logins| logins.refused).await, [1, 3, 7, 15, 31, 63, 123, 183]);
    assert_eq!([lab.asked(0, "/access/ticket"), lab.asked(1, "/access/ticket")], [9, 0]);
    assert_eq!([lab.asked(0, "/version"), lab.asked(1, "/version")], [0, 0], "nothing was asked without a ticket");

    lab.accounts.set_password(USER, "wrong");
    assert_eq!(lab.scrape(60 * MINUTE, |logins| logins.by_password).await, [53]);
    lab.get().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_login_goes_on_when_its_callers_have_gone() {
    let lab = Lab::start(1, accounts(false), "wrong").await;
    for _ in 0..5 {
        assert!(timeout(SECOND / 2, lab.get()).await.is_err());
    }
    sleep(SECOND).await;
    assert!(timeout(SECOND / 2, lab.get()).await.unwrap().is_err(), "the answer is there now");
    assert_eq!(lab.accounts.logins(), logins(0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_repeated_with_one_new_ticket() {
    let lab = Lab::start(1, accounts(false), PASSWORD).await;
    lab.get_all(5).await.unwrap();
    for round in 2..5 {
        sleep(200 * MINUTE / 2).await;
        lab.get().await.unwrap();
        sleep(SECOND).await;
        lab.accounts.change_key();
        let before = (lab.asked(0, "/version"), lab.accounts.logins());
        lab.get_all(5).await.unwrap();
        // A 401 is late, so that a call which gets one was asked twice already.
        assert_eq!(lab.asked(0, "/version"), before.0 + 15, "each of them once more");
        assert_eq!(lab.accounts.logins().by_password, before.1.by_password + 1, "{round}");
        assert_eq!(lab.accounts.logins().refused, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_ticket_is_ever_accepted_logins_are_few() {
    let lab = Lab::start(1, accounts(false), PASSWORD).await;
    lab.get().await.unwrap();
    let refused = Fault::Status { code: 401, reason: "Authentication failed!".into(), body: String::new() };
    lab.sims[0].set_fault("/version", refused);
    let told = lab.get().await.unwrap_err();
    assert_eq!(told.label(), "unauthorized");
    assert!(told.to_string().contains("is not accepted although it is new"), "{told}");
    assert_eq!(lab.accounts.logins(), logins(2, 0, 0));
    let minutes = lab.scrape(80 * MINUTE, |logins| logins.by_password).await;
    assert_eq!(minutes, [0, 3, 7, 15, 31, 63], "as rare as after refusals; it is late 401s that lead to them");
}

#[tokio::test(start_paused = true)]
async fn half_a_ticket_is_refused_with_advice() {
    let lab = Lab::start(1, accounts(true), PASSWORD).await;
    let error = lab.get().await.unwrap_err();
    assert_eq!(error.label(), "unauthorized");
    let told = error.to_string();
    assert!(told.contains("a second factor is asked of monitor@pve") && told.contains("use an API token"), "{told}");
    assert_eq!(lab.scrape(10 * MINUTE, |logins| logins.halves).await, [1, 3, 7]);
    assert_eq!(lab.asked(0, "/version"), 0, "half a ticket is never shown");
}

#[tokio::test(start_paused = true)]
async fn clusters_have_nothing_to_do_with_each_other() {
    let (good, bad) = (accounts(false), accounts(false));
    bad.set_password(USER, "another");
    let good = Lab::start(1, good, PASSWORD).await;
    let bad = Lab::start(1, bad, PASSWORD).await;
    for _ in 0..20 {
        let (well, badly) = tokio::join!(good.get(), bad.get());
        assert!(well.is_ok() && badly.is_err());
        sleep(SECOND).await;
    }
    assert_eq!((good.accounts.logins(), bad.accounts.logins()), (logins(1, 0, 0), logins(0, 0, 1)));
    assert!(good.is_clean());
    assert_eq!(bad.sims[0].requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_log_in_at_one_endpoint_does_so_at_the_next() {
    let unwell = [
        (Fault::Reset, 0),
        (Fault::Hang, 5),
        (Fault::Body("<html>a proxy</html>".into()), 0),
        (Fault::Body("{\"data\":{}}".into()), 0),
        (Fault::BigBody { bytes: 100 << 20 }, 0),
        (Fault::Status { code: 596, reason: "Connection timed out".into(), body: String::new() }, 0),
    ];
    for (fault, seconds) in unwell {
        let lab = Lab::start(2, accounts(false), PASSWORD).await;
        lab.sims[0].set_fault("/access/ticket", fault.clone());
        let asked = Instant::now();
        lab.get().await.unwrap();
        let took = asked.elapsed();
        assert!(took >= seconds * SECOND && took < (seconds + 2) * SECOND, "{fault:?}: {took:?}");
        assert_eq!(lab.asked(1, "/access/ticket"), 1, "{fault:?}");
        assert_eq!(lab.accounts.logins().refused, 0);
    }
    let lab = Lab::start(2, accounts(false), PASSWORD).await;
    for sim in &lab.sims {
        sim.set_node_state(NodeState::Dead).await.unwrap();
    }
    assert_eq!(lab.get().await.unwrap_err().label(), "unreachable");
    lab.sims[1].set_node_state(NodeState::Well).await.unwrap();
    sleep(SECOND).await;
    lab.get().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_login_ends_although_nobody_answers() {
    let lab = Lab::start(2, accounts(false), PASSWORD).await;
    for sim in &lab.sims {
        sim.set_fault("/access/ticket", Fault::Hang);
    }
    let asked = Instant::now();
    assert_eq!(lab.get().await.unwrap_err().label(), "timeout");
    assert!(asked.elapsed() >= 20 * SECOND && asked.elapsed() <= 30 * SECOND);
    let before = lab.asked(0, "/access/ticket");
    lab.scrape(10 * MINUTE, |_| 0).await;
    let logins = lab.asked(0, "/access/ticket") - before;
    assert!((6..12).contains(&logins), "{logins}");
}

/// A simulated cluster in threads of its own, for the real binary.
fn cluster(accounts: &Arc<Accounts>) -> Cluster {
    let source = recorded("pve-9.2-cluster", "GET_");
    Cluster::start_with(2, source, Certificate::Good, |options| Options {
        accounts: Arc::clone(accounts),
        tokens: Vec::new(),
        ..options
    })
}

fn config_of(cluster: &Cluster, password: &str) -> String {
    config(&cluster.sims.iter().map(Sim::url).collect::<Vec<_>>(), password)
}

fn whole(exporter: &Exporter) -> bool {
    let page = Page::parse(&exporter.page("/metrics"));
    page.samples["pve_scrape_collector_success"].values().all(|success| *success == 1.0)
}

fn hides_secrets(text: &str) -> bool {
    PIECES.iter().all(|piece| !text.contains(piece)) && !text.contains("PVE:")
}

#[test]
fn twenty_scrapes_are_one_login_and_nothing_of_it_is_shown() {
    let accounts = accounts(false);
    let cluster = cluster(&accounts);
    let text = config_of(&cluster, PASSWORD);
    let exporter = Exporter::serve_with(&format!("{text}\n[collectors]\n"), &["--log.level", "debug"]);
    for _ in 0..20 {
        exporter.page("/metrics");
    }
    let settled = exporter.settled_page("/metrics", &["node_load", "qdevice", "subscription"]);
    assert_eq!(accounts.logins(), logins(1, 0, 0));
    let own = Page::parse(&settled);
    let labels = [("path", "/access/ticket"), ("outcome", "ok")];
    assert_eq!(own.value("pve_sentinel_api_requests_total", &labels), Some(1.0), "{settled}");
    assert!(hides_secrets(&settled) && hides_secrets(&exporter.page("/")));
    let log = exporter.log();
    assert!(log.contains("logged in") && hides_secrets(&log), "{log}");
    let command = std::fs::read_to_string(format!("/proc/{}/cmdline", exporter.id())).unwrap();
    assert!(command.contains("serve") && hides_secrets(&command), "{command}");
}

#[test]
fn many_scrapes_with_a_wrong_password_are_one_login() {
    let accounts = accounts(false);
    let cluster = cluster(&accounts);
    let exporter = Exporter::serve(&config_of(&cluster, "wrong-%41;word"));
    for _ in 0..10 {
        assert!(!whole(&exporter));
    }
    assert_eq!(accounts.logins(), logins(0, 0, 1));
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    let labels = [("collector", "guest"), ("reason", "unauthorized")];
    assert_eq!(page.value("pve_scrape_collector_errors_total", &labels), Some(10.0));
    let line = exporter.wait_for_log("collectors failed");
    assert!(line.contains("check username with its realm, and the password; not tried again for 1 min"), "{line}");
    assert!(hides_secrets(&exporter.log()), "{}", exporter.log());
}

#[test]
fn a_ticket_that_is_refused_costs_one_login() {
    for rotated in [false, true] {
        let accounts = accounts(false);
        let cluster = cluster(&accounts);
        let exporter = Exporter::serve(&config_of(&cluster, PASSWORD));
        assert!(whole(&exporter) && whole(&exporter));
        if rotated {
            accounts.set_password(USER, "rotated");
            assert!(whole(&exporter), "a ticket outlives the password");
        }
        accounts.change_key();
        for _ in 0..5 {
            assert_eq!(whole(&exporter), !rotated, "{}", exporter.log());
        }
        let expected = if rotated { logins(1, 0, 1) } else { logins(2, 0, 0) };
        assert_eq!(accounts.logins(), expected);
    }
}

#[test]
fn a_password_that_comes_back_is_not_repeated() {
    let accounts = accounts(false);
    let cluster = cluster(&accounts);
    let sent = "%20p%C3%A4%20ss%2B%26%3D%2541%3Bword%20";
    let forms = format!("{PASSWORD} {sent}");
    for fault in [
        Fault::Status { code: 500, reason: format!("cannot log in with {sent}"), body: String::new() },
        Fault::Status { code: 401, reason: "no".into(), body: format!("{{\"message\":\"{forms}\"}}") },
        Fault::Body(format!("<html>{forms}</html>").into()),
        Fault::Body(format!("{{\"data\":{{\"{forms}\":1}}}}").into()),
    ] {
        for sim in &cluster.sims {
            sim.set_fault("/access/ticket", fault.clone());
        }
        let exporter = Exporter::serve_with(&config_of(&cluster, PASSWORD), &["--log.level", "debug"]);
        exporter.page("/metrics");
        exporter.wait_for_log("collectors failed");
        assert!(hides_secrets(&exporter.log()), "{}", exporter.log());
    }
}

#[test]
fn a_login_that_fails_is_named_and_not_the_calls_that_wait_for_it() {
    for (fault, words) in [
        (Fault::Hang, "no complete answer within"),
        (Fault::BigBody { bytes: 100 << 20 }, "malformed answer: it is longer than any with a ticket in it"),
    ] {
        let accounts = accounts(false);
        let cluster = cluster(&accounts);
        for sim in &cluster.sims {
            sim.set_fault("/access/ticket", fault.clone());
        }
        let exporter = Exporter::serve(&config_of(&cluster, PASSWORD));
        let reply = request(
            exporter.address,
            "GET",
            "/pve?target=home&node=0",
            &[("X-Prometheus-Scrape-Timeout-Seconds", "2")],
        );
        let text = reply.text();
        assert_eq!(reply.status, 503, "{text}");
        assert!(text.contains("POST https://") && text.contains(&format!("/access/ticket: {words}")), "{text}");
        assert!(!text.contains("GET ") && !text.contains("max_body"), "{text}");
    }
}

#[test]
fn check_names_the_user_and_not_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    write_private(&file, &config(&["https://192.0.2.11".to_owned()], PASSWORD));
    let checked = run_to_end(&["check", "--config.file", &file.display().to_string()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("user monitor@pve with a password"), "{checked:?}");
    assert!(hides_secrets(&format!("{checked:?}")), "{checked:?}");
}
