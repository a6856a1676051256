//! Where orders are taken: `listen_addresses` and `tls` of `[control]`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::check::Context;
use super::fault::{At, Place};
use super::web::{self, RawWebTls};
use super::{Web, WebTls, files, listen, words};

/// What the path of a socket begins with.
const SOCKET: &str = "unix:";
/// What its mode begins with.
const MODE: &str = ",mode=";
/// For those who own it and their group.
const USUAL_MODE: u32 = 0o660;
/// The longest path that Linux takes for a socket, in bytes.
const LONGEST: usize = 107;

/// Where orders are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlAddress {
    /// An address with a port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Socket {
        /// Its file.
        path: PathBuf,
        /// The permission bits of the file; default 0660.
        mode: u32,
    },
}

/// As typed.
#[derive(Default)]
pub(super) struct RawListen<'t> {
    pub(super) addresses: Option<At<Vec<At<&'t str>>>>,
    pub(super) tls: Option<(Place, RawWebTls<'t>)>,
}

impl fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Socket { path, mode } => write!(f, "{SOCKET}{}{MODE}{mode:04o}", path.display()),
        }
    }
}

/// Reads an address, or the path of a socket: `unix:/run/x.sock`, `unix:/run/x.sock,mode=0600`. The error is the rest of a
/// sentence.
fn address(text: &str) -> Result<ControlAddress, String> {
    let Some(rest) = text.strip_prefix(SOCKET) else {
        return listen::listen_address(text)
            .map(ControlAddress::Tcp)
            .map_err(|wrong| wrong.replacen("expected ", "expected unix:/path, ", 1));
    };
    let (path, mode) = match rest.split_once(MODE) {
        None => (rest, Some(USUAL_MODE)),
        Some((path, digits)) => (path, mode(digits)),
    };
    let wrong = |what: &str| format!("expected {what}, found {}", words::shown(text));
    let mode =
        mode.ok_or_else(|| wrong("a mode of three octal digits in which the owner may read and write, such as 0660"))?;
    if path.is_empty() || path.ends_with('/') || path.contains([',', '\0']) {
        return Err(wrong("unix: with the path of a socket, such as unix:/run/pve-sentinel/control.sock"));
    }
    Ok(ControlAddress::Socket { path: path.into(), mode })
}

fn mode(digits: &str) -> Option<u32> {
    let digits = digits.strip_prefix('0').unwrap_or(digits);
    let is_octal = digits.len() == 3 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    is_octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten().filter(|mode| mode & 0o600 == 0o600)
}

/// Checks where orders are taken. `None` only after a fault was reported.
pub(super) fn check(
    raw: &RawListen<'_>,
    (web, plaintext): (Option<&Web>, bool),
    context: &mut Context<'_>,
) -> Option<(Vec<ControlAddress>, Option<WebTls>)> {
    let tls = match &raw.tls {
        None => None,
        Some((_, raw)) => Some(web::tls(raw, context)?),
    };
    let mut found = Vec::new();
    let mut wrong = false;
    for typed in raw.addresses.iter().flat_map(|addresses| &addresses.value) {
        let checked = address(typed.value).map(|address| resolved(address, context.file)).and_then(|address| {
            check_one(&address, &found, web)?;
            Ok(address)
        });
        match checked {
            Ok(address) => {
                if let ControlAddress::Tcp(tcp) = address
                    && tls.is_none()
                    && !plaintext
                    && !tcp.ip().is_loopback()
                {
                    let message =
                        "no token that acts is taken there: set tls, or listen on a loopback address or a socket";
                    context.report.warn(&typed.place, message);
                }
                found.push(address);
            }
            Err(message) => {
                context.report.fault(&typed.place, message);
                wrong = true;
            }
        }
    }
    let is_tcp = |address: &ControlAddress| matches!(address, ControlAddress::Tcp(_));
    if let (Some((place, _)), false, false) = (&raw.tls, wrong, found.iter().any(is_tcp)) {
        let message = "expected an IP:port in listen_addresses of [control], found none; sockets do without tls";
        context.report.fault(place, message.to_owned());
        return None;
    }
    (!wrong).then_some((found, tls))
}

/// Relative paths start at the folder of the configuration file.
fn resolved(address: ControlAddress, file: &Path) -> ControlAddress {
    match address {
        ControlAddress::Socket { path, mode } => {
            let path = path.to_str().map_or(path.clone(), |path| files::resolve(file, path));
            ControlAddress::Socket { path, mode }
        }
        tcp @ ControlAddress::Tcp(_) => tcp,
    }
}

