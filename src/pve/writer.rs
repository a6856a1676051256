//! The one who may change something: a credential of its own, and no more calls than acting needs.
//!
//! A POST is sent once. Nothing of it is repeated but where PVE has surely done nothing: no connection came about, or a
//! ticket was not accepted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::Answer;
use super::asking::Asking;
use super::client::Limits;
use super::endpoints::Endpoints;
use super::error::{Error, Reason};
use super::fast;
use super::gate::Gate;
use super::path::Path;
use super::ticket::escaped;
use super::tls::Roots;
use super::transport::{Bounds, Call, Line, Transport};
use crate::config::Cluster;
use crate::metrics::Own;

/// Bounds of a look: a node that hangs is not waited for until pveproxy gives up, since another endpoint may do better.
const LOOK: Bounds = Bounds { head: Duration::from_secs(10), total: Duration::from_secs(12) };
/// Bounds of a POST: pveproxy itself gives another node 30 s, and its word is worth more than our impatience.
const POST: Bounds = Bounds { head: Duration::from_secs(35), total: Duration::from_secs(40) };

/// Acts on one cluster, with the credential of `clusters.control` and no other.
pub struct Writer(Arc<Asking>);

/// A guest as paths name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name of its node.
    pub node: &'a str,
    /// `qemu` or `lxc`.
    pub kind: &'static str,
    /// Its number.
    pub vmid: u64,
}

/// What became of a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// PVE took it, and answered this text: a UPID, or nothing where there is no task.
    Taken(String),
    /// PVE refused it: nothing was done. The status, and PVE's words on one line.
    Refused(u16, String),
    /// No answer that says so: it may have reached PVE, or not. What went wrong.
    Unknown(String),
    /// It was not sent: no connection came about, or nobody could log in. What went wrong.
    NotSent(String),
}

impl Writer {
    /// A writer that has not connected yet; `None` where the cluster has no acting credential. Fails with a sentence for
    /// the administrator.
    pub fn new(cluster: &Cluster, limits: Limits, roots: &Roots, own: Arc<Own>) -> Result<Option<Self>, String> {
        let Some(credential) = cluster.control.clone() else { return Ok(None) };
        let identity = credential.identity().to_owned();
        let acting = Cluster { credential, ..cluster.clone() };
        let transport = Transport::new(&acting, limits.max_body, roots, own)
            .map_err(|what| format!("cluster {}: control: {what}", cluster.name))?;
        let (endpoints, gate) = (Endpoints::new(&acting), Gate::default());
        Ok(Some(Self(Arc::new(Asking { cluster: acting.name, identity, transport, endpoints, gate }))))
    }

    /// Who acts: `user@realm!name` or `user@realm`.
    pub fn identity(&self) -> &str {
        &self.0.identity
    }

    /// `/cluster/resources`: where each guest is, as the cluster's own file system has it.
    pub async fn resources(&self) -> Result<Answer, Error> {
        fast::get(&self.0, &Path::from("/cluster/resources")).await
    }

    /// `/version`: whether the credential is let in.
    pub async fn version(&self) -> Result<Answer, Error> {
        fast::get(&self.0, &Path::from("/version")).await
    }

    /// `/access/permissions`: what the credential may do.
    pub async fn permissions(&self) -> Result<Answer, Error> {
        self.look(&Path::from("/access/permissions")).await
    }

    /// What a guest does now, by its own node.
    pub async fn guest_status(&self, guest: Place<'_>) -> Result<Answer, Error> {
        self.look(&of_guest("/nodes/{node}/{kind}/{vmid}/status/current", guest)).await
    }

    /// How a task does.
    pub async fn task_status(&self, node: &str, upid: &str) -> Result<Answer, Error> {
        self.look(&Path::new("/nodes/{node}/tasks/{upid}/status", &[("node", node), ("upid", upid)])).await
    }

    /// What a task wrote, from its first line on.
    pub async fn task_log(&self, node: &str, upid: &str) -> Result<Answer, Error> {
        let path = "/nodes/{node}/tasks/{upid}/log?start=0&limit=500";
        self.look(&Path::new(path, &[("node", node), ("upid", upid)])).await
    }

    /// The tasks of a guest on a node that began at this second of the node's clock or later, running ones included.
    pub async fn tasks(&self, guest: Place<'_>, since: u64) -> Result<Answer, Error> {
        let path = "/nodes/{node}/tasks?source=all&limit=100&vmid={vmid}&since={since}";
        let (vmid, since) = (guest.vmid.to_string(), since.to_string());
        self.look(&Path::new(path, &[("node", guest.node), ("vmid", &vmid), ("since", &since)])).await
    }

