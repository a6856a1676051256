//! A pve.yml: its modules, and what of them cannot be carried over.

use std::rc::Rc;

use super::modules::{Credential, Module, Modules, Settings, Source, Verify};
use super::scalar::{Meaning, meaning};
use super::yaml::{self, Key, Node, Value};
use crate::config::{Secret, words};

/// The reference's own timeout of a request, in seconds.
const TIMEOUT: &str = "5";
/// The keys that are carried over.
const CARRIED: [&str; 7] = ["user", "password", "token_name", "token_value", "verify_ssl", "port", "timeout"];

/// Reads the text of a pve.yml; `file` is its name in messages. Fails with whole lines for people.
pub(super) fn modules(file: &str, text: &str) -> Result<Modules, Vec<String>> {
    const SHAPE: &str = "expected modules, such as default: with user, token_name and token_value below it";
    let document = yaml::parse(text).map_err(|broken| vec![format!("{file}:{}: {}", broken.line, broken.message)])?;
    let Some(root) = &document.root else {
        return Err(vec![format!("{file}: {SHAPE}, found an empty file")]);
    };
    let Value::Map(pairs) = &root.value else {
        return Err(vec![format!("{file}:{}: {SHAPE}, found {}", root.line, root.kind())]);
    };
    if pairs.is_empty() {
        return Err(vec![format!("{file}:{}: {SHAPE}, found an empty mapping", root.line)]);
    }
    let mut modules = Modules::default();
    for key in &document.repeated {
        let name = key_shown(&key.text);
        modules
            .warnings
            .push(format!("{file}:{}: {name}: is there twice in one mapping; the last one counts", key.line));
    }
    for (key, node) in pairs {
        let mut reader = Reader { file, module: key_shown(&key.text), faults: Vec::new(), warnings: Vec::new() };
        let settings = reader.settings(key, node);
        modules.warnings.append(&mut reader.warnings);
        let settings = settings.filter(|_| reader.faults.is_empty()).ok_or(reader.faults);
        modules.list.push(Module { name: key.text.clone(), settings });
    }
    Ok(modules)
}

/// A key in a message: short, and not if it may be a secret.
pub(super) fn key_shown(key: &str) -> String {
    let plain = !key.is_empty() && key.chars().count() <= 60 && !words::hidden(key);
    if plain { key.to_owned() } else { words::shown(key) }
}

