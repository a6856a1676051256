//! How to install the program that makes tokens, and what to write in the configuration then.

use std::path::{Path, PathBuf};

use super::Options;
use super::login::Target;
use crate::setup::document::quoted;
use crate::setup::{plain, quote};

/// Where the program is installed.
const PROGRAM: &str = "/usr/local/lib/pve-sentinel/mint.sh";

/// Lines that work as they stand, on this machine and in the configuration.
pub(super) fn how(options: &Options, known_hosts: Option<&Path>) -> String {
    let Target { user, address } = &options.target;
    let (is_root, ssh) = (user == "root", ssh(options));
    let sudo = if is_root { "" } else { "sudo -n " };
    let key = absolute(&options.out.join("mint_key"));
    let (typed, public) = (quote(&key), quote(&format!("{key}.pub")));
    let mut text = format!(
        "to have a token made at each start instead, install these, none of which this command has done:\n\
         1. a key:          ssh-keygen -q -t ed25519 -N '' -f {typed}\n\
         2. its program:    pve-sentinel ssh-mint | {ssh} {sudo}install -D -m 0755 /dev/stdin {PROGRAM}\n\
         3. its one right:  sed 's|^|command=\"{PROGRAM}\",restrict |' {public} | {ssh} 'cat >>.ssh/authorized_keys'\n"
    );
    if !is_root {
        let line = format!("{} ALL=(root) NOPASSWD: {PROGRAM}", user.replace('\\', "\\\\"));
        text.push_str(&format!("4. in its sudoers: {line}\n"));
    }
    let mut table = format!("user = {}, key_file = {}", quoted(user), quoted(&key));
    table.push_str(&format!(", address = {}", quoted(&address.to_string())));
    if let Some(file) = known_hosts {
        table.push_str(&format!(", known_hosts_file = {}", quoted(&absolute(file))));
    }
    text.push_str(
        "then write, in place of token_id and token_secret_file (the exporter must be able to read both files):\n",
    );
    text.push_str(&format!("token_from_ssh = {{ {table} }}"));
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// OpenSSH's client, logging in as this command did.
fn ssh(options: &Options) -> String {
    let Target { user, address } = &options.target;
    let mut line = format!("ssh -p {}", address.port());
    if let Some(file) = &options.identity {
        line.push_str(&format!(" -i {}", quote(&absolute(file))));
    }
    if let Some(file) = &options.known_hosts {
        line.push_str(&format!(" -o {}", quote(&format!("UserKnownHostsFile={}", absolute(file)))));
    }
    format!("{line} {}@{}", quote(user), address.host())
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)).display().to_string()
}
