//! `POST /nodes/N/…/status/ACTION`: who may ask what of a guest or node, with which parameters.

use super::super::world::{Action, Order, Task, World, second};
use super::nodes::{pass_on, vmid_of};
use super::{Answer, Call, Reply};
use super::{check_names, failed, forbidden, invalid, json_text, not_implemented, protected};

/// A body of `application/x-www-form-urlencoded`.
pub(super) type Form = Vec<(String, String)>;

/// Answers a POST below `/nodes/`.
pub(super) fn answer(world: &World, call: &Call<'_>, parts: &[&str]) -> Result<Answer, Reply> {
    let form = form(call)?;
    match parts {
        [node, kind @ ("qemu" | "lxc"), vmid, "status", action] => {
            let vmid = vmid_of("vmid", vmid)?;
            let order = order(call, (*kind == "lxc", vmid, action), &form)?;
            for privilege in needed(order.action) {
                if !call.rights.holds(privilege) {
                    return Err(forbidden(&format!("/vms/{vmid}"), privilege));
                }
            }
            quorum(world, call)?;
            pass_on(world, call, node, |node| match world.power(&Order { node, ..order }, call.now) {
                Ok(upid) => protected(json_text(&upid)),
                Err(refused) => failed(&refused),
            })
        }
        [node, "status"] => {
            only(&form, &["command"])?;
            let command = value(&form, "command")
                .ok_or_else(|| invalid("command", "property is missing and it is not optional"))?;
            if !["reboot", "shutdown"].contains(&command) {
                return Err(invalid(
                    "command",
                    &format!("value '{command}' does not have a value in the enumeration 'reboot, shutdown'"),
                ));
            }
            node_power(call, node)?;
            pass_on(world, call, node, |node| {
                world.node_power(node, command == "reboot", call.now);
                protected("{\"data\":null}".to_owned())
            })
        }
        [node, "wakeonlan"] => {
            only(&form, &[])?;
            node_power(call, node)?;
            let Some(index) = world.node_index(node) else { return Err(invalid("node", "invalid format")) };
            if index == call.node {
                return Err(failed(&format!("'{node}' is local node, cannot wake my self!")));
            }
            world.wake_node(index, call.now);
            // Not passed on: the node sleeps. Whoever is asked sends the packet.
            let (asked, begun) = (call.node, second(call.now));
            let task = Task {
                node: asked,
                kind: "wakeonlan",
                id: (*node).to_owned(),
                by: call.caller.to_owned(),
                begun,
                ends: begun,
                outcome: "OK".to_owned(),
                log: Vec::new(),
            };
            world.begin(task);
            Ok(protected(json_text("aa:bb:cc:dd:ee:ff")).into())
        }
        _ => Err(not_implemented(call)),
    }
}

fn node_power(call: &Call<'_>, node: &str) -> Result<(), Reply> {
    match call.rights.holds("Sys.PowerMgmt") {
        true => Ok(()),
        false => Err(forbidden(&format!("/nodes/{node}"), "Sys.PowerMgmt")),
    }
}

/// Without a quorum nothing can be written down, so that nothing is begun.
fn quorum(world: &World, call: &Call<'_>) -> Result<(), Reply> {
    if world.is_quorate(call.now) { Ok(()) } else { Err(failed("cluster not ready - no quorum?")) }
}