/// Reads one module.
struct Reader<'a> {
    file: &'a str,
    module: String,
    faults: Vec<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn settings(&mut self, key: &Key, node: &Node) -> Option<Settings> {
        let Value::Map(pairs) = &node.value else {
            self.fault(key.line, "", &format!("expected settings such as user below it, found {}", node.kind()));
            return None;
        };
        let get = |name: &str| pairs.iter().find(|(key, _)| key.text == name);
        let credential = self.credential(key.line, get);
        let verify = self.verify(get("verify_ssl"));
        let port = self.port(get("port"));
        let timeout = self.timeout(get("timeout"));
        for (key, node) in pairs {
            if !CARRIED.contains(&key.text.as_str()) {
                self.left_out(key, node);
            }
        }
        Some(Settings { credential: credential?, verify: verify?, port, timeout })
    }

    fn credential<'n>(&mut self, line: usize, get: impl Fn(&str) -> Option<&'n (Key, Rc<Node>)>) -> Option<Credential> {
        let user = self.text("user", get("user"));
        if user.is_none() && get("user").is_none_or(|(_, node)| node.meaning() == Some(Meaning::Null)) {
            self.fault(line, "user", "expected a user such as monitor@pve, found none");
        }
        let name = self.text("token_name", get("token_name"));
        let value = self.text("token_value", get("token_value"));
        let password = self.text("password", get("password"));
        match (name, value, password) {
            (Some(name), Some(value), password) => {
                if password.is_some() {
                    let line = get("password").map_or(line, |(key, _)| key.line);
                    self.warn(line, "password", "not carried over: the token is used, as the reference does");
                }
                Some(Credential::Token { id: format!("{}!{name}", user?), secret: inline(value) })
            }
            (Some(_), None, _) => {
                self.missing(
                    line,
                    "token_value",
                    "expected the token's secret, since token_name is there, found none",
                    get,
                );
                None
            }
            (None, value, Some(password)) => {
                if value.is_some() {
                    self.warn(line, "token_value", "not carried over: without token_name, the password is used");
                }
                Some(Credential::Login { username: user?, password: inline(password) })
            }
            (None, _, None) => {
                let message = "expected token_name and token_value, or password, found neither";
                if get("password").is_none_or(|(_, node)| node.meaning() == Some(Meaning::Null)) {
                    self.missing(line, "token_name", message, get);
                }
                None
            }
        }
    }

    /// Reports a key that is needed, unless it is there and was reported already.
    fn missing<'n>(
        &mut self,
        line: usize,
        key: &str,
        message: &str,
        get: impl Fn(&str) -> Option<&'n (Key, Rc<Node>)>,
    ) {
        if get(key).is_none_or(|(_, node)| node.meaning() == Some(Meaning::Null)) {
            self.fault(line, key, message);
        }
    }

    /// A text as the reference sends it; `None` where it is absent, empty, or after a fault. Its value is never quoted:
    /// any of them may be a secret in the wrong place.
    fn text(&mut self, name: &str, found: Option<&(Key, Rc<Node>)>) -> Option<String> {
        let (key, node) = found?;
        match node.meaning() {
            Some(Meaning::Text) if node.text().is_empty() => {
                self.fault(key.line, name, "expected a text, found an empty one");
                None
            }
            Some(Meaning::Text | Meaning::SameText) => Some(node.text().to_owned()),
            Some(Meaning::Null) => None,
            Some(Meaning::Bool(_) | Meaning::OtherText) => {
                let message = format!(
                    "expected a text, found {}, which YAML reads otherwise than it is written (not shown); \
                     put it in quotes",
                    node.kind()
                );
                self.fault(key.line, name, &message);
                None
            }
            None => {
                self.fault(key.line, name, &format!("expected a text, found {}", node.kind()));
                None
            }
        }
    }

    fn verify(&mut self, found: Option<&(Key, Rc<Node>)>) -> Option<Verify> {
        const EXPECTED: &str = "expected true, false or the path of a CA file";
        let Some((key, node)) = found else { return Some(Verify::System) };
        match node.meaning() {
            Some(Meaning::Bool(true) | Meaning::Null) => Some(Verify::System),
            Some(Meaning::Bool(false)) => Some(Verify::Nothing),
            Some(Meaning::SameText) if node.text() == "0" => Some(Verify::Nothing),
            Some(Meaning::Text) => {
                let path = node.text();
                if matches!(meaning(path), Meaning::Bool(_) | Meaning::Null) {
                    let message = format!("{EXPECTED}, found {} in quotes; take them off", words::shown(path));
                    self.fault(key.line, "verify_ssl", &message);
                    return None;
                }
                if !path.starts_with('/') {
                    let message = "a relative path: the reference reads it from the folder it was started in, \
                                   pve-sentinel from the folder of its configuration";
                    self.warn(key.line, "verify_ssl", message);
                }
                Some(Verify::CaFile(path.to_owned()))
            }
            _ => {
                self.fault(key.line, "verify_ssl", &format!("{EXPECTED}, found {}", node.kind()));
                None
            }
        }
    }

    fn port(&mut self, found: Option<&(Key, Rc<Node>)>) -> Option<u16> {
        let (key, node) = found?;
        if node.meaning() == Some(Meaning::Null) {
            return None;
        }
        let port = node.text().parse().ok().filter(|port| *port != 0);
        if port.is_none() {
            self.fault(key.line, "port", "expected a port from 1 to 65535, found something else");
        }
        port
    }

    fn timeout(&mut self, found: Option<&(Key, Rc<Node>)>) -> Option<String> {
        let (key, node) = found?;
        let seconds = Some(node.text()).filter(|text| text.parse().is_ok_and(|seconds: f64| seconds > 0.0));
        if seconds.is_none() && node.meaning() != Some(Meaning::Null) {
            self.warn(key.line, "timeout", "not carried over: expected seconds, found something else");
        }
        seconds.filter(|text| text.parse() != TIMEOUT.parse::<f64>()).map(str::to_owned)
    }

    /// Says why a key is not carried over, if that changes anything.
    fn left_out(&mut self, key: &Key, node: &Node) {
        let is = |text: &str| node.text().eq_ignore_ascii_case(text);
        let reason = match key.text.as_str() {
            "service" if is("pve") => return,
            "backend" if is("https") => return,
            "otptype" => return,
            "otp" => "a one-time password is good for one login only; use an API token, which needs none",
            "proxies" => "the API is asked directly, without a proxy",
            "cert" => "the API of Proxmox VE takes no client certificates",
            "path_prefix" => "the API is asked at its own address; a path in front of it is not supported",
            "backend" => "the API is asked over https only",
            "service" => "only Proxmox VE is asked",
            "host" => "targets are named by --target; the reference fails at this key",
            _ => {
                let near = words::nearest(&key.text, &CARRIED).map(|near| format!(", did you mean {near}?"));
                let near = near.unwrap_or_default();
                let message = format!("not carried over: unknown here{near}");
                return self.warn(key.line, &key_shown(&key.text), &message);
            }
        };
        self.warn(key.line, &key.text, &format!("not carried over: {reason}"));
    }

    fn fault(&mut self, line: usize, key: &str, message: &str) {
        let line = self.line(line, key, message);
        self.faults.push(line);
    }

    fn warn(&mut self, line: usize, key: &str, message: &str) {
        let line = self.line(line, key, message);
        self.warnings.push(line);
    }

    fn line(&self, line: usize, key: &str, message: &str) -> String {
        let dot = if key.is_empty() { "" } else { "." };
        format!("{}:{line}: {}{dot}{key}: {message}", self.file, self.module)
    }
}

fn inline(text: String) -> Source {
    Source::Inline(Secret::new(text))
}
