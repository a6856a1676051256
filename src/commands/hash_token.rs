//! `pve-sentinel hash-token`

use std::io::{IsTerminal, Read, stdin};
use std::process::ExitCode;

use clap::Args;
use data_encoding::BASE64URL_NOPAD;
use rustls::crypto::ring;
use zeroize::Zeroizing;

use super::{USAGE, complain, deliver, end};
use crate::config;
use crate::ids::{Scope, TOKEN_PREFIX, TokenHash, no_token};

/// More is no token; read to be told so.
const MOST: u64 = 4096;

#[derive(Args)]
pub(super) struct Options {
    /// Who gets the token; the log says this name.
    #[arg(long, value_name = "NAME", default_value = "ops", value_parser = name)]
    name: String,
    /// Make none, but read the token that there is from standard input, and print the line with its hash only.
    #[arg(long)]
    stdin: bool,
}

pub(super) fn run(options: &Options) -> ExitCode {
    if options.stdin {
        return match given() {
            Ok(token) => end(deliver(&format!("{}\n", line(&options.name, &token)))),
            Err(wrong) => {
                complain(&wrong);
                ExitCode::from(USAGE)
            }
        };
    }
    end(made().and_then(|token| deliver(&text(&options.name, &token))))
}

fn name(text: &str) -> Result<String, String> {
    config::token_name(text).map(|()| text.to_owned())
}

/// 256 bits from the system.
fn made() -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new([0; 32]);
    let random = ring::default_provider().secure_random;
    random.fill(bytes.as_mut_slice()).map_err(|_| "the system gives no random numbers".to_owned())?;
    let digits = Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_slice()));
    Ok(Zeroizing::new(format!("{TOKEN_PREFIX}{}", *digits)))
}

/// The token on standard input, up to the end of its line.
fn given() -> Result<Zeroizing<String>, String> {
    if stdin().is_terminal() {
        complain(&"the token, then Enter and Ctrl-D (what you type is shown):");
    }
    let mut text = Zeroizing::new(String::new());
    let read = stdin().take(MOST).read_to_string(&mut text);
    read.map_err(|error| format!("expected a token on standard input, found that it cannot be read: {error}"))?;
    let token = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
    no_token(&token).map_or(Ok(token), Err)
}

fn text(name: &str, token: &str) -> String {
    format!(
        "The token, which is shown this once; keep it where only its user can read it:\n\n\
         \x20 {token}\n\n\
         The line for the configuration, under [control], which holds its hash only; then reload:\n\n\
         \x20 {}\n",
        line(name, token)
    )
}

fn line(name: &str, token: &str) -> String {
    let (hash, scope) = (TokenHash::of(token).hex(), Scope::Read.as_str());
    format!("tokens = [{{ name = \"{name}\", sha256 = \"{hash}\", scopes = [\"{scope}\"] }}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::holds_token;

    #[test]
    fn each_token_is_new_and_its_line_has_its_hash() {
        let (one, two) = (made().unwrap(), made().unwrap());
        assert_ne!(one, two);
        assert_eq!((one.len(), no_token(&one), holds_token(&one)), (47, None, true));
        let printed = text("ops", &one);
        assert_eq!(printed.matches(one.as_str()).count(), 1);
        assert!(
            printed.ends_with(&format!("  {}\n", line("ops", &one))) && printed.contains(&TokenHash::of(&one).hex())
        );
    }
}
