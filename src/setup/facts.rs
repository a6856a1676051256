//! What Proxmox VE tells: who may do what, and which nodes there are. Reading changes nothing.

use std::net::IpAddr;

use super::account::{Account, MADE_HERE};
use super::answers::{Acl, Listed, Listing, Pool, Status, Token, User};
use super::error::Error;
use super::node::Node;
use super::quote::Call;
use crate::ids::Fingerprint;
use crate::pve::wire::{List, Number, Text};

/// What there is of a user and a token of that user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub(super) user: Option<Entry>,
    pub(super) token: Option<Entry>,
    /// Whether the token has no rights but its own.
    pub(super) privsep: bool,
    /// How many other tokens the user has.
    pub(super) other_tokens: usize,
    /// Whether the user has each grant.
    pub(super) user_may: Vec<bool>,
    /// Whether the token has it.
    pub(super) token_may: Vec<bool>,
    /// What else the token may: roles with their paths.
    pub(super) beyond: Vec<(String, String)>,
    /// Each role that is not Proxmox VE's own, in the order of the account.
    pub(super) roles: Vec<Found>,
}

/// A role that may be made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It is not there.
    Absent,
    /// It is as it should be; whether others than the account have it.
    AsWanted(bool),
    /// It has other privileges.
    Other,
}

/// A user or a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Whether it was made here, by its comment.
    pub(super) ours: bool,
    /// Whether it is neither disabled nor expired.
    pub(super) usable: bool,
}

/// The nodes of a cluster, or a stand-alone node. All texts are names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The cluster's name; none: a stand-alone node.
    pub cluster: Option<String>,
    /// The node that was asked.
    pub local: Member,
    /// The others, by name.
    pub others: Vec<Member>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it is, as far as the others know.
    pub address: Option<IpAddr>,
    /// Of the certificate that its API shows.
    pub fingerprint: Option<Fingerprint>,
}

/// Reads what there is of a token and its user; `now` in seconds since 1970.
pub async fn access(node: &Node, account: &Account, now: i64) -> Result<Access, Error> {
    let usable =
        |expire: &Number| expire.whole().is_none_or(|at| at == 0 || i64::try_from(at).is_ok_and(|at| at > now));
    let ours = |comment: &Text<'_>| comment.filled() == Some(MADE_HERE);
    let none = vec![false; account.grants().len()];
    let mut access = Access { user_may: none.clone(), token_may: none, ..Access::default() };

    let call = listing(&["pveum", "user", "list"]);
    let answer = node.run(&call).await?;
    let users: List<User<'_>> = node.read(&call, &answer)?;
    if let Some(user) = users.items.iter().find(|user| user.userid.filled() == Some(account.user())) {
        let usable = user.enable.0 != Some(false) && usable(&user.expire);
        access.user = Some(Entry { ours: ours(&user.comment), usable });
    }
    access.roles = roles(node, account).await?;
    if access.user.is_none() {
        return Ok(access);
    }

    let call = listing(&["pveum", "user", "token", "list", account.user()]);
    let answer = node.run(&call).await?;
    let tokens: List<Token<'_>> = node.read(&call, &answer)?;
    for token in &tokens.items {
        if token.tokenid.filled() == Some(account.token()) {
            access.token = Some(Entry { ours: ours(&token.comment), usable: usable(&token.expire) });
            access.privsep = token.privsep.0 != Some(false);
        } else {
            access.other_tokens += 1;
        }
    }

    let call = listing(&["pveum", "acl", "list"]);
    let answer = node.run(&call).await?;
    let acl: List<Acl<'_>> = node.read(&call, &answer)?;
    allowed(&mut access, account, &acl.items);
    Ok(access)
}

/// What of the account's grants there is, what the token may beyond them, and who else has its roles.
fn allowed(access: &mut Access, account: &Account, acl: &[Acl<'_>]) {
    let id = account.to_string();
    let is_of = |entry: &Acl<'_>, kind: &str, who: &str| {
        entry.kind.filled() == Some(kind) && entry.ugid.filled() == Some(who) && entry.propagate.0 != Some(false)
    };
    let may = |kind: &str, who: &str| -> Vec<bool> {
        let has = |path: &str, role: &str| {
            acl.iter().any(|entry| {
                is_of(entry, kind, who) && entry.path.filled() == Some(path) && entry.roleid.filled() == Some(role)
            })
        };
        account.grants().iter().map(|grant| has(&grant.path, grant.role.name)).collect()
    };
    (access.user_may, access.token_may) = (may("user", account.user()), may("token", &id));
    for entry in acl.iter().filter(|entry| entry.kind.filled() == Some("token") && entry.ugid.filled() == Some(&id)) {
        let (Some(path), Some(role)) = (entry.path.filled(), entry.roleid.filled()) else { continue };
        if !account.grants().iter().any(|grant| grant.path == path && grant.role.name == role) {
            access.beyond.push((role.to_owned(), path.to_owned()));
        }
    }
    let is_ours = |entry: &&Acl<'_>| matches!(entry.ugid.filled(), Some(who) if who == account.user() || who == id);
    for (role, found) in account.roles().iter().zip(&mut access.roles) {
        if let Found::AsWanted(shared) = found {
            *shared = acl.iter().filter(|entry| !is_ours(entry)).any(|entry| entry.roleid.filled() == Some(role.name));
        }
    }
}

