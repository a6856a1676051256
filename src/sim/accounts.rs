//! Users who log in with a password, and the tickets that they get.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::json;
use super::noise::Shuffle;
use super::server::{Rights, lock};
use super::source::Reply;

/// For so long a ticket is accepted.
const LIFETIME: u64 = 2 * 3600;
/// By so much the clocks of two nodes may differ.
const SKEW: u64 = 300;

/// A user of the cluster.
#[derive(Debug, Clone)]
pub struct User {
    /// `user@realm`.
    pub name: String,
    /// What the user knows.
    pub password: String,
    /// What the user may see.
    pub rights: Rights,
    /// The password alone gets half a ticket, which is good for nothing.
    pub second_factor: bool,
}

/// The users of a cluster, and the key that its tickets are signed with; its endpoints share it.
#[derive(Debug, Default)]
pub struct Accounts {
    users: Mutex<Vec<User>>,
    key: AtomicU64,
    logins: Mutex<Logins>,
}

/// How many logins there were, at all endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logins {
    /// With a password.
    pub by_password: u64,
    /// With a ticket that was still valid.
    pub by_ticket: u64,
    /// With a password to which a second factor belongs.
    pub halves: u64,
    /// With neither.
    pub refused: u64,
}

impl Accounts {
    /// A cluster with these users.
    pub fn new(users: Vec<User>) -> Self {
        Self { users: Mutex::new(users), ..Self::default() }
    }

    /// From now on only this password is right; tickets stay what they are.
    pub fn set_password(&self, name: &str, password: &str) {
        for user in lock(&self.users).iter_mut().filter(|user| user.name == name) {
            password.clone_into(&mut user.password);
        }
    }

    /// No ticket of before is accepted any more.
    pub fn change_key(&self) {
        self.key.fetch_add(1, Ordering::Relaxed);
    }

    /// The logins so far.
    pub fn logins(&self) -> Logins {
        *lock(&self.logins)
    }

    /// `POST /access/ticket`.
    pub(super) fn log_in(&self, form: &[u8], now: Duration, mut order: Shuffle) -> Reply {
        let form = String::from_utf8_lossy(form).into_owned();
        let value = |name: &str| {
            let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(&value.replace('+', " ")))
        };
        let (Some(name), Some(password)) = (value("username"), value("password")) else {
            return missing(if value("username").is_none() { "username" } else { "password" });
        };
        let is_renewal = self.holder(&password, now).is_some_and(|holder| holder == name);
        let known = lock(&self.users).iter().find(|user| user.name == name).cloned();
        let known = known.filter(|user| is_renewal || user.password == password);
        let mut logins = lock(&self.logins);
        let Some(user) = known else {
            logins.refused += 1;
            let message = "authentication failure";
            let body = json!({ "data": null, "message": format!("{message}\n") });
            return Reply { protected: true, ..Reply::json(401, message, json::reordered(&body, &mut order)) };
        };
        let is_half = user.second_factor && !is_renewal;
        *match (is_half, is_renewal) {
            (true, _) => &mut logins.halves,
            (_, true) => &mut logins.by_ticket,
            (_, false) => &mut logins.by_password,
        } += 1;
        let holder = if is_half { "!tfa!%7B%22totp%22%3Atrue%7D" } else { &name };
        let csrf = format!("{:08X}:{}", now.as_secs(), self.csrf(&name));
        let mut data = json!({
            "username": name, "ticket": self.ticket(holder, now), "CSRFPreventionToken": csrf,
            "cap": { "nodes": { "Sys.Audit": 1 }, "vms": { "VM.Audit": 1 } },
        });
        if is_half {
            data["NeedTFA"] = 1.into();
        }
        let body = json::reordered(&json!({ "data": data }), &mut order);
        Reply { protected: true, ..Reply::json(200, "OK", body) }
    }

    /// The bearer of a `Cookie` header, and what it may see; `None` where its ticket is not accepted.
    pub(super) fn known(&self, cookies: &str, now: Duration) -> Option<(String, Rights)> {
        let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().strip_prefix("PVEAuthCookie="));
        let holder = self.holder(&decoded(cookies.next()?), now)?;
        lock(&self.users).iter().find(|user| user.name == holder).map(|user| (holder, user.rights))
    }

    /// `PVE:user@realm:6B00B907::signature`, as long as real ones.
    fn ticket(&self, holder: &str, now: Duration) -> String {
        let plain = format!("PVE:{holder}:{:08X}", now.as_secs());
        let signature = self.signature("ticket", &plain);
        format!("{plain}::{signature}")
    }

    /// What protects a user's POSTs, after its time.
    fn csrf(&self, name: &str) -> String {
        self.signature("csrf", name).chars().take(43).collect()
    }

    /// Whether a `CSRFPreventionToken` is the user's.
    pub(super) fn is_protected(&self, name: &str, token: &str) -> bool {
        token.split_once(':').is_some_and(|(_, signature)| signature == self.csrf(name))
    }

    fn holder(&self, ticket: &str, now: Duration) -> Option<String> {
        let (plain, signature) = ticket.split_once("::")?;
        let (holder, time) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
        let (time, now) = (u64::from_str_radix(time, 16).ok()?, now.as_secs());
        let is_valid = signature == self.signature("ticket", plain)
            && time <= now.saturating_add(SKEW)
            && now <= time.saturating_add(LIFETIME);
        is_valid.then(|| holder.to_owned())
    }

    /// 342 letters of base64 and the padding: no signature, but as hard to guess as a test needs it.
    fn signature(&self, purpose: &str, text: &str) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let key = self.key.load(Ordering::Relaxed);
        let blocks = (0..11).flat_map(|block| Sha256::digest(format!("{key}/{purpose}/{block}/{text}")));
        let letter = |byte: u8| LETTERS.get(usize::from(byte % 64)).copied().map_or('A', char::from);
        blocks.map(letter).take(342).collect::<String>() + "=="
    }
}

