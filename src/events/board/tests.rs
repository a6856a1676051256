//! What an Alertmanager is shown, by the second.

use proptest::prelude::*;

use super::super::testing::{failed_task, lost_node};
use super::*;

const TIMES: Times = Times { hold: 900, resend: 60 };
const START: i64 = 1_790_000_000;

fn told(number: u64, finding: Finding, delivered: Option<i64>) -> Told {
    Told { number, at: START, finding: Arc::new(finding), delivered }
}

/// Sends what is due, which is accepted; gives the alerts and the new numbers.
fn send(board: &mut Board, now: i64) -> (Vec<Alert>, Vec<u64>) {
    let (keys, alerts): (Vec<Key>, Vec<Alert>) = board.due(now, 100).into_iter().unzip();
    (alerts, board.accepted(&keys, now))
}

fn one(board: &mut Board, now: i64) -> Alert {
    let (mut alerts, _) = send(board, now);
    assert_eq!(alerts.len(), 1, "at {now}: {alerts:?}");
    alerts.remove(0)
}

#[test]
fn what_happened_is_held_from_its_first_accepted_delivery_on() {
    let mut board = Board::new(TIMES);
    board.add(&told(1, failed_task("a", START - 50), None), START);
    // Nobody took it for a while.
    let refused = board.due(START, 100);
    assert_eq!((refused[0].1.starts_at, refused[0].1.ends_at), (START - 50, START + 900));
    assert_eq!(board.pending(), (1, Some(START)));
    let (alerts, numbers) = send(&mut board, START + 5000);
    assert_eq!((alerts[0].starts_at, alerts[0].ends_at, numbers), (START - 50, START + 5900, vec![1]));
    assert!(board.due(START + 5059, 100).is_empty());
    for resend in 1..15 {
        assert_eq!(board.next(START + 5000 + resend * 60 - 1), Some(START + 5000 + resend * 60));
        let again = one(&mut board, START + 5000 + resend * 60);
        assert_eq!((again.ends_at, again.annotations["count"].as_str()), (START + 5900, "1"));
    }
    assert!(board.due(START + 5900, 100).is_empty());
    assert_eq!((board.next(START + 5900), board.pending()), (None, (0, None)));
}

#[test]
fn findings_of_the_same_labels_are_one_alert_with_the_last_ten() {
    let mut board = Board::new(TIMES);
    for number in 1..=12_i64 {
        board.add(&told(number.unsigned_abs(), failed_task(&format!("U{number}"), START + number), None), START + 20);
    }
    board.add(&told(13, Finding { id: "qemu/101".to_owned(), ..failed_task("other", START) }, None), START + 20);
    let (alerts, numbers) = send(&mut board, START + 20);
    assert_eq!((alerts.len(), numbers.len()), (2, 13));
    let alert = alerts.iter().find(|alert| alert.labels["id"] == "qemu/100").unwrap();
    assert_eq!((alert.annotations["count"].as_str(), alert.annotations["upid"].as_str()), ("12", "U12"));
    assert_eq!(alert.annotations["upids"], "U3 U4 U5 U6 U7 U8 U9 U10 U11 U12");
    assert_eq!(alert.starts_at, START + 1);
    // A later one joins, and is itself held as long.
    board.add(&told(14, failed_task("U13", START + 800), None), START + 800);
    let joined = send(&mut board, START + 800).0.remove(0);
    assert_eq!((joined.starts_at, joined.ends_at), (START + 1, START + 1700));
    // One that comes when all is over begins anew.
    board.add(&told(15, failed_task("U14", START + 1700), None), START + 1700);
    let anew = send(&mut board, START + 1700).0.remove(0);
    assert_eq!((anew.starts_at, anew.annotations["count"].as_str()), (START + 1700, "1"));
}

#[test]
fn conditions_are_shown_while_they_are_true() {
    let mut board = Board::new(TIMES);
    board.add(&told(1, lost_node("pve1", Span::Began { since: START - 9 }), None), START);
    let alert = one(&mut board, START);
    assert_eq!((alert.starts_at, alert.ends_at), (START - 9, START + 240));
    assert!(!alert.annotations.contains_key("count"));
    // Days later, it is still sent.
    assert_eq!(one(&mut board, START + 500_000).ends_at, START + 500_240);
    board
        .add(&told(2, lost_node("pve1", Span::Ended { since: START - 9, at: START + 500_050 }), None), START + 500_060);
    let (alerts, numbers) = send(&mut board, START + 500_060);
    assert_eq!((alerts[0].ends_at, alerts[0].starts_at, numbers), (START + 500_050, START - 9, vec![2]));
    // An Alertmanager that was restarted hears of it, too.
    assert_eq!(one(&mut board, START + 500_120).ends_at, START + 500_050);
    assert!(send(&mut board, START + 500_960).0.is_empty());
}

