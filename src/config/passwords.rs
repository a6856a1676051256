//! Tests of users and their passwords, from whichever place.

use std::path::Path;

use proptest::prelude::*;

use super::example::{example, load_example};
use super::tests::{SECRET, cluster, collectors, hides_secrets, output, write};
use super::*;

/// With all that a token's secret may not have.
const PASSWORD: &str = " pässwörd of hunter2; = \\ ! ";

/// A cluster with a user, with `more` lines.
fn user(more: &str) -> String {
    cluster(more).replace("token_id", "username").replace("!prometheus", "")
}

fn password(cluster: &Cluster) -> (&str, &str) {
    let Credential::User { name, password } = &cluster.credential else { panic!("no user") };
    (name, password.expose())
}

#[test]
fn a_password_is_taken_as_it_is_from_wherever_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    write(&folder.path().join("password"), &format!("{PASSWORD}\n"), 0o600);
    let environment = |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(folder.path().display().to_string()),
        "PVE_PASSWORD" => Some(format!("{PASSWORD}\r\n")),
        _ => None,
    };
    for line in [
        format!("password = '{PASSWORD}'"),
        "password_file = \"password\"".to_owned(),
        "password_env = \"PVE_PASSWORD\"".to_owned(),
        "password_credential = \"password\"".to_owned(),
    ] {
        write(&path, &user(&line), 0o600);
        let loaded = load(&path, &Env::new(&environment), &collectors());
        let loaded = loaded.unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(password(&loaded.config.clusters[0]), ("monitor@pve", PASSWORD), "{line}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let summary = loaded.config.summary();
        assert!(summary.contains("user monitor@pve with a password, certificates by"), "{summary}");
        assert!(hides_secrets(&output(&Ok(loaded))));
    }
}

#[test]
fn passwords_that_all_may_read_draw_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    write(&folder.path().join("password"), PASSWORD, 0o644);
    for (line, mode, warned) in [
        (format!("password = '{PASSWORD}'"), 0o604, Some("(mode 0604); run: chmod o-rwx")),
        (format!("password = '{PASSWORD}'"), 0o640, None),
        ("password_file = \"password\"".to_owned(), 0o604, Some("(mode 0644); run: chmod o-rwx")),
    ] {
        write(&path, &user(&line), mode);
        let loaded = load(&path, &Env::new(&|_| None), &collectors()).unwrap();
        assert_eq!(loaded.warnings.len(), usize::from(warned.is_some()), "{:?}", loaded.warnings);
        assert!(loaded.warnings.iter().all(|warning| warned.is_some_and(|words| warning.contains(words))));
        assert!(hides_secrets(&output(&Ok(loaded))));
    }
}

#[test]
fn the_examples_lines_for_a_user_work() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("home.password"), PASSWORD, 0o600);
    let text = example(folder.path());
    let changed: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("token_"))
        .map(|line| match line.strip_prefix("# ") {
            Some(bare) if bare.starts_with("username = ") || bare.starts_with("password_file = ") => bare,
            _ => line,
        })
        .collect();
    // They stand below the cluster's other lines, and belong to it.
    let loaded = load_example(&changed.join("\n"), folder.path()).unwrap();
    assert_eq!(password(&loaded.config.clusters[0]), ("monitor@pve", PASSWORD));
}

#[test]
fn a_password_in_any_other_key_is_not_shown() {
    for key in ["password_file", "password_env", "password_credential", "passwort", "username", "password.x"] {
        for secret in [SECRET, "hunter2", "hunter2 and so on", "/hunter2\\n"] {
            let lines = [
                format!("{key} = \"{secret}\""),
                format!("password = \"x\"\n{key} = \"{secret}\""),
                format!("{key} = [\"{secret}\"]"),
                format!("{key} = {secret}"),
            ];
            for line in lines {
                for text in [user(&line), cluster(&line), format!("{line}\n{}", user("password = \"x\""))] {
                    let result = parse(&text, Path::new("x.toml"), &Env::new(&|_| None), &collectors());
                    assert!(hides_secrets(&output(&result)), "{text}\n{}", output(&result));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn what_can_be_typed_is_a_password(text in "[ -~\u{a1}-\u{17f}☃]{1,40}") {
        let environment = |_: &str| Some(text.clone());
        let loaded = parse(&user("password_env = \"X\""), Path::new("x.toml"), &Env::new(&environment), &collectors());
        match loaded {
            Ok(loaded) => prop_assert_eq!(password(&loaded.config.clusters[0]).1, text),
            Err(_) => prop_assert!(text.trim().is_empty()),
        }
    }
}