fn missing(parameter: &str) -> Reply {
    let message = "Parameter verification failed.";
    let text = "property is missing and it is not optional";
    let body = json!({ "data": null, "message": format!("{message}\n"), "errors": { parameter: text } });
    Reply { protected: true, ..Reply::json(400, message, body.to_string()) }
}

/// Without the percent encoding.
pub(super) fn decoded(text: &str) -> String {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (bytes, mut at, mut plain) = (text.as_bytes(), 0, Vec::with_capacity(text.len()));
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use proptest::prelude::*;

    use super::super::testing::{Client, endpoints, options, recorded, world_with};
    use super::super::{Credential, Options, Sim, World};
    use super::*;

    const PASSWORD: &str = "pä ss+&=%41;";
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

    fn accounts() -> Arc<Accounts> {
        let user = |name: &str, second_factor| User {
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
            rights: Rights::Auditor,
            second_factor,
        };
        Arc::new(Accounts::new(vec![user("monitor@pve", false), user("careful@pve", true)]))
    }

    fn encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    async fn post(sim: &Sim, body: &str) -> (String, serde_json::Value) {
        let mut client = Client::connect(sim).await;
        let head =
            format!("POST /api2/json/access/ticket HTTP/1.1\r\nHost: pve\r\n{FORM}Content-Length: {}", body.len());
        client.send_text(&format!("{head}\r\n\r\n{body}")).await;
        let answer = client.answer().await.unwrap();
        (answer.status_line().to_owned(), serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn log_in(sim: &Sim, name: &str, password: &str) -> (String, serde_json::Value) {
        post(sim, &format!("username={}&password={}", encoded(name), encoded(password))).await
    }

    async fn status(sim: &Sim, ticket: &str) -> String {
        let cookie = format!("Cookie: a=b; PVEAuthCookie={ticket}\r\n");
        Client::connect(sim).await.get("/cluster/status", &cookie).await.status_line().to_owned()
    }

    const OK: &str = "HTTP/1.1 200 OK";
    const WRONG: &str = "HTTP/1.1 401 Authentication failed!";

    #[tokio::test]
    async fn a_ticket_is_good_at_every_node_for_two_hours_and_gets_the_next_one() {
        let accounts = accounts();
        let (sim, time) = world_with(Options { accounts: Arc::clone(&accounts), ..options() }).await;
        let (line, answer) = log_in(&sim, "monitor@pve", PASSWORD).await;
        assert_eq!((line.as_str(), &answer["data"]["username"]), (OK, &"monitor@pve".into()));
        let ticket = answer["data"]["ticket"].as_str().unwrap();
        assert!(ticket.starts_with("PVE:monitor@pve:00000000::") && ticket.ends_with("=="), "{ticket}");
        time.store(7200, Ordering::Relaxed);
        assert_eq!(status(&sim, ticket).await, OK);
        assert_eq!(status(&sim, &encoded(ticket)).await, OK);
        let renewed = log_in(&sim, "monitor@pve", ticket).await.1["data"]["ticket"].as_str().unwrap().to_owned();
        time.store(7201, Ordering::Relaxed);
        assert_eq!((status(&sim, ticket).await.as_str(), status(&sim, &renewed).await.as_str()), (WRONG, OK));
        assert_eq!(log_in(&sim, "monitor@pve", ticket).await.0, "HTTP/1.1 401 authentication failure");
        assert_eq!(log_in(&sim, "careful@pve", &renewed).await.0, "HTTP/1.1 401 authentication failure");
        assert_eq!(accounts.logins(), Logins { by_password: 1, by_ticket: 1, halves: 0, refused: 2 });
        accounts.change_key();
        assert_eq!(status(&sim, &renewed).await, WRONG);

        let options = Options { accounts, ..options() };
        let sims = endpoints(&Arc::new(World::new(1, 3, 40)), 2, &options).await;
        let ticket = log_in(&sims[0], "monitor@pve", PASSWORD).await.1["data"]["ticket"].as_str().unwrap().to_owned();
        assert_eq!(status(&sims[1], &ticket).await, OK);
        assert_eq!(sims[1].requests()[0].credential, Credential::Right(Rights::Auditor));
    }

    #[tokio::test]
    async fn refusals_are_those_of_a_real_cluster() {
        let (sim, _) = world_with(Options { accounts: accounts(), ..options() }).await;
        for (form, file) in [
            ("username=monitor%40pve&password=wrong", "ERR_POST_access__ticket_badpassword.json"),
            ("username=nobody%40pve&password=wrong", "ERR_POST_access__ticket_unknown_user.json"),
            ("username=monitor%40pve", "ERR_POST_access__ticket_missing_password.json"),
        ] {
            let (status, reason, body) = recorded(file);
            assert_eq!(post(&sim, form).await, (format!("HTTP/1.1 {status} {reason}"), body), "{file}");
        }
        let (line, half) = log_in(&sim, "careful@pve", PASSWORD).await;
        assert_eq!((line.as_str(), &half["data"]["NeedTFA"]), (OK, &1.into()));
        let half = half["data"]["ticket"].as_str().unwrap();
        assert!(half.starts_with("PVE:!tfa!"), "{half}");
        assert_eq!(status(&sim, half).await, WRONG);
    }

    #[tokio::test]
    async fn with_a_ticket_nothing_is_changed_without_its_token() {
        let (sim, _) = world_with(Options { accounts: accounts(), ..options() }).await;
        let ticket = log_in(&sim, "monitor@pve", PASSWORD).await.1["data"]["ticket"].as_str().unwrap().to_owned();
        let mut client = Client::connect(&sim).await;
        let cookie = format!("Cookie: PVEAuthCookie={ticket}\r\n");
        client.send("POST /api2/json/nodes/pve1/qemu/100/status/start", &cookie).await;
        let (status, reason, _) = recorded("ERR_POST_no_csrf.json");
        let line = client.answer().await.unwrap().status_line().to_owned();
        assert_eq!(line, format!("HTTP/1.1 {status} {reason}"));
    }

    proptest! {
        #[test]
        fn no_text_panics(cookie in any::<String>(), form: Vec<u8>, close in "PVEAuthCookie=PVE:[a@:]{0,4}:?[0-9A-Fx%]{0,3}::.{0,3}") {
            let accounts = accounts();
            prop_assert_eq!(accounts.known(&cookie, Duration::ZERO), None);
            prop_assert_eq!(accounts.known(&close, Duration::ZERO), None);
            prop_assert_ne!(accounts.log_in(&form, Duration::ZERO, Shuffle::new(1, 1)).status, 200);
            prop_assert_eq!(decoded(&encoded(&cookie)), cookie);
        }
    }
}
