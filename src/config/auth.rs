//! What was typed of who asks: a token or a user, each with one source of its secret.

use super::fault::{At, Place, Report};
use super::reader::Reader;
use super::words;

/// Who asks. What is absent was left out, or was reported.
pub(super) struct RawAuth<'t> {
    /// Which of the two ways.
    pub(super) way: Way,
    /// `token_id` or `username`.
    pub(super) name: Option<At<&'t str>>,
    /// Where the token's secret or the password comes from.
    pub(super) secret: Option<RawSecret<'t>>,
}

/// The two ways to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `token_id` with one of `token_secret…`.
    Token,
    /// `username` with one of `password…`.
    User,
}

/// Where a secret comes from.
pub(super) enum RawSecret<'t> {
    /// `token_secret` or `password`: the secret itself.
    Inline(At<&'t str>),
    /// `…_file`: a path.
    File(At<&'t str>),
    /// `…_env`: the name of an environment variable.
    Env(At<&'t str>),
    /// `…_credential`: the name of a systemd credential.
    Credential(At<&'t str>),
}

/// The keys of one way, and the words for what they hold.
struct Keys {
    name: &'static str,
    sources: Sources,
    name_expected: &'static str,
    file_expected: &'static str,
    secret: &'static str,
}

/// Keys of the sources of one secret: file, environment variable, systemd credential, the secret itself.
pub(super) type Sources = [&'static str; 4];

const TOKEN: Keys = Keys {
    name: "token_id",
    sources: ["token_secret_file", "token_secret_env", "token_secret_credential", "token_secret"],
    name_expected: "an API token's id",
    file_expected: "the path of a file that holds the secret",
    secret: "the token's secret",
};

const USER: Keys = Keys {
    name: "username",
    sources: ["password_file", "password_env", "password_credential", "password"],
    name_expected: "a user's name and realm",
    file_expected: "the path of a file that holds the password",
    secret: "the password",
};

/// Reads the keys of both ways; they exclude each other. `None` only after a fault was reported.
pub(super) fn read<'t>(table: &mut Reader<'t, '_>, report: &mut Report<'_>) -> Option<RawAuth<'t>> {
    let (token, user) = (given(table, &TOKEN), given(table, &USER));
    let way = if user.is_empty() { Way::Token } else { Way::User };
    let is_mixed = !token.is_empty() && !user.is_empty();
    if is_mixed {
        let found: Vec<&str> = token.into_iter().chain(user).collect();
        let message = format!(
            "expected one way to be let in, token_id with the token's secret or username with the password, found {}; \
             keep one of them",
            words::list(&found, "and")
        );
        report.fault(&last(table, &found), message);
    }
    // Both are read, so that their keys are known.
    let [token, user] = [(&TOKEN, "monitor@pve!prometheus", Way::Token), (&USER, "monitor@pve", Way::User)].map(
        |(keys, example, of)| {
            let is_wanted = of == way && !is_mixed;
            let name_expected = keys.name_expected;
            if is_wanted {
                table.require(keys.name, &format!("{name_expected}, such as \"{example}\""), report);
            }
            let name = table.string(keys.name, &format!("{name_expected} such as \"{example}\""), report);
            (name, read_secret(table, keys, is_wanted, report))
        },
    );
    let (name, secret) = if way == Way::Token { token } else { user };
    (!is_mixed).then_some(RawAuth { way, name, secret })
}

/// Reads where the passphrase of a private key comes from, if it is said.
pub(super) fn passphrase<'t>(
    table: &mut Reader<'t, '_>,
    sources: Sources,
    report: &mut Report<'_>,
) -> Option<RawSecret<'t>> {
    let words = ("the path of a file that holds the passphrase", "the key's passphrase");
    secret(table, sources, false, words, report)
}

/// Reads where any secret comes from, if it is said or must be. The words are those for its file and for itself.
pub(super) fn secret<'t>(
    table: &mut Reader<'t, '_>,
    sources: Sources,
    must: bool,
    (file_expected, secret): (&'static str, &'static str),
    report: &mut Report<'_>,
) -> Option<RawSecret<'t>> {
    let is_wanted = must || sources.into_iter().any(|key| table.has(key));
    let keys = Keys { name: "", sources, name_expected: "", file_expected, secret };
    read_secret(table, &keys, is_wanted, report)
}

/// Reads the keys of both ways where they have no place, since another way is there.
pub(super) fn none_beside(other: &str, table: &mut Reader<'_, '_>, report: &mut Report<'_>) {
    let found: Vec<&str> = [&TOKEN, &USER].into_iter().flat_map(|keys| given(table, keys)).collect();
    if !found.is_empty() {
        let found = words::list(&found, "and");
        let message = format!("expected one way to be let in, found {other} and {found}; keep one of them");
        report.fault(&table.place_of(other), message);
    }
    for keys in [&TOKEN, &USER] {
        table.string(keys.name, keys.name_expected, report);
        read_secret(table, keys, false, report);
    }
}

fn given(table: &Reader<'_, '_>, keys: &Keys) -> Vec<&'static str> {
    std::iter::once(keys.name).chain(keys.sources).filter(|key| table.has(key)).collect()
}

fn last(table: &Reader<'_, '_>, keys: &[&str]) -> Place {
    let places = keys.iter().map(|key| table.place_of(key));
    places.max_by_key(|place| place.offset).unwrap_or_else(|| table.place().clone())
}

fn read_secret<'t>(
    table: &mut Reader<'t, '_>,
    keys: &Keys,
    is_wanted: bool,
    report: &mut Report<'_>,
) -> Option<RawSecret<'t>> {
    let [file_key, env_key, credential_key, inline_key] = keys.sources;
    let given: Vec<&str> = keys.sources.into_iter().filter(|key| table.has(key)).collect();
    let file = table.string(file_key, keys.file_expected, report);
    let env = table.string(env_key, "the name of an environment variable", report);
    let credential = table.string(credential_key, "the name of a systemd credential", report);
    let inline = table.string(inline_key, keys.secret, report);
    match given.as_slice() {
        [] if is_wanted => {
            let place = Place { key: table.place().key.clone(), ..table.place_of(inline_key) };
            let sources = words::list(&keys.sources, "or");
            report.fault(&place, format!("expected {} as one of {sources}, found none", keys.secret));
        }
        [_, _, ..] if is_wanted => {
            let found = words::list(&given, "and");
            let message = format!("expected one source of {}, found {found}; keep one of them", keys.secret);
            report.fault(&last(table, &given), message);
        }
        _ => {}
    }
    file.map(RawSecret::File)
        .or(env.map(RawSecret::Env))
        .or(credential.map(RawSecret::Credential))
        .or(inline.map(RawSecret::Inline))
}
