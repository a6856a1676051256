//! One host over SSH: key, login, whether the key can do anything else, and what the probe cannot tell.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::line::Lines;
use crate::collectors::{Collector, HostOptions, Lane, OverSsh};
use crate::config::{Cluster, Config, Host, HostKeys, Ssh};
use crate::ids::SshAddress;
use crate::pve::{self, Client};
use crate::ssh::{self, Command, Session};

/// For the connection and one command.
const LONGEST: Duration = Duration::from_secs(15);
/// What no host has: a shell says so, a forced command answers all the same.
const NOTHING: &str = "pve-sentinel-check";

/// A host to be tried.
pub(super) struct Target {
    pub(super) subject: String,
    session: Session,
    accepts_new: bool,
}

/// The hosts of the configuration that are no nodes.
pub(super) fn others(config: &Config, ssh: &ssh::Client) -> Vec<Target> {
    let target = |host: &Host| Some(target(ssh, &host.id, (&host.address, host.ssh.as_ref()?)));
    config.hosts.iter().filter_map(target).collect()
}

/// The nodes of a cluster, where they are hosts: those with an address in the configuration, and those that the
/// cluster tells of.
pub(super) async fn nodes(told: &Cluster, client: &Client, ssh: &ssh::Client) -> Vec<Target> {
    let Some(nodes) = &told.ssh else { return Vec::new() };
    let mut addresses = nodes.addresses.clone();
    // A failure here is told with the collector `cluster`.
    if let Ok(answer) = client.get("/cluster/status").await
        && let Ok(entries) = pve::status(&answer)
    {
        for entry in entries.iter().filter(|entry| entry.kind.filled() == Some("node")) {
            if let (Some(name), Some(ip)) = (entry.name.filled(), entry.ip.filled())
                && !addresses.contains_key(name)
                && let Ok(address) = SshAddress::new(ip, nodes.port)
            {
                addresses.insert(name.to_owned(), address);
            }
        }
    }
    let target = |(node, address): (&String, &SshAddress)| {
        target(ssh, &format!("{}-{node}", told.name), (address, &nodes.settings))
    };
    addresses.iter().map(target).collect()
}

fn target(ssh: &ssh::Client, id: &str, (address, settings): (&SshAddress, &Arc<Ssh>)) -> Target {
    let accepts_new = matches!(settings.host_keys, HostKeys::Known { accept_new: true, .. });
    Target {
        subject: format!("host {id}, ssh {}@{address}", settings.user),
        session: ssh.session(id, address.clone(), Arc::clone(settings)),
        accepts_new,
    }
}

/// Tries a host with all that is asked of hosts.
pub(super) async fn check(
    target: &Target,
    enabled: &[&'static Collector],
    (options, now): (&HostOptions, fn() -> f64),
    lines: &mut Lines<'_>,
) {
    if target.accepts_new {
        lines.warn(
            "host key",
            "accept_new trusts whoever answers first",
            "compare the learned key with the host's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        );
    }
    for collector in enabled {
        if let Lane::Host(over_ssh) = &collector.lane
            && !probe(target, (collector.name, over_ssh), (options, now), lines).await
        {
            return;
        }
    }
    forced(target, lines).await;
}

/// Whether it is worth going on.
async fn probe(
    target: &Target,
    (name, over_ssh): (&str, &OverSsh),
    (options, now): (&HostOptions, fn() -> f64),
    lines: &mut Lines<'_>,
) -> bool {
    let asked = Duration::try_from_secs_f64(now()).unwrap_or_default();
    let output = match over_ssh.ask(&target.session, Instant::now() + LONGEST).await {
        Ok(output) => output,
        Err(failure) => {
            lines.fail(name, failure.to_string(), "");
            return !failure.is_of_connection();
        }
    };
    let heard = over_ssh.tell(&target.session, &output, asked, options);
    match heard.error {
        Some(failure) => lines.fail(name, failure.to_string(), ""),
        None => lines.ok(name, "works"),
    }
    for (section, why) in heard.troubles {
        lines.warn(&section, format!("left out: {why}"), "");
    }
    true
}

/// A key that opens a shell is more than a reader needs.
async fn forced(target: &Target, lines: &mut Lines<'_>) {
    let command = Command { line: NOTHING, stdin: Bytes::new() };
    match target.session.exec(&command, Instant::now() + LONGEST).await {
        Ok(output) if output.stdout.is_empty() => lines.warn(
            "forced command",
            "none: this key can run anything there",
            "put command=\"sh /usr/local/lib/pve-sentinel/probe.sh\",restrict in front of it in authorized_keys",
        ),
        Ok(_) => lines.ok("forced command", "this key can only tell"),
        Err(error) => lines.skip("forced command", error.to_string()),
    }
}