fn order(call: &Call<'_>, (container, vmid, name): (bool, u64, &str), form: &Form) -> Result<Order, Reply> {
    let known: &[&str] = match (name, container) {
        ("start", false) => &["timeout", "skiplock"],
        ("start", true) => &["debug", "skiplock"],
        ("stop", false) => &["timeout", "keepActive", "skiplock", "overrule-shutdown"],
        ("stop", true) => &["skiplock", "overrule-shutdown"],
        ("shutdown", false) => &["timeout", "forceStop", "keepActive", "skiplock"],
        ("shutdown", true) => &["timeout", "forceStop"],
        ("reboot", _) => &["timeout"],
        ("reset", false) => &["skiplock"],
        ("suspend", false) => &["todisk", "statestorage", "skiplock"],
        ("resume", false) => &["nocheck", "skiplock"],
        ("suspend" | "resume", true) => &[],
        _ => return Err(not_implemented(call)),
    };
    only(form, known)?;
    let flag = |name: &str| matches!(value(form, name), Some("1" | "true" | "yes" | "on"));
    let action = match name {
        "start" => Action::Start,
        "stop" => Action::Stop,
        "shutdown" => Action::Shutdown,
        "reboot" => Action::Reboot,
        "reset" => Action::Reset,
        "suspend" => Action::Suspend { to_disk: flag("todisk") },
        _ => Action::Resume,
    };
    let seconds = |text: &str| {
        let number = text.parse::<u32>().map(i64::from);
        number.map_err(|_| invalid("timeout", &format!("type check ('integer') failed - got '{text}'")))
    };
    let timeout = value(form, "timeout").map(seconds).transpose()?;
    Ok(Order { node: 0, container, vmid, action, timeout, force: flag("forceStop"), by: call.caller.to_owned() })
}

fn needed(action: Action) -> &'static [&'static str] {
    match action {
        Action::Suspend { to_disk: true } => &["VM.PowerMgmt", "VM.Config.Disk"],
        _ => &["VM.PowerMgmt"],
    }
}

fn form(call: &Call<'_>) -> Result<Form, Reply> {
    let text = std::str::from_utf8(call.body).map_err(|_| invalid("", "no text"))?;
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (super::super::accounts::decoded(name), super::super::accounts::decoded(&value.replace('+', " ")))
    };
    Ok(text.split('&').filter(|text| !text.is_empty()).map(pair).collect())
}

fn only(form: &Form, known: &[&str]) -> Result<(), Reply> {
    let given: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
    check_names(&given, known)
}

