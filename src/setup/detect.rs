//! What a host is: Proxmox VE, or something else.

use super::error::Error;
use super::facts::node_name;
use super::node::{MARK, Node, after_mark, ask};
use super::plain;
use crate::ssh::Session;

/// Reads what every user may read, and asks nothing of Proxmox VE but its version.
const QUESTIONS: &str = r#"echo "uid $(id -u)"; echo "node $(uname -n)"; echo "kernel $(uname -s)"
if ls -d /etc/pve >/dev/null 2>&1; then echo "pve $(pveversion 2>/dev/null | head -n 1)"; fi
sed -n 's/^ID=/id /p; s/^PRETTY_NAME=/os /p' /etc/os-release 2>/dev/null
exit 0"#;

/// What a host told of itself. All texts are fit for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What runs there.
    pub system: System,
    /// Its own name without domain, where that is one.
    pub name: Option<String>,
    /// Whether the user there is root.
    pub is_root: bool,
}

/// What runs on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum System {
    /// Proxmox VE: `/etc/pve` is there, and `pveversion` tells a version.
    Proxmox {
        /// Such as `9.2.11`.
        version: String,
    },
    /// Something else.
    Other {
        /// The word of os-release, such as `debian`, or that of `uname`.
        id: String,
        /// For people, such as `Debian GNU/Linux 13 (trixie)`.
        name: String,
    },
}

impl System {
    /// The type of such a host: `proxmox`, or the word of os-release.
    pub fn kind(&self) -> &str {
        match self {
            Self::Proxmox { .. } => "proxmox",
            Self::Other { id, .. } => id,
        }
    }
}

/// Asks a host what it is, and gives it back ready to be asked more.
pub async fn detect(session: Session) -> Result<(Host, Node), Error> {
    let program = format!("{{ LC_ALL=C; export LC_ALL; echo '{MARK}'; {QUESTIONS}; }} </dev/null\n");
    let output = ask(&session, program).await.map_err(Error::Ssh)?;
    let wrong = |wrong: String| Error::Answer { command: "sh -s".to_owned(), wrong };
    if let Some(reason) = output.failure() {
        return Err(wrong(format!("the host does not say what it is: {reason}")));
    }
    let host = after_mark(&output.stdout).and_then(|answer| read(&String::from_utf8_lossy(answer)));
    let host = host.ok_or_else(|| wrong("expected the host to say what it is, found other words".to_owned()))?;
    let node = Node::new(session, !host.is_root);
    Ok((host, node))
}

/// Reads the answer; `None` where it is none.
fn read(answer: &str) -> Option<Host> {
    let word = |key: &str| {
        let value = |line: &str| Some(line.strip_prefix(key)?.strip_prefix(' ')?.trim().to_owned());
        answer.lines().find_map(value).filter(|value| !value.is_empty())
    };
    let uid = word("uid")?;
    let system = match word("pve").and_then(|text| version(&text)) {
        Some(version) => System::Proxmox { version },
        None => {
            let kernel = word("kernel").unwrap_or_else(|| "unknown".to_owned());
            let bare = |text: String| plain(text.trim_matches(['"', '\'']));
            let id = bare(word("id").unwrap_or_else(|| kernel.to_ascii_lowercase()));
            System::Other { name: word("os").map_or_else(|| plain(&kernel), bare), id }
        }
    };
    let name = word("node").map(|name| name.split('.').next().unwrap_or_default().to_owned());
    Some(Host { system, name: name.filter(|name| node_name(name)), is_root: uid == "0" })
}

/// The version in what `pveversion` prints, such as `pve-manager/9.2.11/14a22df35955d97d (running kernel: …)`.
fn version(text: &str) -> Option<String> {
    let version = text.strip_prefix("pve-manager/")?.split('/').next()?;
    let is_version = version.len() <= 32
        && version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".~+-".contains(&byte));
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn proxmox_is_known_by_its_version_and_anything_else_by_os_release() {
        let pve = "uid 0\nnode pve-lab.example.com\nkernel Linux\n\
                   pve pve-manager/9.2.11/14a22df35955d97d (running kernel: 6.17.2-1-pve)\nid debian\nos \"Debian\"\n";
        let host = read(pve).unwrap();
        assert_eq!(host.system, System::Proxmox { version: "9.2.11".to_owned() });
        assert_eq!((host.name.as_deref(), host.is_root, host.system.kind()), (Some("pve-lab"), true, "proxmox"));

        let nas = read("uid 1000\nnode nas\nkernel Linux\nid debian\nos \"Debian GNU/Linux 13 (trixie)\"\n").unwrap();
        let name = "Debian GNU/Linux 13 (trixie)".to_owned();
        assert_eq!(nas.system, System::Other { id: "debian".to_owned(), name });
        assert!(!nas.is_root && nas.system.kind() == "debian");

        // The folder alone, as after a backup was unpacked, makes no Proxmox VE.
        assert_eq!(read("uid 0\nkernel Linux\npve \n").unwrap().system.kind(), "linux");
        assert_eq!(read("uid 0\nkernel FreeBSD\n").unwrap().system.kind(), "freebsd");
        assert_eq!(read("no answer"), None);
    }

    #[test]
    fn hostile_answers_are_no_names() {
        let host = read("uid 0\nnode a;reboot\nkernel L\u{1b}[2Jx\npve pve-manager/9;id/x\n").unwrap();
        assert_eq!(host.name, None);
        assert_eq!(host.system, System::Other { id: "l\u{fffd}[2jx".to_owned(), name: "L\u{fffd}[2Jx".to_owned() });
        assert_eq!(version(&format!("pve-manager/{}/x", "9".repeat(33))), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, lines in "((uid|pve|node|os|id|kernel) ?[a-z0-9/.\"-]{0,8}\n){0,8}") {
            for text in [text, lines] {
                if let Some(host) = read(&text) {
                    prop_assert!(host.name.is_none_or(|name| node_name(&name)));
                }
            }
        }
    }
}
