//! A configuration in a few lines, for `check`.

use std::fmt::Write;

use super::{
    ApiToken, Cluster, ClusterSsh, Collectors, Config, Credential, Host, HostKeys, Power, Preset, Ssh, SshKeys, Tls,
    units, web,
};

impl Config {
    /// What the configuration says, for people: clusters with their endpoints, token or user and TLS mode, listeners, bounds.
    ///
    /// Several lines, the last without a line break; no secrets.
    pub fn summary(&self) -> String {
        let mut text = counted(self.clusters.len(), "cluster");
        if !self.clusters.is_empty() {
            text.push(':');
        }
        for cluster in &self.clusters {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {}", of_cluster(cluster));
        }
        if !self.hosts.is_empty() {
            let _ = write!(text, "\n{}:", counted(self.hosts.len(), "host"));
        }
        for host in &self.hosts {
            let _ = write!(text, "\n  {}", of_host(host));
        }
        let addresses: Vec<String> = self.web.listen_addresses.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\nlistening on {}{}", addresses.join(", "), web::guards(&self.web));
        if !self.control.listen_addresses.is_empty() {
            let addresses: Vec<String> = self.control.listen_addresses.iter().map(ToString::to_string).collect();
            let tls = if self.control.tls.is_some() { " (TLS)" } else { "" };
            let _ = write!(text, "\ntaking orders at {}{tls}", addresses.join(", "));
        }
        if !self.control.tokens.is_empty() {
            let tokens: Vec<String> = self.control.tokens.iter().map(of_token).collect();
            let _ = write!(text, "\ntokens of the API: {}", tokens.join(", "));
        }
        let (timeout, margin) = (units::written(self.scrape.timeout), units::written(self.scrape.margin));
        let _ = write!(text, "\na scrape takes at most {timeout}, less a margin of {margin}");
        if let Some(discovery) = &self.discovery {
            let _ = write!(text, "\nguests are read at least every {}", units::written(discovery.interval));
            if !discovery.services.is_empty() {
                let _ = write!(text, "; {} of guests checked", counted(discovery.services.len(), "service"));
            }
        }
        of_collectors(&self.collectors, &mut text);
        if let Some(events) = &self.events {
            let told: Vec<&str> = events.alertmanagers.iter().map(|one| one.url.as_str()).collect();
            let told = if told.is_empty() { "nobody".to_owned() } else { told.join(", ") };
            let _ =
                write!(text, "\nevents are looked for every {}, and told to {told}", units::written(events.interval));
        }
        text
    }
}

fn of_collectors(collectors: &Collectors, text: &mut String) {
    if collectors.preset != Preset::default() {
        let _ = write!(text, "\ncollectors of the preset {}", collectors.preset.as_str());
    }
    for (how, enabled) in [("on", true), ("off", false)] {
        let named = collectors.settings.iter().filter(|(_, settings)| settings.enabled == Some(enabled));
        let names: Vec<&str> = named.map(|(name, _)| *name).collect();
        if !names.is_empty() {
            let _ = write!(text, "\ncollectors switched {how}: {}", names.join(", "));
        }
    }
}

fn of_token(token: &ApiToken) -> String {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    let guests = token.guests.as_ref().map(|guests| format!(" of {guests}")).unwrap_or_default();
    format!("{} ({}{guests})", token.name, scopes.join(", "))
}

fn of_cluster(cluster: &Cluster) -> String {
    let credential = match &cluster.credential {
        Credential::Token { id, .. } => format!("token {id}"),
        Credential::User { name, .. } => format!("user {name} with a password"),
        Credential::Minted(mint) => format!("token {} made over ssh by {}", mint.id, mint.address),
    };
    let tls = match &cluster.tls {
        Tls::SystemRoots => "certificates by the system's authorities".to_owned(),
        Tls::CaFile { path, .. } => format!("certificates by {}", path.display()),
        Tls::Fingerprints(list) => format!("certificates by {}", counted(list.len(), "fingerprint")),
        Tls::Insecure => "certificates NOT verified".to_owned(),
    };
    let endpoints = counted(cluster.endpoints.len(), "endpoint");
    let direct = match cluster.node_addresses.len() {
        0 => String::new(),
        count => format!("{} asked directly, ", counted(count, "node")),
    };
    let modules = match cluster.modules.as_slice() {
        [] => String::new(),
        modules => format!("modules {}, ", modules.join(" and ")),
    };
    let nodes = match &cluster.ssh {
        None => String::new(),
        Some(ClusterSsh { settings, .. }) => format!(", nodes over ssh as {} with {}", settings.user, of_ssh(settings)),
    };
    let acting = match &cluster.control {
        None => String::new(),
        Some(acting) => format!(", guests switched as {}", acting.identity()),
    };
    let over_ssh = cluster.ssh.as_ref().and_then(|ssh| ssh.power.as_deref());
    let acting = acting + &over_ssh.map(of_power).unwrap_or_default();
    format!("{} ({endpoints}, {direct}{modules}{credential}, {tls}{nodes}{acting})", cluster.name)
}

fn of_power(power: &Power) -> String {
    format!(", switched over ssh as {}", power.ssh.user)
}

fn of_host(Host { id, address, ssh, services, power, wake, .. }: &Host) -> String {
    let way = match ssh {
        Some(ssh) => format!("{}@{address}, {}", ssh.user, of_ssh(ssh)),
        None => format!("{}, not over ssh", address.host()),
    };
    let services = match services.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, "service")),
    };
    let power = power.as_deref().map(of_power).unwrap_or_default();
    let wake = wake.map(|wake| format!(", woken at {}", wake.mac)).unwrap_or_default();
    format!("{id} ({way}{services}{power}{wake})")
}

fn of_ssh(ssh: &Ssh) -> String {
    let keys = match &ssh.keys {
        SshKeys::File(key) => key.path().display().to_string(),
        SshKeys::Agent(_) => "an agent's keys".to_owned(),
    };
    let host_keys = match &ssh.host_keys {
        HostKeys::Known { accept_new: true, .. } => "host keys NOT verified the first time".to_owned(),
        HostKeys::Known { files, .. } => {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            format!("host keys by {}", files.join(" and "))
        }
        HostKeys::Pinned(_) => "host key by fingerprint".to_owned(),
    };
    format!("{keys}, {host_keys}")
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