#[test]
fn a_condition_that_was_over_before_it_was_told_is_told_as_what_happened() {
    let mut board = Board::new(TIMES);
    board.add(&told(1, lost_node("pve1", Span::Began { since: START }), None), START);
    board.add(&told(2, lost_node("pve1", Span::Ended { since: START, at: START + 60 }), None), START + 80);
    let (alerts, numbers) = send(&mut board, START + 4000);
    assert_eq!((alerts[0].starts_at, alerts[0].ends_at, numbers), (START, START + 4900, vec![1, 2]));
    // The same after a restart.
    let mut again = Board::new(TIMES);
    again.add(&told(1, lost_node("pve1", Span::Began { since: START }), Some(START + 4000)), START + 4010);
    again.add(
        &told(2, lost_node("pve1", Span::Ended { since: START, at: START + 60 }), Some(START + 4000)),
        START + 4010,
    );
    assert_eq!(one(&mut again, START + 4010).ends_at, START + 4900);
    // It is lost again meanwhile: from now on it is true.
    again.add(&told(3, lost_node("pve1", Span::Began { since: START + 4020 }), None), START + 4030);
    assert_eq!(one(&mut again, START + 4030).ends_at, START + 4270);
}

#[test]
fn after_a_restart_all_goes_on_as_before() {
    let mut board = Board::new(TIMES);
    board.add(&told(1, failed_task("a", START), Some(START)), START + 100);
    board.add(&told(2, lost_node("pve1", Span::Began { since: START }), Some(START)), START + 100);
    board.add(&told(3, failed_task("b", START + 90), None), START + 100);
    board.add(
        &told(4, Finding { id: "qemu/7".to_owned(), ..failed_task("c", START - 5000) }, Some(START - 4000)),
        START + 100,
    );
    let (alerts, numbers) = send(&mut board, START + 100);
    let ends: Vec<(&str, i64)> = alerts.iter().map(|alert| (alert.labels["id"].as_str(), alert.ends_at)).collect();
    assert_eq!(ends, [("qemu/100", START + 1000), ("node/pve1", START + 340)]);
    assert_eq!((numbers, alerts[0].annotations["count"].as_str()), (vec![3], "2"));
}

#[test]
fn what_is_refused_is_tried_less_and_less_often_and_does_not_hold_up_others() {
    let mut board = Board::new(TIMES);
    board.add(&told(1, failed_task("a", START), None), START);
    let key = board.due(START, 100).remove(0).0;
    let mut now = START;
    let mut waits = Vec::new();
    for _ in 0..9 {
        board.refused(&key, now);
        let next = board.next(now).unwrap();
        waits.push(next - now);
        assert!(board.due(next - 1, 100).is_empty());
        now = next;
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    assert_eq!(board.pending().0, 1);
    // A clock that is set back by a year does not hide it for one.
    assert_eq!(board.due(now - 31_536_000, 100).len(), 1);
    assert_eq!(send(&mut board, now).1, [1]);
}

proptest! {
    #[test]
    fn whatever_happens_each_finding_is_accepted_once_and_times_make_sense(
        steps in prop::collection::vec((0..4_u8, 0..3_u8, -2000..4000_i64, any::<bool>()), 1..60),
    ) {
        let mut board = Board::new(TIMES);
        let (mut now, mut accepted, mut added) = (START, Vec::new(), 0);
        for (what, id, step, works) in steps {
            now += step;
            let node = format!("pve{id}");
            let finding = match what {
                0 => Finding { id: node, ..failed_task(&format!("{added}"), now - step) },
                1 => lost_node(&node, Span::Began { since: now - step }),
                2 => lost_node(&node, Span::Ended { since: now - 100, at: now + step }),
                _ => failed_task("x", i64::MAX - step.abs()),
            };
            added += 1;
            board.add(&told(added, finding, None), now);
            let due = board.due(now, 100);
            for (_, alert) in &due {
                prop_assert!(alert.starts_at <= alert.ends_at, "{alert:?}");
            }
            if works {
                let keys: Vec<Key> = due.into_iter().map(|(key, _)| key).collect();
                accepted.extend(board.accepted(&keys, now));
                prop_assert_eq!(board.pending().0, 0);
            }
        }
        accepted.extend(send(&mut board, now).1);
        accepted.sort_unstable();
        prop_assert_eq!(accepted, (1..=added).collect::<Vec<_>>());
    }
}

#[test]
fn what_may_be_over_is_sent_again_as_late_as_it_can_be() {
    let mut board = Board::new(TIMES);
    board.add(&told(1, lost_node("pve1", Span::Began { since: START }), None), START);
    let ends = one(&mut board, START).ends_at;
    board.doubt(Doubts::from([("home".to_owned(), BTreeSet::from(["node_lost|node/pve1".to_owned()]))]));
    assert!(board.due(START + 60, 100).is_empty() && board.due(START + 179, 100).is_empty());
    assert_eq!(board.next(START + 60), Some(START + 180));
    assert!(ends > START + 180);
    assert_eq!(one(&mut board, START + 180).ends_at, START + 420);
    // True after all.
    board.doubt(Doubts::new());
    assert_eq!(one(&mut board, START + 240).ends_at, START + 480);
    board.doubt(Doubts::from([("home".to_owned(), BTreeSet::from(["node_lost|node/pve1".to_owned()]))]));
    board.add(&told(2, lost_node("pve1", Span::Ended { since: START, at: START + 241 }), None), START + 250);
    assert_eq!(one(&mut board, START + 250).ends_at, START + 241);
    assert_eq!(one(&mut board, START + 310).ends_at, START + 241);
}
