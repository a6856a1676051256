//! What is there and what is wanted → the steps between; pure.

use super::account::{Account, MADE_HERE};
use super::error::Error;
use super::facts::{Access, Found};
use super::quote::Call;
use super::token_file::TokenFile;

/// One thing to do. Numbers count the grants, or the roles, of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Makes the user.
    AddUser,
    /// Makes a role.
    AddRole(usize),
    /// Gives the user a role on a path.
    GrantUser(usize),
    /// Makes the token, and writes its secret to a file here.
    AddToken,
    /// Gives the token a role on a path.
    GrantToken(usize),
    /// Takes a right from the token.
    TakeTokenRight(usize),
    /// Removes the token.
    RemoveToken,
    /// Removes the user, with all rights of that user.
    RemoveUser,
    /// Removes a role.
    RemoveRole(usize),
    /// Removes the file of the secret here.
    RemoveFile,
}

/// What to do, in this order, and what to say of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// May be none.
    pub steps: Vec<Step>,
    /// Lines for people.
    pub notes: Vec<String>,
}

/// What is missing for the token to work. Fails where something must be settled first.
pub fn make(access: &Access, account: &Account, file: &TokenFile) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let user = account.user();
    match access.user {
        None => plan.steps.push(Step::AddUser),
        Some(entry) if !entry.usable => {
            return Err(Error::InTheWay(format!(
                "the user {user} is there but disabled or expired, so that its tokens do not work; on the node: pveum user modify \
                 {user} --enable 1 --expire 0"
            )));
        }
        Some(entry) if !entry.ours => plan.notes.push(format!(
            "the user {user} is there already and was not made by this command; it is used as it is, and --revoke will leave it"
        )),
        Some(_) => {}
    }
    for (index, (role, found)) in account.roles().iter().zip(&access.roles).enumerate() {
        match found {
            Found::Absent => plan.steps.push(Step::AddRole(index)),
            Found::AsWanted(_) => {}
            Found::Other => {
                let (name, privileges) = (role.name, role.privileges.unwrap_or_default());
                return Err(Error::InTheWay(format!(
                    "the role {name} is there with other privileges than {privileges}; on the node: pveum role modify {name} \
                     --privs {privileges}"
                )));
            }
        }
    }
    plan.steps.extend(lacking(&access.user_may).map(Step::GrantUser));
    token(&mut plan, access, account, file)?;
    plan.steps.extend(lacking(&access.token_may).map(Step::GrantToken));
    for (role, path) in &access.beyond {
        plan.notes.push(format!(
            "the token {account} also has the role {role} on {path}, which is left; on the node: pveum acl delete {path} --tokens \
             '{account}' --roles {role}"
        ));
    }
    Ok(plan)
}

/// The token, where it is not there; what is wrong with it, where it is.
fn token(plan: &mut Plan, access: &Access, account: &Account, file: &TokenFile) -> Result<(), Error> {
    let (user, path) = (account.user(), file.path().display());
    match (access.token, file.exists) {
        (None, false) => plan.steps.push(Step::AddToken),
        (None, true) => {
            return Err(Error::InTheWay(format!(
                "{path} is there but the token {account} is not, so that the secret in it is of no use here; remove the \
                 file, or name another folder with --out"
            )));
        }
        (Some(_), false) => {
            return Err(Error::InTheWay(format!(
                "the token {account} is there but its secret is not in {path}, and Proxmox VE shows a secret only once, when \
                 the token is made; put the secret there if you have it, or make another token with --token NAME, or run \
                 this with --revoke first, which cuts off whoever uses the token"
            )));
        }
        (Some(_), true) if !file.is_secret() => {
            return Err(Error::InTheWay(format!(
                "the token {account} is there but {path} does not hold its secret (was an earlier run cut off?), and Proxmox \
                 VE shows a secret only once; put the secret there if you have it, or run this with --revoke first, which \
                 cuts off whoever uses the token"
            )));
        }
        (Some(token), true) if !token.usable => {
            return Err(Error::InTheWay(format!(
                "the token {account} is there but expired; on the node: pveum user token modify {user} {} --expire 0",
                account.token()
            )));
        }
        (Some(_), true) => {
            plan.notes.push(format!("the token {account} is there already, and its secret is taken to be in {path}"));
            if !access.privsep {
                plan.notes
                    .push(format!("the token {account} is not privilege-separated: it may do all that {user} may"));
            }
        }
    }
    Ok(())
}

fn lacking(may: &[bool]) -> impl Iterator<Item = usize> {
    may.iter().enumerate().filter(|(_, has)| !**has).map(|(index, _)| index)
}

