//! Whose rights and tokens are made, and which.

use std::fmt;

/// By this comment, users and tokens that were made here are known again.
pub(super) const MADE_HERE: &str = "made by pve-sentinel setup";

/// The one who reads.
const READER: &str = "sentinel@pve";
/// The one who acts: another user, so that none of its rights are those of a token that reads.
const ACTOR: &str = "sentinel-power@pve";

/// The role that may see everything and change nothing.
const AUDITOR: Role = Role { name: "PVEAuditor", privileges: None, about: "see everything and change nothing" };
const POWER: Role =
    Role { name: "SentinelPower", privileges: Some("VM.Audit,VM.PowerMgmt"), about: "see guests and switch them" };
const HIBERNATE: Role = Role {
    name: "SentinelHibernate",
    privileges: Some("Datastore.AllocateSpace,VM.Config.Disk"),
    about: "write the memory of virtual machines to disk",
};
const NODES: Role = Role { name: "SentinelNodes", privileges: Some("Sys.PowerMgmt"), about: "switch nodes" };

/// A token, the user it belongs to (without a password, so that nobody logs in as it), and what both may. Printed as the
/// token's id, such as `sentinel@pve!monitor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    user: &'static str,
    token: String,
    grants: Vec<Grant>,
}

/// A role on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) path: String,
    pub(super) role: Role,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: &'static str,
    /// With commas, sorted; `None`: Proxmox VE has the role itself.
    pub(super) privileges: Option<&'static str>,
    /// The same for people.
    pub(super) about: &'static str,
}

/// What one who acts may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acts<'a> {
    /// The guests of this pool only; else all.
    pub pool: Option<&'a str>,
    /// Hibernate virtual machines, too.
    pub hibernate: bool,
    /// Switch nodes, too.
    pub nodes: bool,
}

impl Account {
    /// The longest name of a token, in bytes.
    const LONGEST: usize = 64;

    /// One that reads, by the name of its token. The error says what was expected.
    pub fn reader(token: &str) -> Result<Self, String> {
        let grants = vec![Grant { path: "/".to_owned(), role: AUDITOR }];
        Ok(Self { user: READER, token: token_name(token)?, grants })
    }

    /// One that acts. The error says what was expected.
    pub fn actor(token: &str, acts: Acts<'_>) -> Result<Self, String> {
        let scope = match acts.pool {
            Some(pool) if !is_pool(pool) => {
                return Err("expected a pool's name of letters, digits and \"._-\", found another".to_owned());
            }
            Some(pool) => format!("/pool/{pool}"),
            None => "/vms".to_owned(),
        };
        let grant = |path: &str, role| Grant { path: path.to_owned(), role };
        let mut grants = vec![grant(&scope, POWER)];
        if acts.hibernate {
            // The memory is written to a storage, whose pool may be another one.
            grants.extend([grant(&scope, HIBERNATE), grant("/storage", HIBERNATE)]);
        }
        if acts.nodes {
            grants.push(grant("/nodes", NODES));
        }
        Ok(Self { user: ACTOR, token: token_name(token)?, grants })
    }

    /// The user.
    pub(super) fn user(&self) -> &'static str {
        self.user
    }

    /// The name without the user.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What user and token may, both.
    pub(super) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The roles that Proxmox VE does not have by itself, each once.
    pub(super) fn roles(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = self.grants.iter().map(|grant| grant.role).collect();
        roles.retain(|role| role.privileges.is_some());
        roles.dedup();
        roles
    }
}

/// Checks a token's name, whoever it belongs to. The error says what was expected.
pub fn token_name(token: &str) -> Result<String, String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = (2..=Account::LONGEST).contains(&token.len())
        && token.starts_with(|c: char| c.is_ascii_alphabetic())
        && token.bytes().all(word);
    if !is_name {
        return Err(format!(
            "expected a letter, then 1 to {} letters, digits and \"._-\" as a token's name, such as \"monitor\"",
            Account::LONGEST - 1
        ));
    }
    Ok(token.to_owned())
}

/// Pools may lie in pools.
fn is_pool(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    name.len() <= 150 && name.split('/').all(is_part)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.user, self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_that_proxmox_takes() {
        assert_eq!(Account::reader("monitor").unwrap().to_string(), "sentinel@pve!monitor");
        assert_eq!(Account::actor("power", Acts::default()).unwrap().to_string(), "sentinel-power@pve!power");
        assert!(Account::reader("a1._-").is_ok());
        for name in ["", "a", "1a", "-a", "a b", "a;b", "a\nb", "a'b", "a!b", "é2", &"a".repeat(65)] {
            assert!(Account::reader(name).is_err() && Account::actor(name, Acts::default()).is_err(), "{name:?}");
        }
        for pool in ["", "/", "a/", "-a", "a b", "a;b", "../vms", "é"] {
            assert!(Account::actor("power", Acts { pool: Some(pool), ..Acts::default() }).is_err(), "{pool:?}");
        }
    }

    #[test]
    fn who_acts_may_no_more_than_was_asked_for() {
        let of = |acts: Acts<'_>| -> Vec<String> {
            let account = Account::actor("power", acts).unwrap();
            account.grants().iter().map(|grant| format!("{} {}", grant.path, grant.role.name)).collect()
        };
        assert_eq!(of(Acts::default()), ["/vms SentinelPower"]);
        let all = Acts { pool: Some("lab/a"), hibernate: true, nodes: true };
        let wanted = [
            "/pool/lab/a SentinelPower",
            "/pool/lab/a SentinelHibernate",
            "/storage SentinelHibernate",
            "/nodes SentinelNodes",
        ];
        assert_eq!(of(all), wanted);
        assert_eq!(Account::actor("power", all).unwrap().roles().len(), 3);
        assert!(Account::reader("monitor").unwrap().roles().is_empty());
    }

    proptest! {
        #[test]
        fn every_name_is_a_word_of_a_command(name in any::<String>(), close in "[a-z!;. _/-]{0,8}") {
            for name in [name, close] {
                if let Ok(account) = Account::reader(&name) {
                    prop_assert!(crate::setup::Call::new(&["pveum", account.token(), &account.to_string()]).is_ok());
                }
                if let Ok(account) = Account::actor("power", Acts { pool: Some(&name), ..Acts::default() }) {
                    prop_assert!(crate::setup::Call::new(&[&account.grants()[0].path]).is_ok());
                }
            }
        }
    }
}
