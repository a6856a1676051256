//! Who we are on the node, and how it proves who it is.

use std::path::{Path, PathBuf};

use super::Options;
use crate::config::{self, HostKeys, Ssh, SshKey, SshKeys, files};
use crate::ids::SshAddress;

/// The largest key file that is read, in bytes.
const LARGEST: usize = 64 << 10;

/// The port of SSH.
const PORT: u16 = 22;

/// The keys in ~/.ssh that are tried, the first that is there.
const IDENTITIES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// `USER@HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) user: String,
    pub(super) address: SshAddress,
}

/// Reads `--ssh`.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let Some((user, host)) = text.rsplit_once('@') else {
        return Err("expected a user and a host, such as root@pve1.example.com, found no \"@\"".to_owned());
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-\\@".contains(&byte);
    if user.is_empty() || user.starts_with('-') || user.len() > 128 || !user.bytes().all(word) {
        return Err("expected a user of letters, digits and \"._-\" before the \"@\", found another".to_owned());
    }
    Ok(Target { user: user.to_owned(), address: SshAddress::parse(host, PORT)? })
}

/// How to log in, with files that are there. Fails with a sentence for the administrator.
pub(super) fn settings(options: &Options, env: &config::Env<'_>) -> Result<Ssh, String> {
    let home = env.get("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(".ssh"));
    let known_hosts = match (&options.known_hosts, &home) {
        (Some(file), _) => file.clone(),
        (None, Some(home)) => home.join("known_hosts"),
        (None, None) => return Err("expected --known-hosts, or HOME in the environment, found neither".to_owned()),
    };
    let keys = match &options.identity {
        Some(file) => SshKeys::File(key("--identity", file)?),
        None => usual_keys(home.as_deref(), env)?,
    };
    let host_keys = HostKeys::Known { files: vec![known_hosts], accept_new: false };
    Ok(Ssh { user: options.target.user.clone(), keys, host_keys })
}

/// The file in which the node's host key is known.
pub(super) fn known_hosts(settings: &Ssh) -> Option<&Path> {
    match &settings.host_keys {
        HostKeys::Known { files, .. } => files.first().map(PathBuf::as_path),
        HostKeys::Pinned(_) => None,
    }
}

/// The ssh-agent if there is one, else a key in ~/.ssh.
fn usual_keys(home: Option<&Path>, env: &config::Env<'_>) -> Result<SshKeys, String> {
    if let Some(socket) = env.get("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()) {
        return Ok(SshKeys::Agent(PathBuf::from(socket)));
    }
    let found = home.and_then(|home| IDENTITIES.map(|name| home.join(name)).into_iter().find(|path| path.is_file()));
    match found {
        Some(path) => Ok(SshKeys::File(key("key", &path)?)),
        None => {
            Err("expected a key to log in with, found no ssh-agent and none in ~/.ssh; name one with --identity"
                .to_owned())
        }
    }
}

fn key(what: &str, path: &Path) -> Result<SshKey, String> {
    let shown = path.display();
    let content = files::read(path, LARGEST).map_err(|error| {
        let advice = files::advice(&error);
        format!("{what} {shown}: expected a private key, found that the file cannot be read: {error}; {advice}")
    })?;
    SshKey::decode(path, &content.bytes, None).map_err(|wrong| {
        let wrong = match wrong.split_once(';') {
            // There is no key of the configuration to name a passphrase with here.
            Some((what, advice)) if advice.contains("passphrase_file") => {
                format!("{what}; add it to an ssh-agent with ssh-add, and leave --identity away")
            }
            _ => wrong,
        };
        format!("{what} {shown}: expected a private key of ssh-keygen, found {wrong}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_have_a_user_and_a_host() {
        let found = target("root@pve1.example.com:2222").unwrap();
        assert_eq!((found.user.as_str(), found.address.to_string().as_str()), ("root", "pve1.example.com:2222"));
        assert_eq!(target("admin@[2001:db8::1]").unwrap().address.port(), 22);
        assert_eq!(target("a@ad.example.com@pve1").unwrap().user, "a@ad.example.com");
        for text in
            ["pve1", "@pve1", "root@", "-oX@pve1", "root@a;b", "a b@pve1", "root@pve1\n", "a\u{1b}@pve1", "root@-x"]
        {
            assert!(target(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "[a@:.\\[\\]-]{0,10}") {
            let _ = (target(&text), target(&close));
        }
    }
}