fn given(may: &[bool]) -> impl Iterator<Item = usize> {
    may.iter().enumerate().filter(|(_, has)| **has).map(|(index, _)| index)
}

/// What was made here and is to go.
pub fn revoke(access: &Access, account: &Account, file: &TokenFile) -> Plan {
    let mut plan = Plan::default();
    let (user, path) = (account.user(), file.path().display());
    let token_goes = match access.token {
        Some(token) if token.ours => {
            plan.steps.extend(given(&access.token_may).map(Step::TakeTokenRight));
            plan.steps.push(Step::RemoveToken);
            true
        }
        Some(_) => {
            plan.notes.push(format!(
                "left: the token {account}, which was not made by this command (its comment is not \"{MADE_HERE}\"); on the \
                 node: pveum user token remove {user} {}",
                account.token()
            ));
            false
        }
        None => {
            plan.notes.push(format!("the token {account} is not there"));
            true
        }
    };
    match access.user {
        None => plan.notes.push(format!("the user {user} is not there")),
        Some(entry) if entry.ours && access.other_tokens == 0 && token_goes => {
            plan.steps.push(Step::RemoveUser);
            let alone =
                |(index, found): (usize, &Found)| (*found == Found::AsWanted(false)).then_some(Step::RemoveRole(index));
            plan.steps.extend(access.roles.iter().enumerate().filter_map(alone));
        }
        Some(entry) => {
            let why = if !entry.ours {
                "who was not made by this command".to_owned()
            } else if access.other_tokens > 0 {
                format!("who has {} other tokens", access.other_tokens)
            } else {
                "whose token is left".to_owned()
            };
            let rights: Vec<String> = given(&access.user_may)
                .filter_map(|index| account.grants().get(index))
                .map(|grant| format!(", with the role {} on {}", grant.role.name, grant.path))
                .collect();
            plan.notes.push(format!("left: the user {user}, {why}{}", rights.concat()));
        }
    }
    match (file.exists, token_goes && (file.is_secret() || file.is_empty())) {
        (false, _) => {}
        (true, true) => plan.steps.push(Step::RemoveFile),
        (true, false) => plan.notes.push(format!("left: {path}, which is not the secret of a token that goes")),
    }
    plan
}

impl Step {
    /// What it does, for people.
    pub fn words(self, account: &Account, file: &TokenFile) -> String {
        let (user, path) = (account.user(), file.path().display());
        let grant = |who: &str, index: usize| {
            let Some(grant) = account.grants().get(index) else { return String::new() };
            format!("let {who} {} (role {} on {})", grant.role.about, grant.role.name, grant.path)
        };
        let role = |index: usize| account.roles().get(index).copied();
        match self {
            Self::AddUser => format!("make the user {user}, without a password, so that nobody can log in as it"),
            Self::AddRole(index) => role(index).map_or_else(String::new, |role| {
                format!("make the role {}, to {} ({})", role.name, role.about, role.privileges.unwrap_or_default())
            }),
            Self::GrantUser(index) => grant(user, index),
            Self::AddToken => {
                let readers = if file.is_for_group { "root and the group of its folder" } else { "your eyes only" };
                format!(
                    "make the token {account}, with no rights but its own, and write its secret to {path}, for {readers}"
                )
            }
            Self::GrantToken(index) => grant(&format!("the token {account}"), index),
            Self::TakeTokenRight(index) => account.grants().get(index).map_or_else(String::new, |grant| {
                format!("take the role {} on {} from the token {account}", grant.role.name, grant.path)
            }),
            Self::RemoveToken => format!("remove the token {account}: whoever uses it is cut off"),
            Self::RemoveUser => format!("remove the user {user}, with its rights"),
            Self::RemoveRole(index) => role(index)
                .map_or_else(String::new, |role| format!("remove the role {}, which nobody else has", role.name)),
            Self::RemoveFile => format!("remove {path}, the secret of the token"),
        }
    }

