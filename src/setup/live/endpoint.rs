//! One endpoint of a cluster: name, connection, certificate, whether it is the right one, login, release, clock.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::line::Lines;
use crate::config::{Cluster, Endpoint, Tls};
use crate::names::lookup;
use crate::pve::{Client, Details, Error, Path, Reason, Shown, shown_certificate, version};

/// For the name, and for the connection.
const REACH: Duration = Duration::from_secs(3);
/// For a call.
pub(super) const CALL: Duration = Duration::from_secs(10);
/// A certificate that runs out sooner is worth a word.
const SOON: i64 = 21 * DAY;
const DAY: i64 = 86_400;
/// A larger difference of clocks makes ages wrong.
const CLOCKS: f64 = 5.0;

/// What was found of an endpoint without a credential.
pub(super) struct Reached {
    resolved: Option<Result<Vec<IpAddr>, String>>,
    connected: Result<(), String>,
    shown: Option<Result<Shown, String>>,
}

/// What a call with the credential told.
pub(super) enum Told {
    /// It is let in, by this release of Proxmox VE, such as 9.
    LetIn(Option<u32>),
    /// It is refused, here and so everywhere.
    Refused,
    /// Nothing of the credential.
    Nothing,
}

/// Looks at the address; sends nothing but a TLS handshake.
pub(super) async fn reach(endpoint: &Endpoint) -> Reached {
    let (host, port) = authority(endpoint);
    let is_name = host.parse::<IpAddr>().is_err();
    let found = timeout(REACH, lookup(host, port)).await;
    let addresses = found.map_err(|_| late(REACH)).and_then(|found| found.map_err(|error| error.to_string()));
    let connected = match &addresses {
        Ok(addresses) => {
            let connected = timeout(REACH, TcpStream::connect(&**addresses)).await;
            connected.map_err(|_| late(REACH)).and_then(|stream| stream.map(drop).map_err(|error| error.to_string()))
        }
        Err(why) => Err(why.clone()),
    };
    let shown = match connected {
        Ok(()) => Some(shown_certificate(endpoint).await),
        Err(_) => None,
    };
    let resolved = is_name.then(|| addresses.map(|found| found.iter().map(std::net::SocketAddr::ip).collect()));
    Reached { resolved, connected, shown }
}

/// Tells what was found, and whether a call is worth trying.
pub(super) fn tell(reached: &Reached, cluster: &Cluster, now: f64, lines: &mut Lines<'_>) -> bool {
    match &reached.resolved {
        Some(Ok(addresses)) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            lines.ok("name", addresses.join(" "));
        }
        Some(Err(why)) => {
            lines.fail("name", why, "check its spelling in endpoints, and that this machine can resolve it");
            return false;
        }
        None => {}
    }
    match &reached.connected {
        Ok(()) => lines.ok("connection", "taken"),
        Err(why) => {
            lines.fail("connection", why, "check address and port, that the node is up, and firewalls on the way");
            return false;
        }
    }
    match &reached.shown {
        Some(Ok(shown)) => certificate(shown, &cluster.tls, now, lines),
        Some(Err(why)) => {
            lines.fail("certificate", why, "the API of Proxmox VE speaks TLS; is this its port, usually 8006?");
            return false;
        }
        None => return false,
    }
    true
}

fn certificate(shown: &Shown, tls: &Tls, now: f64, lines: &mut Lines<'_>) {
    let Some(Details { subject, issuer, names, not_before, not_after }) = &shown.details else {
        lines.warn("certificate", format!("unreadable, SHA-256 {}", shown.fingerprint), "");
        return;
    };
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
    let now = now as i64;
    let days = not_after.saturating_sub(now) / DAY;
    let valid = if *not_after < now {
        format!("ran out {} days ago", now.saturating_sub(*not_after) / DAY)
    } else if *not_before > now {
        "not valid yet".to_owned()
    } else {
        format!("{days} days left")
    };
    let found = format!("{subject}; names {names}; issuer {issuer}; {valid}; SHA-256 {}", shown.fingerprint);
    let pinned = matches!(tls, Tls::Fingerprints(_) | Tls::Insecure);
    if pinned || (*not_before <= now && *not_after >= now.saturating_add(SOON)) {
        lines.ok("certificate", found);
    } else {
        lines.warn("certificate", found, "renew it on the node: pvecm updatecerts --force, or by its ACME account");
    }
}

