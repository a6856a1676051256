//! A token that a node makes anew whenever it is asked, over SSH, by a key that can do nothing else.
//!
//! The program on the node is a file of its own, `mint.sh`, with everything that an administrator wants to know before it
//! is installed.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::{Zeroize, Zeroizing};

use super::node::why;
use super::plain;
use crate::config::Secret;
use crate::ssh::{Command, Session};

/// The program that a node runs as the forced command of a key.
pub const PROGRAM: &str = include_str!("mint.sh");

/// What a forced command sees; the instance comes on stdin, so that nothing that was typed is part of a command.
const MINT: &str = "pve-sentinel mint";
const REVOKE: &str = "pve-sentinel revoke";

/// A frame larger than this is no answer, in bytes.
const LARGEST: usize = 64 << 10;

/// What pveum prints of a new token.
#[derive(Deserialize)]
struct Made<'a> {
    #[serde(rename = "full-tokenid")]
    id: &'a str,
    value: &'a str,
}

/// Replaces the token `sentinel@pve!mint-INSTANCE` and gives its secret. Fails with one line for the administrator, which
/// names the command that failed and quotes nothing of an answer.
pub async fn mint(session: &Session, instance: &str, patience: Duration) -> Result<Secret, String> {
    let mut stdout = ask(session, MINT, instance, patience).await?;
    let found = secret(&stdout, instance).map_err(|wrong| format!("{MINT}: {wrong}"));
    stdout.zeroize();
    found
}

/// Removes that token. Fails as [`mint`] does.
pub async fn revoke(session: &Session, instance: &str, patience: Duration) -> Result<(), String> {
    let stdout = ask(session, REVOKE, instance, patience).await?;
    frame(&stdout, instance).map(drop).map_err(|wrong| format!("{REVOKE}: {wrong}"))
}

async fn ask(
    session: &Session,
    line: &'static str,
    instance: &str,
    patience: Duration,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let command = Command { line, stdin: Bytes::from(format!("{instance}\n")) };
    let output = session.exec(&command, Instant::now() + patience).await.map_err(|error| plain(&error.to_string()))?;
    if output.failure().is_some() {
        return Err(plain(&format!("{line} on {}: {}", session.address(), why(&output))));
    }
    // The only other owner is the task that ran it, which has ended.
    Ok(Zeroizing::new(output.stdout.clone()))
}

/// What stands between the marks.
fn frame<'a>(stdout: &'a [u8], instance: &str) -> Result<&'a [u8], String> {
    let (begin, end) =
        (format!("\n@pve-sentinel-mint 1 begin {instance}\n"), format!("\n@pve-sentinel-mint 1 end {instance}\n"));
    let missing = |mark: &str| {
        format!("expected the line {:?} in the answer, found none; is mint.sh the key's forced command?", mark.trim())
    };
    let find = |text: &[u8], mark: &str| text.windows(mark.len()).position(|window| window == mark.as_bytes());
    let at = find(stdout, &begin).ok_or_else(|| missing(&begin))?;
    let rest = stdout.get(at + begin.len()..).unwrap_or_default();
    let length = find(rest, &end).ok_or_else(|| missing(&end))?;
    if length > LARGEST {
        return Err(format!("expected at most {LARGEST} bytes between the marks, found {length}"));
    }
    Ok(rest.get(..length).unwrap_or_default())
}

/// The secret in an answer.
fn secret(stdout: &[u8], instance: &str) -> Result<Secret, String> {
    let json = frame(stdout, instance)?;
    let wrong = || format!("expected the JSON of a new token, found something else ({} bytes, not shown)", json.len());
    let made: Made<'_> = serde_json::from_slice(json).map_err(|_| wrong())?;
    if made.id != format!("sentinel@pve!mint-{instance}") {
        return Err(format!("expected the token sentinel@pve!mint-{instance}, found another (not shown)"));
    }
    let is_secret = (8..=128).contains(&made.value.len())
        && made.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_secret {
        return Err("expected a secret of letters, digits and \"-\", found something else (not shown)".to_owned());
    }
    Ok(Secret::new(made.value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(json: &str) -> Vec<u8> {
        format!("Welcome\n\n@pve-sentinel-mint 1 begin a-1\n{json}\n@pve-sentinel-mint 1 end a-1\n").into_bytes()
    }

    #[test]
    fn the_secret_is_read_between_the_marks() {
        let json = r#"{"full-tokenid":"sentinel@pve!mint-a-1","info":{"privsep":"1"},"value":"0b9e7a52-1111"}"#;
        assert_eq!(secret(&answer(json), "a-1").unwrap().expose(), "0b9e7a52-1111");
        assert!(frame(&answer(""), "a-1").unwrap().is_empty());
    }

    #[test]
    fn no_error_quotes_an_answer() {
        let token = |id: &str, value: &str| answer(&format!(r#"{{"full-tokenid":"{id}","value":"{value}"}}"#));
        let own = "sentinel@pve!mint-a-1";
        let whole = token(own, "0b9e7a52");
        for (text, words) in [
            (b"0b9e7a52".to_vec(), "found none"),
            (whole[..whole.len() - 4].to_vec(), "end a-1"),
            (answer("0b9e7a52"), "something else"),
            (token("root@pam!0b9e7a52", "0b9e7a52"), "found another"),
            (token(own, "0b9e7a52=;"), "letters, digits"),
            (token(own, "0b9e"), "letters, digits"),
            (answer(&"0b9e7a52".repeat(10_000)), "at most"),
        ] {
            let wrong = secret(&text, "a-1").unwrap_err();
            assert!(wrong.contains(words) && !wrong.contains("0b9e"), "{wrong}");
        }
    }

    #[test]
    fn the_program_knows_both_commands_and_takes_no_other() {
        for line in [MINT, REVOKE] {
            assert!(PROGRAM.contains(&format!("'{line}') verb=")), "{line}");
        }
        assert!(PROGRAM.is_ascii() && PROGRAM.ends_with("main \"$@\"\n") && !PROGRAM.contains("eval"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, close in "[\n@a{}\":-]{0,40}", instance in "[a-z0-9-]{1,32}") {
            let _ = (secret(&bytes, &instance), secret(&answer(&close), "a-1"));
            let cut = answer(&close);
            let _ = secret(cut.get(..bytes.len()).unwrap_or_default(), "a-1");
        }
    }
}