async fn roles(node: &Node, account: &Account) -> Result<Vec<Found>, Error> {
    let roles = account.roles();
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let call = listing(&["pveum", "role", "list"]);
    let answer = node.run(&call).await?;
    let listed: List<Listing<'_>> = node.read(&call, &answer)?;
    let sorted = |text: &str| -> Vec<String> {
        let mut words: Vec<String> =
            text.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        words.sort();
        words
    };
    let found = |name: &str, privileges: &str| match listed.items.iter().find(|role| role.roleid.filled() == Some(name))
    {
        None => Found::Absent,
        Some(role) if sorted(role.privs.filled().unwrap_or_default()) == sorted(privileges) => Found::AsWanted(false),
        Some(_) => Found::Other,
    };
    Ok(roles.iter().map(|role| found(role.name, role.privileges.unwrap_or_default())).collect())
}

/// Fails unless there is such a pool: rights on one that is not there are rights on nothing.
pub async fn need_pool(node: &Node, name: &str) -> Result<(), Error> {
    let call = listing(&["pvesh", "get", "/pools"]);
    let answer = node.run(&call).await?;
    let pools: List<Pool<'_>> = node.read(&call, &answer)?;
    if pools.items.iter().any(|pool| pool.poolid.filled() == Some(name)) {
        return Ok(());
    }
    let known: Vec<&str> = pools.items.iter().filter_map(|pool| pool.poolid.filled()).take(20).collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
    Err(Error::InTheWay(format!("expected the pool {name} to be there; {known}")))
}

/// Reads which nodes there are. Members whose name is none are passed over.
pub async fn membership(node: &Node) -> Result<Membership, Error> {
    let status_call = listing(&["pvesh", "get", "/cluster/status"]);
    let answer = node.run(&status_call).await?;
    let status: List<Status<'_>> = node.read(&status_call, &answer)?;
    let nodes_call = listing(&["pvesh", "get", "/nodes"]);
    let answer = node.run(&nodes_call).await?;
    let listed: List<Listed<'_>> = node.read(&nodes_call, &answer)?;
    members(&status.items, &listed.items).map_err(|wrong| node.malformed(&status_call, wrong))
}

fn members(status: &[Status<'_>], listed: &[Listed<'_>]) -> Result<Membership, String> {
    let (mut cluster, mut local, mut others) = (None, None, Vec::new());
    for entry in status {
        let Some(name) = entry.name.filled() else { continue };
        match entry.kind.filled() {
            Some("cluster") if is_cluster_name(name) => cluster = Some(name.to_owned()),
            Some("node") if node_name(name) => {
                let of_node = |listed: &&Listed<'_>| listed.node.filled() == Some(name);
                let shown = listed.iter().find(of_node).and_then(|listed| listed.ssl_fingerprint.filled());
                let member = Member {
                    name: name.to_owned(),
                    address: entry.ip.filled().and_then(|ip| ip.parse().ok()),
                    fingerprint: shown.and_then(Fingerprint::parse),
                };
                if entry.local.0 == Some(true) {
                    local = Some(member);
                } else {
                    others.push(member);
                }
            }
            _ => {}
        }
    }
    others.sort_by(|a, b| a.name.cmp(&b.name));
    others.dedup_by(|a, b| a.name == b.name);
    let local = local.ok_or("expected the node that answers to be in the list by its name, found no such entry")?;
    Ok(Membership { cluster, local, others })
}

/// A command that prints a list as JSON.
fn listing(words: &[&str]) -> Call {
    Call::new(&[words, &["--output-format", "json"]].concat()).expect("constants are harmless words")
}

/// Whether a text can be the name of a node: a host name without domain.
pub(super) fn node_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a text can be the name of a cluster, here as there.
pub fn is_cluster_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(status: &str, listed: &str) -> Result<Membership, String> {
        let status: List<Status<'_>> = serde_json::from_str(status).map_err(|error| error.to_string())?;
        let listed: List<Listed<'_>> = serde_json::from_str(listed).map_err(|error| error.to_string())?;
        members(&status.items, &listed.items)
    }

    #[test]
    fn members_have_names_addresses_and_fingerprints() {
        let print = "0B:22:C0:62:A5:84:29:F1:A8:A2:87:33:31:E3:73:34:08:A3:66:05:00:04:34:76:42:DF:A6:F4:EE:D6:4E:6B";
        let found = read(
            r#"[{"type":"cluster","name":"labcluster","nodes":2},
                {"type":"node","name":"pve-lab2","ip":"10.77.1.12","local":0},
                {"type":"node","name":"pve-lab","ip":"2001:db8::1","local":"1"}]"#,
            &format!(r#"[{{"node":"pve-lab","ssl_fingerprint":"{print}"}}, {{"node":"pve-lab2"}}]"#),
        )
        .unwrap();
        assert_eq!(found.cluster.as_deref(), Some("labcluster"));
        assert_eq!(found.local.name, "pve-lab");
        assert_eq!(found.local.fingerprint.unwrap().to_string(), print);
        assert_eq!(found.local.address, "2001:db8::1".parse().ok());
        assert_eq!((found.others.len(), found.others[0].fingerprint), (1, None));
    }

    #[test]
    fn what_is_no_name_is_nobody() {
        let found = read(
            r#"[{"type":"cluster","name":"a;b"}, {"type":"node","name":"pve1","local":1,"ip":"x$(id)"},
                {"type":"node","name":"\u001b[2J"}, {"type":"node","name":"a b"}, 7]"#,
            "[]",
        )
        .unwrap();
        assert_eq!((found.cluster, found.local.address, found.others.len()), (None, None, 0));
        assert!(read("[]", "[]").unwrap_err().contains("no such entry"));
    }

    proptest! {
        #[test]
        fn no_entry_panics(name: String, ip: String, print: String) {
            let status = serde_json::json!([{"type": "node", "name": name, "ip": ip, "local": 1}]).to_string();
            let listed = serde_json::json!([{"node": name, "ssl_fingerprint": print}]).to_string();
            if let Ok(found) = read(&status, &listed) {
                prop_assert!(node_name(&found.local.name));
            }
        }
    }
}