    /// The command on the node; none for what is done here.
    pub fn call(self, account: &Account) -> Option<Call> {
        let (id, token, user) = (account.to_string(), account.token(), account.user());
        let grant = |index: usize| account.grants().get(index).map(|grant| (grant.path.as_str(), grant.role.name));
        let role =
            |index: usize| account.roles().get(index).map(|role| (role.name, role.privileges.unwrap_or_default()));
        let acl = |verb, index, who, name| {
            grant(index).map(|(path, role)| vec!["pveum", "acl", verb, path, who, name, "--roles", role])
        };
        let words = match self {
            Self::AddUser => vec!["pveum", "user", "add", user, "--comment", MADE_HERE],
            Self::AddRole(index) => {
                let (name, privileges) = role(index)?;
                vec!["pveum", "role", "add", name, "--privs", privileges]
            }
            Self::GrantUser(index) => acl("modify", index, "--users", user)?,
            Self::AddToken => [
                &["pveum", "user", "token", "add", user, token, "--privsep", "1"][..],
                &["--comment", MADE_HERE, "--output-format", "json"],
            ]
            .concat(),
            Self::GrantToken(index) => acl("modify", index, "--tokens", &id)?,
            Self::TakeTokenRight(index) => acl("delete", index, "--tokens", &id)?,
            Self::RemoveToken => vec!["pveum", "user", "token", "remove", user, token],
            Self::RemoveUser => vec!["pveum", "user", "delete", user],
            Self::RemoveRole(index) => vec!["pveum", "role", "delete", role(index)?.0],
            Self::RemoveFile => return None,
        };
        Some(Call::new(&words).expect("constants and checked names are harmless words"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::account::Acts;
    use crate::setup::facts::Entry;
    use proptest::prelude::*;

    const OURS: Entry = Entry { ours: true, usable: true };
    const FOREIGN: Entry = Entry { ours: false, usable: true };

    fn account() -> Account {
        Account::reader("monitor").unwrap()
    }

    /// A file that is there, with a secret, or is not.
    fn file(folder: &tempfile::TempDir, exists: bool) -> TokenFile {
        if exists {
            std::fs::write(folder.path().join("home.token"), "0b9e7a52-1111-4222-8333-5a5a5a5a5a5a\n").unwrap();
        }
        TokenFile::find(folder.path(), "home").unwrap()
    }

    fn nothing() -> Access {
        Access { user_may: vec![false], token_may: vec![false], ..Access::default() }
    }

    fn complete() -> Access {
        Access {
            user: Some(OURS),
            token: Some(OURS),
            privsep: true,
            other_tokens: 0,
            user_may: vec![true],
            token_may: vec![true],
            ..Access::default()
        }
    }

    #[test]
    fn what_is_missing_is_made_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let plan = make(&nothing(), &account(), &file(&folder, false)).unwrap();
        assert_eq!(plan.steps, [Step::AddUser, Step::GrantUser(0), Step::AddToken, Step::GrantToken(0)]);
        assert!(plan.notes.is_empty());
        let half = Access { token_may: vec![false], ..complete() };
        assert_eq!(make(&half, &account(), &file(&folder, true)).unwrap().steps, [Step::GrantToken(0)]);
        assert!(make(&complete(), &account(), &file(&folder, true)).unwrap().steps.is_empty());
        let foreign = Access { user: Some(FOREIGN), privsep: false, ..complete() };
        let notes = make(&foreign, &account(), &file(&folder, true)).unwrap().notes.join("\n");
        assert!(notes.contains("not made by this command") && notes.contains("not privilege-separated"), "{notes}");
    }

    #[test]
    fn what_cannot_work_is_said_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let absent = file(&folder, false);
        let wrong = |access: Access, file: &TokenFile| make(&access, &account(), file).unwrap_err().to_string();
        assert!(wrong(complete(), &absent).contains("--token NAME"));
        let present = file(&folder, true);
        assert!(wrong(Access { token: None, ..complete() }, &present).contains("remove the file"));
        let dead = Some(Entry { usable: false, ..OURS });
        assert!(wrong(Access { token: dead, ..complete() }, &present).contains("--expire 0"));
        assert!(wrong(Access { user: dead, ..complete() }, &present).contains("--enable 1"));
        for left in ["", "my own notes"] {
            std::fs::write(present.path(), left).unwrap();
            assert!(wrong(complete(), &present).contains("does not hold its secret"), "{left:?}");
        }
    }

    #[test]
    fn only_what_was_made_here_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, true);
        let all = [Step::TakeTokenRight(0), Step::RemoveToken, Step::RemoveUser, Step::RemoveFile];
        let plan = revoke(&complete(), &account(), &file);
        assert_eq!((plan.steps.as_slice(), plan.notes.len()), (&all[..], 0));

        let shared = revoke(&Access { other_tokens: 2, ..complete() }, &account(), &file);
        assert_eq!(shared.steps, [Step::TakeTokenRight(0), Step::RemoveToken, Step::RemoveFile]);
        assert!(shared.notes[0].contains("2 other tokens, with the role PVEAuditor"), "{:?}", shared.notes);

