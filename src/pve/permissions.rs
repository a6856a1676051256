//! `GET /access/permissions`: what a credential may do, after its user's and its token's rights were put together.

use std::collections::BTreeMap;

use super::answer::Answer;
use super::error::Error;
use super::wire::{MOST_ENTRIES, Number};

/// What the role `PVEAuditor` grants, on Proxmox VE 8 and 9.
const AUDITOR: &[&str] =
    &["Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit", "VM.GuestAgent.Audit"];

/// Effective rights of the caller, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeMap<String, BTreeMap<String, bool>>);

/// How far a privilege is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// On the path itself, and so on what is below it.
    Wholly,
    /// On so many paths below only.
    Below(usize),
    /// Not at all.
    Nowhere,
}

/// The rights. For a token without any, they are empty.
pub fn permissions(answer: &Answer) -> Result<Permissions, Error> {
    let told: BTreeMap<String, BTreeMap<String, Number>> = answer.data()?;
    if told.len() > MOST_ENTRIES {
        return Err(answer.malformed(format!("it has more than {MOST_ENTRIES} paths")));
    }
    let privileges = |held: BTreeMap<String, Number>| {
        held.into_iter().filter_map(|(name, spreads)| Some((name, spreads.0? != 0.0))).collect()
    };
    Ok(Permissions(told.into_iter().map(|(path, held)| (path, privileges(held))).collect()))
}

impl Permissions {
    /// Whether nothing at all is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// On how many paths something is allowed, as far as they are told.
    pub fn paths(&self) -> usize {
        self.0.values().filter(|held| !held.is_empty()).count()
    }

    /// How far a privilege is had on a path such as `/vms`.
    ///
    /// A path that is told of has exactly what is told; another one has what spreads from the nearest one above it.
    pub fn held(&self, privilege: &str, path: &str) -> Held {
        let on = |path: &str| self.0.get(path).map(|held| held.get(privilege).copied());
        let whole = match on(path) {
            Some(held) => held.is_some(),
            None => parents(path).find_map(on).flatten().unwrap_or(false),
        };
        if whole {
            return Held::Wholly;
        }
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let is_below = |below: &&String| below.starts_with(&prefix) && **below != path;
        match self.0.keys().filter(is_below).filter(|below| on(below).flatten().is_some()).count() {
            0 => Held::Nowhere,
            some => Held::Below(some),
        }
    }
}

/// `/vms/100` → `/vms`, `/`.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| parent(path)).skip(1)
}

fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/')?.0 {
        "" => (path != "/").then_some("/"),
        parent => Some(parent),
    }
}

/// The command that grants a privilege on a path to a token and its user, or to a user (`identity` is `user@realm!name` or
/// `user@realm`); a privilege that `PVEAuditor` lacks is put into a role of its own first.
pub fn grant(identity: &str, privilege: &str, path: &str) -> String {
    let (user, tokens) = match identity.split_once('!') {
        // A token whose privileges are separated has only what it and its user have both.
        Some((user, _)) => (user, format!(" --tokens '{identity}'")),
        None => (identity, String::new()),
    };
    let auditor = AUDITOR.contains(&privilege);
    let (role, make) = match auditor {
        true => ("PVEAuditor".to_owned(), String::new()),
        false => {
            let role = format!("Sentinel-{}", privilege.replace('.', "-"));
            let make = format!("pveum role add {role} --privs {privilege} && ");
            (role, make)
        }
    };
    format!("{make}pveum acl modify {path} --roles {role} --users {user}{tokens}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(data: &str) -> Permissions {
        permissions(&Answer::of(&format!("{{\"data\":{data}}}"))).expect("permissions")
    }

    #[test]
    fn what_is_told_of_a_path_counts_and_else_what_spreads_from_above() {
        let held = read(
            r#"{"/":{"Sys.Audit":1,"VM.Audit":0},"/vms":{},"/vms/100":{"VM.Audit":1},"/nodes":{"Sys.Audit":"1"}}"#,
        );
        for (privilege, path, expected) in [
            ("Sys.Audit", "/", Held::Wholly),
            ("Sys.Audit", "/nodes", Held::Wholly),
            ("Sys.Audit", "/nodes/pve1", Held::Wholly),
            ("Sys.Audit", "/storage/local", Held::Wholly),
            ("Sys.Audit", "/vms", Held::Nowhere),
            ("VM.Audit", "/", Held::Wholly),
            ("VM.Audit", "/pool", Held::Nowhere),
            ("VM.Audit", "/vms", Held::Below(1)),
            ("VM.Audit", "/vms/100", Held::Wholly),
            ("VM.Audit", "/vms/101", Held::Nowhere),
        ] {
            assert_eq!(held.held(privilege, path), expected, "{privilege} on {path}");
        }
    }

    #[test]
    fn recorded_rights_are_those_of_an_auditor_and_of_a_fresh_token() {
        let recorded = |name: &str| {
            let path = format!("{}/tests/fixtures/pve-9.2-cluster/{name}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).expect("a recording");
            let recording: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            permissions(&Answer::of(&recording["body"].to_string())).expect("permissions")
        };
        let auditor = recorded("AUDITOR_GET_access__permissions.json");
        for privilege in AUDITOR {
            assert_eq!(auditor.held(privilege, "/vms"), Held::Wholly, "{privilege}");
        }
        assert_eq!(auditor.held("Sys.Modify", "/"), Held::Nowhere);
        assert!(!auditor.is_empty());
        assert!(recorded("NOACL_GET_access__permissions.json").is_empty());
    }

    #[test]
    fn the_command_names_token_and_user() {
        assert_eq!(
            grant("m@pve!t", "VM.Audit", "/vms"),
            "pveum acl modify /vms --roles PVEAuditor --users m@pve --tokens 'm@pve!t'"
        );
        assert_eq!(
            grant("m@pve", "VM.Monitor", "/vms"),
            "pveum role add Sentinel-VM-Monitor --privs VM.Monitor && pveum acl modify /vms --roles Sentinel-VM-Monitor --users m@pve"
        );
    }

    proptest! {
        #[test]
        fn no_path_hangs_or_panics(path in ".{0,40}", data in "[/a-z]{0,9}") {
            let held = read(&format!("{{\"{data}\":{{\"X\":1}}}}"));
            let _ = held.held("X", &path);
        }
    }
}
