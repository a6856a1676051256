//! The one who acts: each order is sent once, with a credential of its own, and what became of it is told as far as it is
//! known.

use std::sync::Arc;
use std::time::Duration;

use pve_sentinel::config::Env;
use pve_sentinel::metrics::Own;
use pve_sentinel::pve::{Limits, Place, Roots, Sent, Writer};
use pve_sentinel::sim::{
    self, Accounts, Authority, Credential, Fault, Options, Rights, Sim, Source, Token, User, World,
};

const TOKEN: &str = "operator@pve!power";
const SECRET: &str = "0d0e0f10-5eec-4e7b-9d43-0123456789ab";
const USER: &str = "operator@pve";
const PASSWORD: &str = "pä ss+&=%41;word";

async fn sims(count: usize) -> (Vec<Sim>, Arc<Accounts>) {
    let world = Arc::new(World::new(1, 3, 12));
    world.edit(Duration::ZERO, |edit| edit.calm());
    let user = User { name: USER.into(), password: PASSWORD.into(), rights: Rights::Operator, second_factor: false };
    let (accounts, authority) = (Arc::new(Accounts::new(vec![user])), Arc::new(Authority::new("lab").unwrap()));
    let mut sims = Vec::new();
    for node in 0..count {
        let options = Options {
            node,
            authority: Some(Arc::clone(&authority)),
            accounts: Arc::clone(&accounts),
            tokens: vec![Token { id: TOKEN.into(), secret: SECRET.into(), rights: Rights::Operator }],
            unauthorized_delay: Duration::from_millis(1),
            clock: Arc::new(|| Duration::from_secs(1000)),
            ..Options::default()
        };
        sims.push(sim::start(options, Source::World(Arc::clone(&world))).await.unwrap());
    }
    (sims, accounts)
}

fn writer(sims: &[Sim], control: &str) -> Writer {
    let urls: Vec<String> = sims.iter().map(Sim::url).collect();
    let text = format!(
        "state_dir = \"state\"\n[[clusters]]\nname = \"home\"\nendpoints = {urls:?}\ntoken_id = \"monitor@pve!prometheus\"\n\
         token_secret = \"7f1c2f0a-5eec-4e7b-9d43-0123456789ab\"\ntls = {{ insecure_skip_verify = true }}\n\
         control = {{ {control} }}\n"
    );
    let env = |_: &str| None;
    let loaded = pve_sentinel::config::parse(&text, std::path::Path::new("x.toml"), &Env::new(&env), &[]).unwrap();
    let (limits, own) = (Limits { max_body: 1 << 20 }, Arc::new(Own::new("0")));
    Writer::new(&loaded.config.clusters[0], limits, &Roots::default(), own).unwrap().expect("an acting credential")
}

fn by_token(sims: &[Sim]) -> Writer {
    writer(sims, &format!("token_id = \"{TOKEN}\", token_secret = \"{SECRET}\""))
}

/// Targets and bodies of the POSTs but logins, at all endpoints.
fn orders(sims: &[Sim]) -> Vec<(String, String)> {
    let posts = sims.iter().flat_map(Sim::requests).filter(|seen| seen.method == "POST");
    let orders = posts.filter(|seen| seen.target != "/api2/json/access/ticket");
    orders.map(|seen| (seen.target.trim_start_matches("/api2/json").to_owned(), seen.body)).collect()
}

/// A container of the third node, and a VM of the first.
const CONTAINER: Place<'_> = Place { node: "pve3", kind: "lxc", vmid: 103 };
const VM: Place<'_> = Place { node: "pve2", kind: "qemu", vmid: 102 };