        let foreign = revoke(&Access { token: Some(FOREIGN), ..complete() }, &account(), &file);
        assert!(foreign.steps.is_empty() && foreign.notes.len() == 3, "{:?}", foreign.notes);
        let foreign = revoke(&Access { user: Some(FOREIGN), ..complete() }, &account(), &file);
        assert!(!foreign.steps.contains(&Step::RemoveUser));

        std::fs::write(file.path(), "").unwrap();
        assert!(
            revoke(&complete(), &account(), &file).steps.contains(&Step::RemoveFile),
            "left by a run that was cut off"
        );
        std::fs::write(file.path(), "my own notes").unwrap();
        assert!(!revoke(&complete(), &account(), &file).steps.contains(&Step::RemoveFile));
    }

    #[test]
    fn who_acts_gets_roles_of_its_own_that_go_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let acts = Acts { pool: Some("lab"), hibernate: true, nodes: true };
        let account = Account::actor("power", acts).unwrap();
        let (none, all) = (vec![false; 4], vec![true; 4]);
        let roles = vec![Found::Absent, Found::AsWanted(false), Found::AsWanted(true)];
        let access = Access { user_may: none.clone(), token_may: none, roles: roles.clone(), ..Access::default() };
        let plan = make(&access, &account, &file(&folder, false)).unwrap();
        assert_eq!(plan.steps[..3], [Step::AddUser, Step::AddRole(0), Step::GrantUser(0)]);
        assert_eq!(
            plan.steps[6..],
            [Step::AddToken, Step::GrantToken(0), Step::GrantToken(1), Step::GrantToken(2), Step::GrantToken(3)]
        );
        for step in plan.steps.iter().chain(&[Step::RemoveRole(2), Step::TakeTokenRight(3)]) {
            assert!(
                step.call(&account).is_some() && !step.words(&account, &file(&folder, false)).is_empty(),
                "{step:?}"
            );
        }
        let other = Access { roles: vec![Found::Other], ..access };
        assert!(
            make(&other, &account, &file(&folder, false))
                .unwrap_err()
                .to_string()
                .contains("pveum role modify SentinelPower")
        );

        let beyond = vec![("SentinelPower".to_owned(), "/vms".to_owned())];
        let there = Access { user_may: all.clone(), token_may: all, roles, beyond, ..complete() };
        let plan =
            make(&Access { roles: vec![Found::AsWanted(false); 3], ..there.clone() }, &account, &file(&folder, true))
                .unwrap();
        assert!(
            plan.steps.is_empty() && plan.notes.iter().any(|note| note.contains("pveum acl delete /vms")),
            "{plan:?}"
        );
        let gone = revoke(&there, &account, &file(&folder, true)).steps;
        assert_eq!(gone[4..], [Step::RemoveToken, Step::RemoveUser, Step::RemoveRole(1), Step::RemoveFile]);
    }

    proptest! {
        #[test]
        fn every_step_has_a_command_for_every_token(token in "[A-Za-z][A-Za-z0-9._-]{1,63}") {
            let account = Account::reader(&token).unwrap();
            for step in [Step::AddUser, Step::GrantUser(0), Step::AddToken, Step::GrantToken(0), Step::TakeTokenRight(0),
                Step::RemoveToken, Step::RemoveUser] {
                prop_assert!(step.call(&account).is_some());
            }
        }

        /// Nothing is ever removed to make something, nor made to remove something.
        #[test]
        fn plans_go_one_way(user: Option<bool>, token: Option<bool>, others in 0..3_usize, may: (bool, bool), exists: bool) {
            let folder = tempfile::tempdir().unwrap();
            let file = file(&folder, exists);
            let entry = |ours| Entry { ours, usable: true };
            let access = Access {
                user: user.map(entry), token: token.map(entry), privsep: true, other_tokens: others,
                user_may: vec![may.0], token_may: vec![may.1], ..Access::default()
            };
            let makes = [Step::AddUser, Step::GrantUser(0), Step::AddToken, Step::GrantToken(0)];
            if let Ok(plan) = make(&access, &account(), &file) {
                prop_assert!(plan.steps.iter().all(|step| makes.contains(step)));
            }
            let plan = revoke(&access, &account(), &file);
            prop_assert!(plan.steps.iter().all(|step| !makes.contains(step)));
            prop_assert!(user == Some(true) || !plan.steps.contains(&Step::RemoveUser));
            prop_assert!(token == Some(true) || !plan.steps.contains(&Step::RemoveToken));
        }
    }
}
