//! Tries all that a configuration names, once, and says what is missing and what to do.
//!
//! ```text
//! endpoint   name → connection → certificate → login → release → clock
//! cluster    rights; each collector: its privileges, and its calls about one node and one guest
//! host       key → login → what is asked of hosts → whether the key can do more than it should
//! service    what services of hosts and guests answer
//! named      what other rooms find of a cluster, handed in
//! line       what was found, as text and JSON
//! ```
//!
//! Nothing is changed anywhere. A credential that is refused is not tried again at other endpoints: each refusal takes
//! Proxmox VE three seconds, and some realms count them.

mod cluster;
mod endpoint;
mod host;
mod line;
mod service;

use futures_util::future::{BoxFuture, join_all};

use crate::checks::Checker;
use crate::collectors::{Collector, HostOptions, Lane};
use crate::config::{Cluster, Config, Credential};
use crate::pve::Client;
use crate::ssh;
use endpoint::Told;
use line::Lines;
pub use line::{Line, Verdict};
pub use service::GuestServices;

/// Finds out the services of guests of a cluster that lets us in; the error says why that did not succeed.
pub type FindServices = Box<dyn Fn(&Cluster) -> BoxFuture<'static, Result<GuestServices, String>>>;

/// Looks at a cluster; without a finding, nothing is said.
pub type Check = Box<dyn Fn(&Cluster) -> BoxFuture<'static, Vec<Finding>>>;

/// A check that another room makes of a cluster.
pub struct Named {
    /// What the subject is called after the cluster, such as `control`.
    pub name: &'static str,
    /// Makes it.
    pub check: Check,
}

/// What such a check found: its name, the verdict, what was found, what to do (may be empty).
pub type Finding = (&'static str, Verdict, String, String);

/// What is needed to try a configuration.
pub struct Means {
    /// One for each cluster, in its order.
    pub clients: Vec<Client>,
    /// Makes sessions.
    pub ssh: ssh::Client,
    /// The collectors that the configuration leaves on.
    pub enabled: Vec<&'static Collector>,
    /// What hosts are to leave out.
    pub host_options: HostOptions,
    /// Set where services of guests are configured and the collector for them is on.
    pub find_services: Option<FindServices>,
    /// Checks of clusters that answer, made by other rooms.
    pub named: Vec<Named>,
    /// Seconds since 1970.
    pub now: fn() -> f64,
    /// What other rooms try.
    pub others: Vec<Other>,
}

/// What another room tries.
pub struct Other {
    /// What is looked at, such as `alertmanager http://127.0.0.1:9093`.
    pub subject: String,
    /// What about it.
    pub check: &'static str,
    /// What was found, or what is wrong.
    pub found: BoxFuture<'static, Result<String, String>>,
}

/// Tries everything; each line is told as soon as it is known.
pub async fn check(config: &Config, mut means: Means, mut tell: impl FnMut(Line)) {
    let mut said = |lines: Vec<Line>| lines.into_iter().for_each(&mut tell);
    let (others, means) = (std::mem::take(&mut means.others), &means);
    for (told, client) in config.clusters.iter().zip(&means.clients) {
        let answers = check_cluster((config, told), client, means, &mut said).await;
        named(told, answers, means, &mut said).await;
        hosts(host::nodes(told, client, &means.ssh).await, means, &mut said).await;
    }
    hosts(host::others(config, &means.ssh), means, &mut said).await;
    let is_on = means.enabled.iter().any(|collector| matches!(collector.lane, Lane::Services));
    let checker = Checker::new();
    for host in config.hosts.iter().filter(|host| is_on && !host.services.is_empty()) {
        let mut lines = Vec::new();
        let subject = format!("host {}, services at {}", host.id, host.address.host());
        service::of_host(host, &checker, &mut Lines::new(subject, &mut lines)).await;
        said(lines);
    }
    for Other { subject, check, found } in others {
        let mut lines = Vec::new();
        let mut about = Lines::new(subject, &mut lines);
        match found.await {
            Ok(found) => about.ok(check, found),
            Err(wrong) => about.fail(check, wrong, ""),
        }
        said(lines);
    }
}

/// Whether anybody answers there.
async fn check_cluster(
    (config, told): (&Config, &Cluster),
    client: &Client,
    means: &Means,
    said: &mut impl FnMut(Vec<Line>),
) -> bool {
    // Addresses are looked at all at once: a dead one takes seconds.
    let reached = join_all(told.endpoints.iter().map(endpoint::reach)).await;
    let (mut state, mut answers) = (Told::Nothing, false);
    for (endpoint, reached) in told.endpoints.iter().zip(&reached) {
        let mut lines = Vec::new();
        let mut about = Lines::new(format!("cluster {}, {}", told.name, endpoint.url), &mut lines);
        if endpoint::tell(reached, told, (means.now)(), &mut about) {
            answers = true;
            match state {
                _ if matches!(told.credential, Credential::Minted(_)) => about.skip(
                    "login",
                    "not tried: to make a token would take away the one that is in use; start the exporter and look at its log",
                ),
                Told::Refused => about.skip("login", "not tried: the credential was refused already"),
                Told::LetIn(_) | Told::Nothing => {
                    match endpoint::log_in(endpoint, (told, client), means.now, &mut about).await {
                        Told::Nothing => {}
                        told => state = told,
                    }
                }
            }
        }
        said(lines);
    }
    if let Told::LetIn(major) = state {
        let mut lines = Vec::new();
        let mut about = Lines::new(format!("cluster {}", told.name), &mut lines);
        if let Some(held) = cluster::rights(told, client, &mut about).await {
            let which = (means.enabled.as_slice(), &config.collectors);
            cluster::collectors(told, client, (&held, major), which, &mut about).await;
            if let Some(discovery) = &config.discovery {
                cluster::agent(told, discovery, (&held, major), &mut about);
            }
        }
        said(lines);
        if let Some(find) = &means.find_services {
            let mut lines = Vec::new();
            let mut about = Lines::new(format!("cluster {}, services of guests", told.name), &mut lines);
            match find(told).await {
                Ok(found) => service::of_guests(&found, &Checker::new(), &mut about).await,
                Err(why) => about.fail("addresses", why, ""),
            }
            said(lines);
        }
    }
    answers
}

/// Where nobody answers, that was told already.
async fn named(told: &Cluster, answers: bool, means: &Means, said: &mut impl FnMut(Vec<Line>)) {
    for Named { name, check } in means.named.iter().filter(|_| answers) {
        let mut lines = Vec::new();
        let mut about = Lines::new(format!("cluster {}, {name}", told.name), &mut lines);
        for (check, verdict, found, advice) in check(told).await {
            about.push(check, verdict, found, Some(advice));
        }
        said(lines);
    }
}

async fn hosts(targets: Vec<host::Target>, means: &Means, said: &mut impl FnMut(Vec<Line>)) {
    let ask = |target: host::Target| async move {
        let mut lines = Vec::new();
        let mut about = Lines::new(target.subject.clone(), &mut lines);
        host::check(&target, &means.enabled, (&means.host_options, means.now), &mut about).await;
        lines
    };
    join_all(targets.into_iter().map(ask)).await.into_iter().for_each(said);
}