fn check_one(address: &ControlAddress, before: &[ControlAddress], web: Option<&Web>) -> Result<(), String> {
    let is_same = |other: &ControlAddress| match (other, address) {
        (ControlAddress::Tcp(other), ControlAddress::Tcp(address)) => other == address && address.port() != 0,
        (ControlAddress::Socket { path: other, .. }, ControlAddress::Socket { path, .. }) => other == path,
        _ => false,
    };
    if before.iter().any(is_same) {
        return Err(format!("expected each address once, found {address} again"));
    }
    match address {
        ControlAddress::Tcp(tcp) if tcp.port() != 0 && web.is_some_and(|web| web.listen_addresses.contains(tcp)) => {
            Err(format!("expected another address than those of [web], found {tcp}"))
        }
        ControlAddress::Socket { path, .. } if path.as_os_str().len() > LONGEST => {
            Err(format!("expected a path of at most {LONGEST} bytes, found one of {}", path.as_os_str().len()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cluster, output, parsed};
    use super::*;
    use proptest::prelude::*;

    fn read(control: &str) -> Result<super::super::Loaded, super::super::LoadError> {
        parsed(&format!("{}\n[control]\n{control}\n", cluster("token_secret_env = \"PVE_TOKEN\"")))
    }

    #[test]
    fn sockets_and_addresses_are_read() {
        let loaded = read(
            "listen_addresses = [\"127.0.0.1:9222\", \"[::1]:0\", \"unix:/run/a.sock\", \"unix:b.sock,mode=0600\", \
             \"unix:/c.sock,mode=666\"]",
        )
        .unwrap();
        let shown: Vec<String> = loaded.config.control.listen_addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown[..3], ["127.0.0.1:9222", "[::1]:0", "unix:/run/a.sock,mode=0660"]);
        assert!(shown[3].ends_with("b.sock,mode=0600") && shown[4] == "unix:/c.sock,mode=0666", "{shown:?}");
        assert!(loaded.warnings.is_empty() && loaded.config.control.tls.is_none(), "{:?}", loaded.warnings);
        let said = loaded.config.summary();
        assert!(said.contains("\ntaking orders at 127.0.0.1:9222, [::1]:0, unix:/run/a.sock,mode=0660, "), "{said}");
        let warned = read("listen_addresses = [\"192.0.2.1:9222\"]").unwrap().warnings;
        assert!(warned.len() == 1 && warned[0].contains("no token that acts is taken there"), "{warned:?}");
    }

    #[test]
    fn what_cannot_be_listened_on_is_named() {
        for (text, words) in [
            ("[\"unix:\"]", "expected unix: with the path of a socket"),
            ("[\"unix:/run/\"]", "expected unix: with the path of a socket"),
            ("[\"unix:/a.sock,mode=\"]", "expected a mode of three octal digits"),
            ("[\"unix:/a.sock,mode=0999\"]", "expected a mode of three octal digits"),
            ("[\"unix:/a.sock,mode=0066\"]", "expected a mode of three octal digits"),
            ("[\"unix:/a.sock,group=x\"]", "expected unix: with the path of a socket"),
            ("[\"nas:9222\"]", "expected unix:/path, IP:port"),
            ("[\"[::]:9221\"]", "expected another address than those of [web]"),
            ("[\"unix:/a\", \"unix:/a,mode=0600\"]", "expected each address once"),
            ("[\"127.0.0.1:1\", \"127.0.0.1:1\"]", "expected each address once"),
        ] {
            let said = output(&read(&format!("listen_addresses = {text}")));
            assert!(said.contains("control.listen_addresses[") && said.contains(words), "{text}: {said}");
        }
        let long = format!("listen_addresses = [\"unix:/{}\"]", "x".repeat(LONGEST));
        assert!(output(&read(&long)).contains("expected a path of at most 107 bytes, found one of 108"));
        assert!(output(&read("tls = { cert_file = \"none.pem\", key_file = \"none.key\" }")).contains("none.pem"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_alike(text in "(unix:)?[/a-z.:,=0-9é\0]{0,20}(,mode=0?[0-7]{3})?|.{0,20}") {
            if let Ok(read) = address(&text) {
                prop_assert_eq!(address(&read.to_string()), Ok(read.clone()));
            }
        }
    }
}
