//! What is remembered and what is forgotten, from answer to answer.

use std::sync::Arc;

use super::guests::Memory;
use super::{Resources, Traffic, Usage};

fn read(memory: &mut Arc<Memory>, entries: &str) -> Resources {
    Resources::learnt(&format!("{{\"data\":[{entries}]}}"), memory)
}

const ONLINE: &str = r#"{"type":"node","node":"a","status":"online","mem":1,"maxmem":2,"uptime":3}"#;
const OFFLINE: &str = r#"{"type":"node","node":"a","status":"offline","maxmem":2}"#;
const WHOLE: &str = r#"{"type":"qemu","vmid":100,"node":"a","status":"running","name":"web","tags":"b;a",
    "pool":"prod","template":0,"mem":5,"netin":7}"#;
const STRIPPED: &str = r#"{"type":"qemu","vmid":100,"node":"a","status":"unknown"}"#;

#[test]
fn a_guest_on_a_lost_node_keeps_its_identity_and_loses_its_figures() {
    let mut memory = Arc::<Memory>::default();
    let before = read(&mut memory, &format!("{ONLINE},{WHOLE}")).guests.iter().next().cloned().expect("a guest");
    assert_eq!(before.status.as_deref(), Some("running"));
    assert_eq!(before.usage.memory.get(), Some(5.0));
    assert_eq!(&*before.identity.tags, "a;b");
    // First PVE repeats ghost figures, then it forgets the guest's name; we say the same all the time.
    for entries in [format!("{OFFLINE},{WHOLE}"), format!("{OFFLINE},{STRIPPED}"), format!("{OFFLINE},{STRIPPED}")] {
        let lost = read(&mut memory, &entries).guests.iter().next().cloned().expect("a guest");
        assert!(Arc::ptr_eq(&lost.identity, &before.identity), "{entries}");
        assert_eq!((lost.status, lost.usage, lost.traffic), (None, Usage::default(), Traffic::default()));
    }
    let back = read(&mut memory, &format!("{ONLINE},{WHOLE}")).guests.iter().next().cloned().expect("a guest");
    assert_eq!(back, before);
}

#[test]
fn what_pve_itself_says_of_a_lost_guest_is_at_hand() {
    let mut memory = Arc::<Memory>::default();
    let before = read(&mut memory, &format!("{ONLINE},{WHOLE}")).guests.iter().next().cloned().expect("a guest");
    let told = before.told();
    assert_eq!(
        (told.name, told.tags, told.usage.memory.get()),
        (Some("web"), "b;a", Some(5.0)),
        "tags as PVE orders them"
    );
    for whole in [WHOLE.to_owned(), WHOLE.replace("b;a", "a;b")] {
        let before = read(&mut memory, &format!("{ONLINE},{whole}")).guests.iter().next().cloned().expect("a guest");
        let ghost = read(&mut memory, &format!("{OFFLINE},{whole}")).guests.iter().next().cloned().expect("a guest");
        assert_eq!((ghost.told(), ghost.status.as_deref()), (before.told(), None), "PVE repeats what was");
    }
    let forgotten = read(&mut memory, &format!("{OFFLINE},{STRIPPED}")).guests.iter().next().cloned().expect("a guest");
    let told = forgotten.told();
    assert_eq!((told.status, told.name, told.tags, told.template), (Some("unknown"), None, "", None));
    assert_eq!((told.usage, told.traffic), (Usage::default(), Traffic::default()));
    // The node is there again, and its pvestatd has told nothing yet.
    let early = read(&mut memory, &format!("{ONLINE},{STRIPPED}")).guests.iter().next().cloned().expect("a guest");
    assert_eq!((early.told().name, early.identity.name.as_deref()), (None, Some("web")));
    let tidy = WHOLE.replace("b;a", "a;b");
    assert_eq!(
        read(&mut memory, &format!("{ONLINE},{tidy}")).guests.iter().next().cloned().expect("a guest").ghost,
        None,
        "nothing is kept twice"
    );
}

#[test]
fn what_is_told_beats_what_is_remembered() {
    let mut memory = Arc::<Memory>::default();
    read(&mut memory, &format!("{ONLINE},{WHOLE}"));
    let renamed = WHOLE.replace("\"web\"", "\"shop\"").replace("\"b;a\"", "\"\"").replace("\"prod\"", "null");
    let guest = read(&mut memory, &format!("{ONLINE},{renamed}")).guests.iter().next().cloned().expect("a guest");
    assert_eq!(guest.identity.name.as_deref(), Some("shop"));
    assert_eq!((&*guest.identity.tags, guest.identity.pool.as_deref()), ("", None));
}

#[test]
fn a_deleted_guest_is_forgotten() {
    let mut memory = Arc::<Memory>::default();
    read(&mut memory, &format!("{ONLINE},{WHOLE}"));
    assert!(read(&mut memory, ONLINE).guests.is_empty());
    let new = read(&mut memory, &format!("{OFFLINE},{STRIPPED}")).guests.iter().next().cloned().expect("a guest");
    assert_eq!(new.identity.name, None, "a new guest of the same number inherits nothing");
}

#[test]
fn guests_are_known_again_in_any_order() {
    let guest = |vmid: u64| format!(r#"{{"type":"lxc","vmid":{vmid},"node":"a","status":"running","name":"n{vmid}"}}"#);
    let mut memory = Arc::<Memory>::default();
    let mut known = std::collections::HashMap::new();
    for order in
        [vec![5, 7, 6, 9, 5], vec![9, 6, 7, 5], vec![5, 9], vec![8, 5, 9, 4], vec![4, 5, 8, 9], vec![9, 8, 5, 4]]
    {
        let entries: Vec<String> = order.iter().map(|vmid| guest(*vmid)).collect();
        let guests = read(&mut memory, &format!("{ONLINE},{}", entries.join(","))).guests;
        known.retain(|vmid, _| order.contains(vmid));
        for guest in guests.iter() {
            let before = known.entry(guest.identity.vmid).or_insert_with(|| Arc::clone(&guest.identity));
            assert!(Arc::ptr_eq(before, &guest.identity), "{order:?} {guest:?}");
        }
        assert_eq!(guests.len(), known.len(), "{order:?}");
    }
}

#[test]
fn doubles_and_entries_without_number_or_node_are_passed_over() {
    let odd = r#"{"type":"qemu","node":"a"},{"type":"qemu","vmid":0.5,"node":"a"},{"type":"lxc","vmid":7},
        {"type":"openvz","vmid":8,"node":"a"}"#;
    let resources = read(&mut Arc::<Memory>::default(), &format!("{ONLINE},{ONLINE},{WHOLE},{WHOLE},{odd}"));
    assert_eq!((resources.nodes.len(), resources.guests.len()), (1, 1));
}

#[test]
fn a_token_without_rights_is_recognised() {
    let stripped = r#"{"type":"node","node":"a","status":"online","level":""}"#;
    assert!(read(&mut Arc::<Memory>::default(), stripped).looks_like_a_token_without_rights());
    for entries in [ONLINE.to_owned(), OFFLINE.to_owned(), format!("{stripped},{WHOLE}")] {
        assert!(!read(&mut Arc::<Memory>::default(), &entries).looks_like_a_token_without_rights(), "{entries}");
    }
}