fn value<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::super::super::testing::{recorded, shape};
    use super::super::{Rights, answer};
    use super::*;
    use crate::ids::Fingerprint;

    /// Asks the first node of a calm world; the guests 100 (VM, runs), 105 (stopped) … are on it or on others.
    struct Desk {
        world: World,
        rights: Rights,
    }

    impl Desk {
        fn new(rights: Rights) -> Self {
            let world = World::new(1, 3, 40);
            world.edit(Duration::ZERO, |edit| edit.calm());
            Self { world, rights }
        }

        fn call(&self, method: &str, path: &str, body: &str, now: u64) -> (u16, String, Value) {
            let call = Call {
                method,
                target: &format!("/api2/json{path}"),
                rights: self.rights,
                caller: "operator@pve!power",
                body: body.as_bytes(),
                now: Duration::from_secs(now),
                node: 0,
                fingerprint: Fingerprint([0; 32]),
                away_delay: Duration::from_secs(3),
                seed: 1,
                answer: 0,
            };
            let reply = answer(&self.world, &call).reply;
            (reply.status, reply.reason, serde_json::from_slice(&reply.body).unwrap_or_default())
        }

        /// Node, kind and number of the first guest that is so.
        fn find(&self, kind: &str, status: &str) -> (String, u64) {
            let body: Value = serde_json::from_str(&self.world.resources(Duration::ZERO)).unwrap();
            let is_wanted = |entry: &&Value| {
                entry["type"] == kind
                    && entry["status"] == status
                    && entry["hastate"].is_null()
                    && entry["lock"].is_null()
                    && entry["template"] == 0
            };
            let found = body["data"].as_array().unwrap().iter().find(is_wanted).unwrap();
            (
                format!("/nodes/{}/{kind}/{}", found["node"].as_str().unwrap(), found["vmid"]),
                found["vmid"].as_u64().unwrap(),
            )
        }

        fn act(&self, guest: &str, action: &str, body: &str, now: u64) -> String {
            let (status, reason, body) = self.call("POST", &format!("{guest}/status/{action}"), body, now);
            assert_eq!((status, reason.as_str()), (200, "OK"), "{action}");
            body["data"].as_str().unwrap().to_owned()
        }

        fn task(&self, upid: &str, now: u64) -> Value {
            let node = upid.split(':').nth(1).unwrap();
            self.call("GET", &format!("/nodes/{node}/tasks/{upid}/status"), "", now).2["data"].clone()
        }

        fn status(&self, guest: &str, now: u64) -> (String, Value) {
            let data = self.call("GET", &format!("{guest}/status/current"), "", now).2["data"].clone();
            (data["status"].as_str().unwrap().to_owned(), data["qmpstatus"].clone())
        }
    }

    #[test]
    fn a_vm_starts_and_stops_as_its_tasks_tell() {
        let desk = Desk::new(Rights::Operator);
        let (vm, vmid) = desk.find("qemu", "stopped");
        let upid = desk.act(&vm, "start", "", 100);
        let running = desk.task(&upid, 100);
        assert_eq!(running["status"], "running");
        assert_eq!(desk.status(&vm, 100).0, "stopped");
        let (_, _, first) = recorded("TASK_qemu_102_start__status_first_poll.json");
        assert_eq!(shape(&running), shape(&first["data"]));
        let stopped = desk.task(&upid, 101);
        let (_, _, last) = recorded("TASK_qemu_102_start__status_final.json");
        assert_eq!((shape(&stopped), &stopped["exitstatus"]), (shape(&last["data"]), &"OK".into()));
        assert_eq!(desk.status(&vm, 101), ("running".to_owned(), "running".into()));
        let again = desk.act(&vm, "start", "", 102);
        assert_eq!(desk.task(&again, 102)["exitstatus"], format!("VM {vmid} already running"));
        let upid = desk.act(&vm, "suspend", "", 110);
        assert_eq!(desk.task(&upid, 110)["type"], "qmpause");
        assert_eq!(desk.status(&vm, 111), ("running".to_owned(), "paused".into()));
        desk.act(&vm, "resume", "", 112);
        assert_eq!(desk.status(&vm, 112), ("running".to_owned(), "running".into()));
        desk.act(&vm, "shutdown", "timeout=60", 120);
        assert_eq!((desk.status(&vm, 122).0, desk.status(&vm, 123).0), ("running".into(), "stopped".into()));
        let idle = desk.act(&vm, "stop", "", 130);
        assert_eq!(desk.task(&idle, 130)["exitstatus"], "OK");
        let (status, reason, _) = desk.call("POST", &format!("{vm}/status/reset"), "", 131);
        assert_eq!((status, reason), (500, format!("VM {vmid} not running")));
    }

    #[test]
    fn a_container_refuses_at_once() {
        let desk = Desk::new(Rights::Operator);
        let (container, vmid) = desk.find("lxc", "running");
        let refused = |action, now| desk.call("POST", &format!("{container}/status/{action}"), "", now);
        assert_eq!(refused("start", 5).1, format!("CT {vmid} already running"));
        desk.act(&container, "stop", "", 10);
        for action in ["stop", "shutdown", "reboot"] {
            assert_eq!(refused(action, 20).1, format!("CT {vmid} not running"), "{action}");
        }
        assert_eq!(refused("reset", 20).0, 501);
    }

    #[test]
    fn what_holds_a_guest_or_makes_it_deaf_is_told_by_the_task() {
        let desk = Desk::new(Rights::Operator);
        let (vm, vmid) = desk.find("qemu", "running");
        desk.world.edit(Duration::ZERO, |edit| edit.lock(vmid, Some("backup")));
        let upid = desk.act(&vm, "stop", "", 1);
        assert_eq!(desk.task(&upid, 1)["exitstatus"], "VM is locked (backup)");
        desk.world.edit(Duration::ZERO, |edit| edit.lock(vmid, None) && edit.deafen(vmid));
        let upid = desk.act(&vm, "shutdown", "timeout=5", 10);
        assert_eq!(desk.task(&upid, 14)["status"], "running");
        assert_eq!(desk.task(&upid, 15)["exitstatus"], "VM quit/powerdown failed - got timeout");
        desk.act(&vm, "shutdown", "timeout=5&forceStop=1", 20);
        assert_eq!((desk.status(&vm, 24).0, desk.status(&vm, 25).0), ("running".into(), "stopped".into()));
    }

    #[test]
    fn ha_is_asked_and_acts_later() {
        let desk = Desk::new(Rights::Operator);
        let (vm, vmid) = desk.find("qemu", "running");
        desk.world.edit(Duration::ZERO, |edit| edit.manage(vmid, true));
        let upid = desk.act(&vm, "stop", "", 30);
        let task = desk.task(&upid, 30);
        assert_eq!((&task["type"], &task["exitstatus"]), (&"hastop".into(), &"OK".into()));
        assert_eq!((desk.status(&vm, 39).0, desk.status(&vm, 40).0), ("running".into(), "stopped".into()));
    }

    #[test]
    fn rights_and_parameters_are_looked_at_first() {
        let (vm, vmid) = Desk::new(Rights::Operator).find("qemu", "running");
        for rights in [Rights::Auditor, Rights::None] {
            let (status, reason, _) = Desk::new(rights).call("POST", &format!("{vm}/status/stop"), "", 0);
            assert_eq!((status, reason), (403, format!("Permission check failed (/vms/{vmid}, VM.PowerMgmt)")));
        }
        let desk = Desk::new(Rights::Operator);
        let (status, _, body) = desk.call("POST", &format!("{vm}/status/stop"), "bogus=1", 0);
        let (_, _, same) = recorded("ERR_POST_start_extra_param.json");
        assert_eq!((status, &body), (400, &same));
        assert_eq!(desk.call("POST", &format!("{vm}/status/suspend"), "todisk=1", 0).0, 403);
        assert_eq!(desk.call("POST", "/nodes/pve1/status", "command=reboot", 0).0, 403);
        let admin = Desk::new(Rights::Administrator);
        assert_eq!(admin.call("POST", "/nodes/pve1/status", "command=reboot", 0).0, 200);
        assert_eq!(admin.call("POST", "/nodes/pve1/status", "command=dance", 0).0, 400);
        assert_eq!(admin.call("POST", "/nodes/pve3/wakeonlan", "", 0).2["data"], "aa:bb:cc:dd:ee:ff");
        admin.world.edit(Duration::ZERO, |edit| edit.set_quorate(false));
        assert_eq!(admin.call("POST", &format!("{vm}/status/stop"), "", 0).1, "cluster not ready - no quorum?");
    }

    #[test]
    fn lists_of_tasks_have_the_shape_of_the_recorded_ones() {
        let desk = Desk::new(Rights::Administrator);
        let (vm, vmid) = desk.find("qemu", "stopped");
        for now in 0..30 {
            desk.act(&vm, "start", "", now * 10);
        }
        let node = vm.split('/').nth(2).unwrap();
        let all = desk.call("GET", "/cluster/tasks", "", 400).2;
        let (_, _, known) = recorded("GET_cluster__tasks.json");
        assert_eq!(all["data"].as_array().unwrap().len(), 25);
        assert_eq!(shape(&all["data"][0]), shape(&known["data"][0]));
        let page = desk.call("GET", &format!("/nodes/{node}/tasks?limit=2&start=1&vmid={vmid}"), "", 400).2;
        let (_, _, known) = recorded("GET_nodes__pve-lab__tasks.json");
        assert_eq!((page["data"].as_array().unwrap().len(), &page["total"]), (2, &30.into()));
        assert_eq!(shape(&page["data"][0]), shape(&known["data"][0]));
        let errors = desk.call("GET", &format!("/nodes/{node}/tasks?errors=1&since=9999999999"), "", 400).2;
        assert_eq!(errors["total"], 0);
        let upid = page["data"][1]["upid"].as_str().unwrap();
        let log = desk.call("GET", &format!("/nodes/{node}/tasks/{upid}/log"), "", 400).2;
        assert_eq!(log["data"][0]["t"], format!("TASK ERROR: VM {vmid} already running"));
        assert_eq!(desk.call("GET", &format!("/nodes/{node}/tasks/garbage/status"), "", 0).0, 400);
    }
}
