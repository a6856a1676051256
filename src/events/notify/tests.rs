//! The loop of one Alertmanager, with a paused clock and an Alertmanager of a few lines.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::Value;
use tokio::time::Instant;

use super::super::book::Limits;
use super::super::finding::{Finding, Span};
use super::super::testing::{failed_task, lost_node};
use super::*;
use crate::metrics::Format;

const URL: &str = "http://127.0.0.1:9093";
const START: i64 = 1_790_000_000;

/// How the Alertmanager is.
#[derive(Default)]
struct Fake {
    /// Takes nothing.
    down: bool,
    /// Takes no list that has this id in it.
    refuses: Option<&'static str>,
    posts: u32,
    /// The ids of all that was taken.
    ids: Vec<String>,
}

struct Scene {
    folder: tempfile::TempDir,
    ledger: Arc<Ledger>,
    own: Arc<Own>,
    fake: Arc<Mutex<Fake>>,
    clock: Clock,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = Arc::new(Own::new("1"));
        let urls = [URL.to_owned()];
        let (ledger, _) = Ledger::open(folder.path(), &urls, Limits::default(), Arc::clone(&own)).unwrap();
        let begin = Instant::now();
        let clock: Clock = Arc::new(move || START + i64::try_from(begin.elapsed().as_secs()).unwrap());
        Self { folder, ledger: Arc::new(ledger), own, fake: Arc::default(), clock }
    }

    fn notifier(&self, ledger: &Arc<Ledger>) -> Notifier {
        let fake = Arc::clone(&self.fake);
        let post: Post = Arc::new(move |json| {
            let mut fake = fake.lock().unwrap();
            fake.posts += 1;
            let alerts: Vec<Value> = serde_json::from_slice(&json).unwrap();
            let ids: Vec<String> =
                alerts.iter().map(|alert| alert["labels"]["id"].as_str().unwrap().to_owned()).collect();
            let result = if fake.down {
                Err(Refusal::Whole("nobody there".to_owned()))
            } else if fake.refuses.is_some_and(|id| ids.iter().any(|other| other == id)) {
                Err(Refusal::Something("400: bad".to_owned()))
            } else {
                fake.ids.extend(ids);
                Ok(())
            };
            std::future::ready(result).boxed()
        });
        Notifier {
            ledger: Arc::clone(ledger),
            members: vec![(URL.to_owned(), post)],
            times: Times { hold: 900, resend: 60 },
            clock: Arc::clone(&self.clock),
            own: Arc::clone(&self.own),
        }
    }

    async fn record(&self, findings: Vec<Finding>) {
        self.ledger.record("home", findings, std::collections::BTreeMap::new(), (self.clock)()).await;
    }

    fn fake(&self) -> std::sync::MutexGuard<'_, Fake> {
        self.fake.lock().unwrap()
    }

    fn page(&self) -> String {
        self.own.encode(Format::Text004)
    }

    /// Lets time pass until something is so.
    async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if what(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("never so:\n{}", self.page());
    }
}

fn guest(vmid: usize) -> Finding {
    Finding { id: format!("qemu/{vmid}"), ..failed_task(&vmid.to_string(), START) }
}

#[tokio::test(start_paused = true)]
async fn all_is_told_in_batches_and_sent_again() {
    let scene = Scene::new();
    let keeper = scene.notifier(&scene.ledger).keep();
    scene.record((0..200).map(guest).collect()).await;
    let sent = format!("pve_sentinel_events_sent_total{{alertmanager=\"{URL}\"}} 200\n");
    scene.until(|scene| scene.page().contains(&sent)).await;
    assert_eq!(scene.fake().ids.len(), 200);
    assert_eq!(scene.fake().posts, 4);
    scene.until(|scene| scene.fake().ids.len() == 400).await;
    assert!(((scene.clock)() - START - 60).abs() < 3, "{}", (scene.clock)() - START);
    drop(keeper);
    assert!(!scene.page().contains("pending{") && scene.page().contains(&sent));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_waits_and_is_counted() {
    let scene = Scene::new();
    scene.fake().down = true;
    let _keeper = scene.notifier(&scene.ledger).keep();
    scene.record(vec![guest(1)]).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let posts = scene.fake().posts;
    // After a while every half minute.
    assert!((115..130).contains(&posts), "{posts}");
    assert!(scene.page().contains(&format!("pending{{alertmanager=\"{URL}\"}} 1\n")), "{}", scene.page());
    let age = scene.page().lines().find_map(|line| {
        line.strip_prefix("pve_sentinel_events_oldest_pending_seconds{")?.split(' ').nth(1)?.parse::<i64>().ok()
    });
    assert!(age.is_some_and(|age| (3560..=3600).contains(&age)), "{age:?}");
    scene.fake().down = false;
    scene.until(|scene| scene.fake().ids == ["qemu/1"]).await;
    scene.until(|scene| scene.page().contains(&format!("pending{{alertmanager=\"{URL}\"}} 0\n"))).await;
}

#[tokio::test(start_paused = true)]
async fn one_bad_alert_does_not_lose_the_others() {
    let scene = Scene::new();
    scene.fake().refuses = Some("qemu/33");
    let _keeper = scene.notifier(&scene.ledger).keep();
    scene.record((0..64).map(guest).collect()).await;
    scene.until(|scene| scene.fake().ids.len() >= 63).await;
    let told: BTreeSet<String> = scene.fake().ids.iter().cloned().collect();
    assert!(told.len() == 63 && !told.contains("qemu/33"));
    assert!(scene.fake().posts <= 15, "{}", scene.fake().posts);
    scene.fake().refuses = None;
    scene.until(|scene| scene.fake().ids.iter().any(|id| id == "qemu/33")).await;
}

#[tokio::test(start_paused = true)]
async fn another_process_goes_on_where_this_one_ended() {
    let scene = Scene::new();
    let keeper = scene.notifier(&scene.ledger).keep();
    scene.record(vec![guest(1), lost_node("pve1", Span::Began { since: START })]).await;
    scene.until(|scene| scene.fake().ids.len() == 2).await;
    scene.fake().down = true;
    scene.record(vec![guest(2)]).await;
    drop(keeper);
    scene.fake().down = false;
    scene.fake().ids.clear();
    let urls = [URL.to_owned()];
    let (ledger, _) = Ledger::open(scene.folder.path(), &urls, Limits::default(), Arc::clone(&scene.own)).unwrap();
    let ledger = Arc::new(ledger);
    let _keeper = scene.notifier(&ledger).keep();
    scene.until(|scene| scene.fake().ids.len() == 3).await;
    // What is over is sent no more, what is true for ever.
    tokio::time::sleep(Duration::from_secs(2000)).await;
    scene.fake().ids.clear();
    tokio::time::sleep(Duration::from_secs(200)).await;
    let told: BTreeSet<String> = scene.fake().ids.iter().cloned().collect();
    assert_eq!(told, BTreeSet::from(["node/pve1".to_owned()]));
}
