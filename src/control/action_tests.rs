//! The whole matrix of actions, kinds and states.

use super::*;

fn guest(kind: &'static str, condition: Condition, lock: Option<&str>) -> Guest {
    let word = format!("{condition:?}").to_lowercase();
    let lock = lock.map(str::to_owned);
    Guest {
        vmid: 100,
        kind,
        node: "pve1".to_owned(),
        name: None,
        tags: Vec::new(),
        pool: None,
        template: false,
        ha_state: None,
        seen: Seen { condition, word, lock, uptime: 100, is_managed: false, at: None },
    }
}

fn wish(action: Action) -> Wish {
    Wish { action, timeout: None, force: false }
}

/// The verb with its fields, `already`, or the code of a refusal.
fn told(action: Action, guest: &Guest) -> String {
    match plan(&wish(action), guest) {
        Ok(Plan::Already) => "already".to_owned(),
        Ok(Plan::Send(order)) => {
            let fields: String = order.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{}{fields}{}", order.verb, if order.via_ha { " (ha)" } else { "" })
        }
        Err(error) => error.code.as_str().to_owned(),
    }
}

#[test]
fn each_action_in_each_state_is_one_order_or_none() {
    use Condition::{Odd, Paused, Running, Stopped};
    let states = [
        (Running, None),
        (Paused, None),
        (Stopped, None),
        (Odd, None),
        (Stopped, Some("suspended")),
        (Running, Some("backup")),
    ];
    let row = |kind, action| states.map(|(condition, lock)| told(action, &guest(kind, condition, lock)));
    for (action, vm) in [
        (Action::Start, ["already", "start", "start", "start", "start", "locked"]),
        (Action::Stop, ["stop", "stop", "already", "stop", "locked", "locked"]),
        (Action::Shutdown, ["shutdown", "shutdown", "already", "shutdown", "locked", "locked"]),
        (Action::Reboot, ["reboot", "reboot", "reboot", "reboot", "locked", "locked"]),
        (Action::Reset, ["reset", "reset", "reset", "reset", "locked", "locked"]),
        (Action::Suspend, ["suspend", "already", "suspend", "suspend", "locked", "locked"]),
        (Action::Resume, ["already", "resume", "resume", "resume", "start", "locked"]),
        (
            Action::Hibernate,
            ["suspend todisk=1", "suspend todisk=1", "suspend todisk=1", "suspend todisk=1", "already", "locked"],
        ),
    ] {
        assert_eq!(row("qemu", action), vm, "{action:?}");
        let no = "unsupported_action";
        let container = if matches!(action, Action::Reset | Action::Hibernate) { [no; 6] } else { vm };
        assert_eq!(row("lxc", action), container, "{action:?}");
    }
}

#[test]
fn templates_never_run_and_ha_is_asked_where_it_listens() {
    for action in Action::ALL {
        let template = Guest { template: true, ..guest("qemu", Condition::Stopped, None) };
        assert_eq!(told(action, &template), "template");
        assert_eq!(Action::parse(action.as_str()), Some(action));
    }
    let mut managed = guest("qemu", Condition::Running, None);
    managed.seen.is_managed = true;
    managed.ha_state = Some("started".to_owned());
    assert_eq!(
        [Action::Stop, Action::Shutdown, Action::Reboot].map(|action| told(action, &managed)),
        ["stop (ha)", "shutdown (ha)", "reboot"]
    );
    managed.ha_state = Some("error".to_owned());
    assert_eq!([Action::Stop, Action::Reset].map(|action| told(action, &managed)), ["ha_forbids", "reset"]);
}

#[test]
fn wishes_become_fields_and_rights() {
    let wish = Wish { action: Action::Shutdown, timeout: Some(Duration::from_secs(90)), force: true };
    let Ok(Plan::Send(order)) = plan(&wish, &guest("lxc", Condition::Running, None)) else { panic!("an order") };
    assert_eq!(order.fields, [("timeout", "90".to_owned()), ("forceStop", "1".to_owned())]);
    assert_eq!(order.needs, [("VM.PowerMgmt", "/vms/100".to_owned())]);
    let wish = super::tests::wish(Action::Hibernate);
    let Ok(Plan::Send(order)) = plan(&wish, &guest("qemu", Condition::Running, None)) else { panic!("an order") };
    assert_eq!(
        order.needs.iter().map(|(privilege, _)| *privilege).collect::<Vec<_>>(),
        ["VM.PowerMgmt", "VM.Config.Disk"]
    );
}

#[test]
fn success_is_what_the_guest_does() {
    let seen = |condition, lock, uptime| Seen { uptime, ..guest("qemu", condition, lock).seen };
    let elapsed = Duration::from_secs(5);
    let is_met = |action: Action, kind, seen: &Seen| action.goal(kind).is_met(seen, 100, elapsed);
    let (running, paused) = (seen(Condition::Running, None, 105), seen(Condition::Paused, None, 105));
    let (stopped, asleep) = (seen(Condition::Stopped, None, 0), seen(Condition::Stopped, Some("suspended"), 0));
    assert!(is_met(Action::Start, "qemu", &running) && !is_met(Action::Start, "qemu", &paused));
    assert!(is_met(Action::Stop, "qemu", &stopped) && !is_met(Action::Stop, "qemu", &running));
    assert!(is_met(Action::Suspend, "qemu", &paused) && !is_met(Action::Suspend, "qemu", &stopped));
    assert!(is_met(Action::Suspend, "lxc", &stopped));
    assert!(is_met(Action::Reset, "qemu", &paused) && !is_met(Action::Reset, "qemu", &stopped));
    assert!(is_met(Action::Hibernate, "qemu", &asleep) && !is_met(Action::Hibernate, "qemu", &stopped));
    assert!(!is_met(Action::Reboot, "qemu", &running));
    assert!(is_met(Action::Reboot, "qemu", &seen(Condition::Running, None, 4)));
}