    /// `POST /nodes/{node}/{kind}/{vmid}/status/{verb}` with these fields, once.
    pub async fn act(&self, guest: Place<'_>, verb: &'static str, fields: &[(&'static str, String)]) -> Sent {
        let (vmid, names) = (guest.vmid.to_string(), [("node", guest.node), ("kind", guest.kind)]);
        let more = [("vmid", vmid.as_str()), ("verb", verb)];
        let path = Path::new("/nodes/{node}/{kind}/{vmid}/status/{verb}", &[names, more].concat());
        let form: Vec<String> =
            fields.iter().map(|(name, value)| escaped(&format!("{name}="), value, b"").to_string()).collect();
        self.post(&path, &form.join("&")).await
    }

    /// `POST /nodes/{node}/status` with `command`, `shutdown` or `reboot`, once. There is no task for it.
    pub async fn act_on_node(&self, node: &str, command: &'static str) -> Sent {
        self.post(&Path::new("/nodes/{node}/status", &[("node", node)]), &format!("command={command}")).await
    }

    /// `POST /nodes/{node}/wakeonlan`, once; whoever is asked wakes the node. What is answered is the address of its card.
    pub async fn wake_node(&self, node: &str) -> Sent {
        self.post(&Path::new("/nodes/{node}/wakeonlan", &[("node", node)]), "").await
    }

    /// The endpoints take turns only while nothing was sent.
    async fn post(&self, path: &Path, form: &str) -> Sent {
        let mut last = Sent::NotSent(self.0.endpoints.all_refused(path.as_str()).to_string());
        for candidate in self.0.endpoints.order("/cluster/resources") {
            let result = self.0.admitted(|| self.post_at(candidate.index, path, form)).await;
            match became(path, result) {
                Sent::NotSent(why) => last = Sent::NotSent(why),
                other => return other,
            }
        }
        last
    }

    async fn post_at(&self, index: usize, path: &Path, form: &str) -> Result<Answer, Error> {
        // No order goes to a cluster that is another one, nor to one of which nothing is known.
        self.0.prove(index).await?;
        let form = Bytes::from(form.to_owned());
        self.0.transport.post(self.0.endpoints.url(index), path, form, POST).await
    }

    /// Asks the endpoints one after the other, whether or not their health is known.
    async fn look(&self, path: &Path) -> Result<Answer, Error> {
        let mut last = self.0.endpoints.all_refused(path.as_str());
        for candidate in self.0.endpoints.order("/cluster/resources") {
            match self.0.admitted(|| self.0.identified(candidate.index, Call::whole(path), Line::Kept, LOOK)).await {
                Err(error) if error.is_of_the_endpoint() => last = error,
                result => return result,
            }
        }
        Err(last)
    }
}

fn of_guest(template: &'static str, guest: Place<'_>) -> Path {
    let vmid = guest.vmid.to_string();
    Path::new(template, &[("node", guest.node), ("kind", guest.kind), ("vmid", &vmid)])
}

fn became(path: &Path, result: Result<Answer, Error>) -> Sent {
    let error = match result.and_then(|answer| answer.data::<Option<String>>()) {
        Ok(text) => return Sent::Taken(text.unwrap_or_default()),
        Err(error) => error,
    };
    let told = format!("POST {}/api2/json{path}: {}", error.endpoint, error.reason);
    match error.reason {
        Reason::Unreachable(_)
        | Reason::Busy(_)
        | Reason::Foreign(_)
        | Reason::Tls(_)
        | Reason::NotLoggedIn(_)
        | Reason::NoToken(_) => Sent::NotSent(told),
        Reason::Unauthorized(words) => Sent::Refused(401, words),
        Reason::Forbidden(words) => Sent::Refused(403, words),
        Reason::NotFoundHere(words) => Sent::Refused(500, words),
        // 595: pveproxy did not get through to the node.
        Reason::Status(code @ (300..=500 | 501 | 595), words) => Sent::Refused(code, words),
        Reason::Status(..) | Reason::Malformed(_) | Reason::Broken(_) | Reason::TooLarge(_) | Reason::Timeout(_) => {
            Sent::Unknown(told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reason: Reason) -> Sent {
        let endpoint = "https://192.0.2.11:8006".to_owned();
        became(&Path::from("/x"), Err(Error { endpoint, path: "/x".to_owned(), reason }))
    }

    #[test]
    fn only_what_surely_did_nothing_is_told_so() {
        assert_eq!(became(&Path::from("/x"), Ok(Answer::of(r#"{"data":"UPID:a"}"#))), Sent::Taken("UPID:a".to_owned()));
        assert_eq!(became(&Path::from("/x"), Ok(Answer::of(r#"{"data":null}"#))), Sent::Taken(String::new()));
        for reason in [
            Reason::Unreachable("refused".into()),
            Reason::Tls("no".into()),
            Reason::Foreign("other".into()),
            Reason::NotLoggedIn("no".into()),
        ] {
            assert!(matches!(of(reason.clone()), Sent::NotSent(_)), "{reason:?}");
        }
        for (reason, status) in [
            (Reason::Unauthorized("no".into()), 401),
            (Reason::Forbidden("no".into()), 403),
            (Reason::NotFoundHere("no".into()), 500),
            (Reason::Status(400, "no".into()), 400),
            (Reason::Status(501, "no".into()), 501),
            (Reason::Status(595, "no".into()), 595),
        ] {
            assert_eq!(of(reason), Sent::Refused(status, "no".to_owned()));
        }
        for reason in [
            Reason::Broken("cut".into()),
            Reason::Timeout(Duration::from_secs(40)),
            Reason::Malformed("no JSON".into()),
            Reason::Status(596, "Connection timed out".into()),
            Reason::Status(502, "Bad Gateway".into()),
            Reason::Status(599, "Too many redirections".into()),
        ] {
            let Sent::Unknown(told) = of(reason.clone()) else { panic!("{reason:?}") };
            assert!(told.starts_with("POST https://192.0.2.11:8006/api2/json/x: "), "{told}");
        }
        assert!(matches!(became(&Path::from("/x"), Ok(Answer::of(r#"{"data":7}"#))), Sent::Unknown(_)));
    }
}