#[tokio::test]
async fn an_order_is_one_post_with_the_acting_credential() {
    let (sims, _) = sims(1).await;
    let writer = by_token(&sims);
    assert_eq!(writer.identity(), TOKEN);
    let sent = writer.act(VM, "shutdown", &[("timeout", "30".to_owned()), ("forceStop", "1".to_owned())]).await;
    let Sent::Taken(upid) = sent else { panic!("{sent:?}") };
    assert!(upid.starts_with("UPID:pve2:") && upid.contains(":qmshutdown:102:operator@pve!power:"), "{upid}");
    let path = "/nodes/pve2/qemu/102/status/shutdown".to_owned();
    assert_eq!(orders(&sims), [(path, "timeout=30&forceStop=1".to_owned())]);
    assert!(sims[0].requests().iter().all(|seen| seen.credential == Credential::Right(Rights::Operator)));
    let status = writer.task_status("pve2", &upid).await.expect("its task");
    assert_eq!(status.data::<serde_json::Value>().unwrap()["status"], "running");
    let sent = writer.act(Place { node: "../..", kind: "qemu", vmid: 102 }, "stop", &[]).await;
    assert!(matches!(sent, Sent::Refused(..)), "{sent:?}");
}

#[tokio::test]
async fn who_logs_in_proves_that_no_web_page_did_it_and_logs_in_once_more_at_most() {
    let (sims, accounts) = sims(1).await;
    let writer = writer(&sims, &format!("username = \"{USER}\", password = '{PASSWORD}'"));
    assert!(matches!(writer.act(VM, "suspend", &[]).await, Sent::Taken(_)));
    assert_eq!((accounts.logins().by_password, orders(&sims).len()), (1, 1));
    // Tickets of before are nothing worth, nor is what goes with them.
    accounts.change_key();
    assert!(matches!(writer.act(VM, "resume", &[]).await, Sent::Taken(_)));
    assert_eq!((accounts.logins().by_password, orders(&sims).len()), (2, 3), "the first of two was refused");
    sims[0].set_fault("/nodes", status(401, "Permission denied - invalid csrf token"));
    let Sent::NotSent(why) = writer.act(VM, "suspend", &[]).await else { panic!("nobody is let in") };
    assert!(why.contains("invalid csrf token") && !why.contains("word"), "{why}");
}

fn status(code: u16, reason: &str) -> Fault {
    Fault::Status { code, reason: reason.to_owned(), body: String::new() }
}

#[tokio::test]
async fn what_may_have_reached_it_is_not_sent_again() {
    let (sims, _) = sims(2).await;
    let writer = by_token(&sims);
    writer.resources().await.expect("an answer");
    for fault in [
        Fault::Reset,
        Fault::Truncate,
        Fault::Body("<html>".into()),
        status(596, "Connection timed out"),
        status(502, "Bad Gateway"),
    ] {
        let before = orders(&sims).len();
        sims.iter().for_each(|sim| sim.set_fault("/nodes/pve2/qemu", fault.clone()));
        let sent = writer.act(VM, "stop", &[]).await;
        assert!(matches!(sent, Sent::Unknown(_)), "{fault:?}: {sent:?}");
        assert_eq!(orders(&sims).len(), before + 1, "{fault:?}");
        sims.iter().for_each(Sim::clear_faults);
    }
    for (code, reason) in [(403, "Permission check failed"), (500, "got no worker"), (595, "No route to host")] {
        let before = orders(&sims).len();
        sims.iter().for_each(|sim| sim.set_fault("/nodes/pve3/lxc", status(code, reason)));
        assert_eq!(writer.act(CONTAINER, "stop", &[]).await, Sent::Refused(code, reason.to_owned()));
        assert_eq!(orders(&sims).len(), before + 1);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_nothing_but_its_turn() {
    let (mut sims, _) = sims(2).await;
    let writer = by_token(&sims);
    sims[0].stop().await;
    assert!(matches!(writer.act(VM, "suspend", &[]).await, Sent::Taken(_)));
    assert_eq!(orders(&sims[1..]).len(), 1);
    sims[1].stop().await;
    let sent = writer.act(VM, "resume", &[]).await;
    assert!(matches!(&sent, Sent::NotSent(why) if why.contains("no connection")), "{sent:?}");
}
