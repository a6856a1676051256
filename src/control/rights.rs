//! Whether an acting credential is let in, and what it may do, for those who set it up. Asks, and changes nothing.

use super::Writer;
use crate::pve::{self, Held, Permissions, Reason};

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `login`, `rights`, or what the rights are for.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; may be empty.
    pub advice: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works.
    Well,
    /// It does not, and nothing can be switched without it.
    Failed,
    /// It is not allowed, which may be meant.
    Without,
}

/// Privileges that belong together, each with its path.
struct Right {
    check: &'static str,
    needs: &'static [(&'static str, &'static str)],
    /// Where rights on what lies below are as good, beside the path itself.
    also: Option<&'static str>,
    /// Whether nothing is switched without it.
    needed: bool,
    /// What cannot be done without it.
    without: &'static str,
}

const RIGHTS: [Right; 3] = [
    Right {
        check: "power",
        needs: &[("VM.PowerMgmt", "/vms"), ("VM.Audit", "/vms")],
        also: Some("/pool"),
        needed: true,
        without: "guests cannot be switched",
    },
    Right {
        check: "hibernate",
        needs: &[("VM.Config.Disk", "/vms"), ("Datastore.AllocateSpace", "/storage")],
        also: Some("/pool"),
        needed: false,
        without: "virtual machines cannot be hibernated",
    },
    Right {
        check: "nodes",
        needs: &[("Sys.PowerMgmt", "/nodes")],
        also: None,
        needed: false,
        without: "nodes cannot be switched",
    },
];

/// Logs in with the acting credential, and asks what it may do. One that is refused is not tried twice.
pub async fn check(writer: &Writer) -> Vec<Finding> {
    let identity = writer.identity();
    let held = match writer.version().await {
        Ok(_) => writer.permissions().await.and_then(|answer| pve::permissions(&answer)),
        Err(error) => return vec![refused(identity, &error)],
    };
    let login =
        Finding { check: "login", state: State::Well, found: format!("{identity} is let in"), advice: String::new() };
    let rest = match held {
        Ok(held) => rights(identity, &held),
        Err(error) => vec![failed("rights", error.to_string(), String::new())],
    };
    std::iter::once(login).chain(rest).collect()
}

fn failed(check: &'static str, found: String, advice: String) -> Finding {
    Finding { check, state: State::Failed, found, advice }
}

fn refused(identity: &str, error: &pve::Error) -> Finding {
    match &error.reason {
        Reason::Unauthorized(words) | Reason::NotLoggedIn(words) | Reason::NoToken(words) => {
            let advice = match identity.split_once('!') {
                Some((user, token)) => format!(
                    "check id and secret under control; on a node: pveum user token list {user}, and pveum user token modify {user} \
                     {token} --expire 0 where it has expired"
                ),
                None => {
                    "check name and password under control, and that the user is enabled: pveum user list".to_owned()
                }
            };
            failed("login", format!("{identity} is refused: {words}"), advice)
        }
        _ => failed("login", error.to_string(), String::new()),
    }
}

/// What rights there are, and what grants those that are lacking.
fn rights(identity: &str, held: &Permissions) -> Vec<Finding> {
    RIGHTS.iter().map(|right| finding(right, identity, held)).collect()
}

fn finding(right: &Right, identity: &str, held: &Permissions) -> Finding {
    let reach = |privilege, path| match (held.held(privilege, path), right.also.map(|also| held.held(privilege, also)))
    {
        (Held::Nowhere, Some(other)) => other,
        (here, _) => here,
    };
    let (mut lacking, mut partly) = (Vec::new(), Vec::new());
    for (privilege, path) in right.needs {
        match reach(privilege, path) {
            Held::Wholly => {}
            Held::Below(paths) => partly.push(format!("{privilege} on {paths} paths only")),
            Held::Nowhere => lacking.push((*privilege, *path)),
        }
    }
    if lacking.is_empty() {
        let found =
            if partly.is_empty() { "allowed".to_owned() } else { format!("allowed, with {}", partly.join(" and ")) };
        return Finding { check: right.check, state: State::Well, found, advice: String::new() };
    }
    let names: Vec<String> = lacking.iter().map(|(privilege, path)| format!("{privilege} on {path}")).collect();
    let advice: Vec<String> = lacking.iter().map(|(privilege, path)| pve::grant(identity, privilege, path)).collect();
    Finding {
        check: right.check,
        state: if right.needed { State::Failed } else { State::Without },
        found: format!("lacks {}: {}", names.join(" and "), right.without),
        advice: advice.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::Answer;

    fn of(data: &str) -> Vec<(State, String)> {
        let held = pve::permissions(&Answer::of(&format!("{{\"data\":{data}}}"))).expect("permissions");
        rights("operator@pve!power", &held).into_iter().map(|finding| (finding.state, finding.found)).collect()
    }

    #[test]
    fn rights_on_a_pool_are_rights() {
        let all = r#"{"/vms":{"VM.PowerMgmt":1,"VM.Audit":1,"VM.Config.Disk":1},"/storage":{"Datastore.AllocateSpace":1},"/nodes":{"Sys.PowerMgmt":1}}"#;
        assert!(of(all).iter().all(|(state, found)| *state == State::Well && found == "allowed"));
        let pool = of(r#"{"/pool/lab":{"VM.PowerMgmt":1,"VM.Audit":1},"/vms/100":{"VM.PowerMgmt":1,"VM.Audit":1}}"#);
        assert_eq!(
            pool[0],
            (State::Well, "allowed, with VM.PowerMgmt on 1 paths only and VM.Audit on 1 paths only".to_owned())
        );
        assert_eq!((pool[1].0, pool[2].0), (State::Without, State::Without));
        assert_eq!(of(r#"{"/pool/lab":{"VM.PowerMgmt":1,"VM.Audit":1}}"#)[0].0, State::Well, "a pool without guests");
    }

    #[test]
    fn what_is_lacking_is_told_with_what_grants_it() {
        let held = pve::permissions(&Answer::of(r#"{"data":{"/vms":{"VM.Audit":1}}}"#)).expect("permissions");
        let found = rights("operator@pve!power", &held);
        assert_eq!(
            (found[0].state, found[0].found.as_str()),
            (State::Failed, "lacks VM.PowerMgmt on /vms: guests cannot be switched")
        );
        let grant = "pveum role add Sentinel-VM-PowerMgmt --privs VM.PowerMgmt && pveum acl modify /vms --roles Sentinel-VM-PowerMgmt \
                     --users operator@pve --tokens 'operator@pve!power'";
        assert_eq!(found[0].advice, grant);
        assert_eq!(found[1].advice.lines().count(), 2);
        assert!(of("{}").iter().all(|(state, _)| *state != State::Well));
    }
}