/// Tries the credential with `GET /version`, after which the endpoint's certificate is known to be the right one.
pub(super) async fn log_in(
    endpoint: &Endpoint,
    (cluster, client): (&Cluster, &Client),
    now: fn() -> f64,
    lines: &mut Lines<'_>,
) -> Told {
    let path = Path::from("/version");
    let (asked, answer) = (now(), timeout(CALL, client.try_at(&endpoint.url, &path)).await);
    let answered = now();
    let answer = match answer {
        Ok(answer) => answer,
        Err(_) => {
            lines.fail(
                "login",
                late(CALL),
                "the node is overloaded or pveproxy hangs: systemctl status pveproxy pvedaemon",
            );
            return Told::Nothing;
        }
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return refused(&error, endpoint, lines),
    };
    match &cluster.tls {
        Tls::SystemRoots => lines.ok("trust", "by the authorities of this system"),
        Tls::CaFile { path, .. } => lines.ok("trust", format!("by ca_file {}", path.display())),
        Tls::Fingerprints(_) => lines.ok("trust", "by its fingerprint"),
        Tls::Insecure => lines.warn(
            "trust",
            "none: insecure_skip_verify lets anyone on the way read the credential",
            "pin the fingerprint above after comparing it with `pvenode cert info` on the node: tls = { fingerprints = [\"…\"] }",
        ),
    }
    lines.ok("login", format!("{} is let in", cluster.credential.identity()));
    let told = match version(&answer) {
        Ok(told) => told,
        Err(error) => {
            lines.fail("version", error.to_string(), "");
            return Told::Nothing;
        }
    };
    let (release, major) = (told.version.filled().unwrap_or_default(), told.major());
    lines.ok("version", format!("Proxmox VE {release}"));
    clock(answer.date(), (asked, answered), lines);
    Told::LetIn(major)
}

fn refused(error: &Error, endpoint: &Endpoint, lines: &mut Lines<'_>) -> Told {
    match &error.reason {
        Reason::Tls(why) => {
            lines.fail("trust", why, "");
            Told::Nothing
        }
        Reason::Unauthorized(_) | Reason::NotLoggedIn(_) => {
            lines.fail("login", error.reason.to_string(), "");
            Told::Refused
        }
        Reason::Foreign(why) => {
            lines.fail(
                "cluster",
                why,
                format!("take {} out of endpoints, or make it a cluster of its own", endpoint.url),
            );
            Told::Nothing
        }
        _ => {
            lines.fail("login", error.reason.to_string(), "");
            Told::Nothing
        }
    }
}

/// The date of an answer has whole seconds, cut off.
fn clock(date: Option<f64>, (asked, answered): (f64, f64), lines: &mut Lines<'_>) {
    let Some(date) = date else {
        lines.skip("clock", "the answer has no date");
        return;
    };
    let difference = if date + 1.0 < asked {
        date + 1.0 - asked
    } else if date > answered {
        date - answered
    } else {
        0.0
    };
    let side = if difference > 0.0 { "ahead of" } else { "behind" };
    let found = format!("{:.0} s {side} this machine", difference.abs());
    if difference.abs() <= CLOCKS {
        lines.ok("clock", "as on this machine");
    } else {
        lines.warn("clock", found, "let both keep time by NTP: ages and alerts are wrong by as much");
    }
}

fn late(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

/// Host without brackets, and port.
fn authority(endpoint: &Endpoint) -> (&str, u16) {
    let rest = endpoint.url.split_once("://").map_or(&*endpoint.url, |(_, rest)| rest);
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(8006))
}
