//! What is there and what is wanted → the steps between; pure.

use super::account::{Account, MADE_HERE, ROLE, USER};
use super::error::Error;
use super::facts::Access;
use super::quote::Call;
use super::token_file::TokenFile;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Makes the user.
    AddUser,
    /// Lets the user see everything.
    GrantUser,
    /// Makes the token, and writes its secret to a file here.
    AddToken,
    /// Lets the token see everything.
    GrantToken,
    /// Takes the token's right away.
    TakeTokenRight,
    /// Removes the token.
    RemoveToken,
    /// Removes the user, with all rights of that user.
    RemoveUser,
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
    let path = file.path().display();
    match access.user {
        None => plan.steps.push(Step::AddUser),
        Some(user) if !user.usable => {
            return Err(Error::InTheWay(format!(
                "the user {USER} is there but disabled or expired, so that its tokens do not work; on the node: pveum \
                 user modify {USER} --enable 1 --expire 0"
            )));
        }
        Some(user) if !user.ours => plan.notes.push(format!(
            "the user {USER} is there already and was not made by this command; it is used as it is, and --revoke will \
             leave it"
        )),
        Some(_) => {}
    }
    if !access.user_may {
        plan.steps.push(Step::GrantUser);
    }
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
                "the token {account} is there but expired; on the node: pveum user token modify {USER} {} --expire 0",
                account.token()
            )));
        }
        (Some(_), true) => {
            plan.notes.push(format!("the token {account} is there already, and its secret is taken to be in {path}"));
            if !access.privsep {
                plan.notes
                    .push(format!("the token {account} is not privilege-separated: it may do all that {USER} may"));
            }
        }
    }
    if !access.token_may {
        plan.steps.push(Step::GrantToken);
    }
    Ok(plan)
}

/// What was made here and is to go.
pub fn revoke(access: &Access, account: &Account, file: &TokenFile) -> Plan {
    let mut plan = Plan::default();
    let path = file.path().display();
    let token_goes = match access.token {
        Some(token) if token.ours => {
            if access.token_may {
                plan.steps.push(Step::TakeTokenRight);
            }
            plan.steps.push(Step::RemoveToken);
            true
        }
        Some(_) => {
            plan.notes.push(format!(
                "left: the token {account}, which was not made by this command (its comment is not \"{MADE_HERE}\"); on the \
                 node: pveum user token remove {USER} {}",
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
        None => plan.notes.push(format!("the user {USER} is not there")),
        Some(user) if user.ours && access.other_tokens == 0 && token_goes => plan.steps.push(Step::RemoveUser),
        Some(user) => {
            let why = if !user.ours {
                "who was not made by this command".to_owned()
            } else if access.other_tokens > 0 {
                format!("who has {} other tokens", access.other_tokens)
            } else {
                "whose token is left".to_owned()
            };
            let right = if access.user_may { format!(", with the role {ROLE} on /") } else { String::new() };
            plan.notes.push(format!("left: the user {USER}, {why}{right}"));
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
        let path = file.path().display();
        match self {
            Self::AddUser => format!("make the user {USER}, without a password, so that nobody can log in as it"),
            Self::GrantUser => format!("let {USER} see everything and change nothing (role {ROLE} on /)"),
            Self::AddToken => format!(
                "make the token {account}, with no rights but its own, and write its secret to {path}, for your eyes only"
            ),
            Self::GrantToken => format!("let the token {account} see everything and change nothing (role {ROLE} on /)"),
            Self::TakeTokenRight => format!("take the role {ROLE} on / from the token {account}"),
            Self::RemoveToken => format!("remove the token {account}: whoever uses it is cut off"),
            Self::RemoveUser => format!("remove the user {USER}, with its rights"),
            Self::RemoveFile => format!("remove {path}, the secret of the token"),
        }
    }

    /// The command on the node; none for what is done here.
    pub fn call(self, account: &Account) -> Option<Call> {
        let (id, token) = (account.to_string(), account.token());
        let words: &[&str] = match self {
            Self::AddUser => &["pveum", "user", "add", USER, "--comment", MADE_HERE],
            Self::GrantUser => &["pveum", "acl", "modify", "/", "--users", USER, "--roles", ROLE],
            Self::AddToken => &[
                "pveum",
                "user",
                "token",
                "add",
                USER,
                token,
                "--privsep",
                "1",
                "--comment",
                MADE_HERE,
                "--output-format",
                "json",
            ],
            Self::GrantToken => &["pveum", "acl", "modify", "/", "--tokens", &id, "--roles", ROLE],
            Self::TakeTokenRight => &["pveum", "acl", "delete", "/", "--tokens", &id, "--roles", ROLE],
            Self::RemoveToken => &["pveum", "user", "token", "remove", USER, token],
            Self::RemoveUser => &["pveum", "user", "delete", USER],
            Self::RemoveFile => return None,
        };
        Some(Call::new(words).expect("constants and the checked name of a token are harmless words"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::facts::Entry;
    use proptest::prelude::*;

    const OURS: Entry = Entry { ours: true, usable: true };
    const FOREIGN: Entry = Entry { ours: false, usable: true };

    fn account() -> Account {
        Account::new("monitor").unwrap()
    }

    /// A file that is there, with a secret, or is not.
    fn file(folder: &tempfile::TempDir, exists: bool) -> TokenFile {
        if exists {
            std::fs::write(folder.path().join("home.token"), "0b9e7a52-1111-4222-8333-5a5a5a5a5a5a\n").unwrap();
        }
        TokenFile::find(folder.path(), "home").unwrap()
    }

    fn complete() -> Access {
        Access { user: Some(OURS), token: Some(OURS), privsep: true, other_tokens: 0, user_may: true, token_may: true }
    }

    #[test]
    fn what_is_missing_is_made_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let plan = make(&Access::default(), &account(), &file(&folder, false)).unwrap();
        assert_eq!(plan.steps, [Step::AddUser, Step::GrantUser, Step::AddToken, Step::GrantToken]);
        assert!(plan.notes.is_empty());
        let half = Access { token_may: false, ..complete() };
        assert_eq!(make(&half, &account(), &file(&folder, true)).unwrap().steps, [Step::GrantToken]);
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
        let all = [Step::TakeTokenRight, Step::RemoveToken, Step::RemoveUser, Step::RemoveFile];
        let plan = revoke(&complete(), &account(), &file);
        assert_eq!((plan.steps.as_slice(), plan.notes.len()), (&all[..], 0));

        let shared = revoke(&Access { other_tokens: 2, ..complete() }, &account(), &file);
        assert_eq!(shared.steps, [Step::TakeTokenRight, Step::RemoveToken, Step::RemoveFile]);
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

    proptest! {
        #[test]
        fn every_step_has_a_command_for_every_token(token in "[A-Za-z][A-Za-z0-9._-]{1,63}") {
            let account = Account::new(&token).unwrap();
            for step in [Step::AddUser, Step::GrantUser, Step::AddToken, Step::GrantToken, Step::TakeTokenRight,
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
                user_may: may.0, token_may: may.1,
            };
            let makes = [Step::AddUser, Step::GrantUser, Step::AddToken, Step::GrantToken];
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
