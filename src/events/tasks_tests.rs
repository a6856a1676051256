//! The cursor before an omniscient list.

use proptest::prelude::*;

use super::*;

/// A node with all that it ever did. Times are of a clock that never jumps; `skew` is what the node's own adds.
#[derive(Debug, Clone)]
struct Deed {
    begun: i64,
    lasts: i64,
}

const EPOCH: i64 = 1_800_000_000;

fn task(number: usize, deed: &Deed, now: i64, skew: impl Fn(i64) -> i64) -> Task {
    let (begun, end) = (EPOCH + deed.begun + skew(deed.begun), deed.begun + deed.lasts);
    Task {
        // Ticks are hundredths of seconds since the boot.
        upid: format!("UPID:pve1:{number:08X}:{:08X}:{begun:08X}:qmstart:{number}:root@pam:", deed.begun * 100),
        node: "pve1".into(),
        kind: "qmstart".into(),
        id: number.to_string(),
        user: "root@pam".into(),
        begun,
        ended: (end <= now).then(|| EPOCH + end + skew(end)),
        status: if end <= now { "OK".into() } else { String::new() },
    }
}

/// What `/cluster/tasks` shows: all that run, then what began last, up to the window.
fn window(all: &[Task]) -> Vec<Task> {
    let (running, mut ended): (Vec<Task>, Vec<Task>) = all.iter().cloned().partition(|task| task.ended.is_none());
    ended.sort_by_key(|task| std::cmp::Reverse(task.tick()));
    let place = WINDOW.saturating_sub(running.len());
    running.into_iter().chain(ended.into_iter().take(place)).collect()
}

fn look(cursor: &mut Cursor, all: &[Task]) -> Vec<String> {
    let mut new = cursor.take(&window(all));
    if let Some(since) = cursor.gap() {
        let archived: Vec<Task> =
            all.iter().filter(|task| task.ended.is_some() && task.begun >= since).cloned().collect();
        new.extend(cursor.take_archive(&archived));
    }
    new.into_iter().map(|task| task.upid).collect()
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = (0_i64..2000, prop_oneof![0_i64..5, 0_i64..900]).prop_map(|(begun, lasts)| Deed { begun, lasts });
    prop::collection::vec(deed, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn everything_is_told_once(deeds in deeds(), mut looks in prop::collection::vec(0_i64..3000, 1..60)) {
        looks.extend([0, 3000]);
        looks.sort_unstable();
        let mut cursor = Cursor::new(EPOCH - 1);
        let mut told = Vec::new();
        for now in looks {
            let begun = deeds.iter().enumerate().filter(|(_, deed)| deed.begun <= now);
            let all: Vec<Task> = begun.map(|(number, deed)| task(number, deed, now, |_| 0)).collect();
            told.extend(look(&mut cursor, &all));
            // A restart goes on from what was written down.
            cursor = serde_json::from_str(&serde_json::to_string(&cursor).unwrap()).unwrap();
        }
        let mut expected: Vec<String> =
            deeds.iter().enumerate().map(|(number, deed)| task(number, deed, 3000, |_| 0).upid).collect();
        told.sort();
        expected.sort();
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn nothing_is_told_twice_or_lost_by_a_clock_that_jumps(
        deeds in deeds(), at in 500_i64..1500, by in -7200_i64..7200,
    ) {
        let skew = |time: i64| if time >= at { by } else { 0 };
        let mut cursor = Cursor::new(EPOCH);
        // The node did something before, or nothing tells that its clock went back.
        let before = task(deeds.len(), &Deed { begun: 0, lasts: 0 }, 0, |_| 0);
        prop_assert!(cursor.take(&[before]).is_empty());
        let deeds: Vec<Deed> = deeds.into_iter().map(|deed| Deed { begun: deed.begun + 1, ..deed }).collect();
        let mut told = Vec::new();
        for now in (0..=3000).step_by(50) {
            let begun = deeds.iter().enumerate().filter(|(_, deed)| deed.begun <= now);
            let all: Vec<Task> = begun.map(|(number, deed)| task(number, deed, now, skew)).collect();
            told.extend(look(&mut cursor, &all));
        }
        let once: BTreeSet<&String> = told.iter().collect();
        prop_assert_eq!(once.len(), told.len());
        prop_assert_eq!(once.len(), deeds.len());
    }
}

#[test]
fn what_ended_before_the_first_look_is_not_told() {
    let all: Vec<Task> = (0..40).map(|n| task(n, &Deed { begun: 10 * n as i64, lasts: 1 }, 1000, |_| 0)).collect();
    let mut cursor = Cursor::new(EPOCH + 1000);
    assert!(look(&mut cursor, &all).is_empty());
    assert_eq!(cursor.gap(), None);
    let mut cursor = Cursor::new(EPOCH + 381);
    assert_eq!(look(&mut cursor, &all), [all[39].upid.as_str()]);
}

#[test]
fn a_gap_stays_until_the_archive_was_read() {
    let first = task(0, &Deed { begun: 1, lasts: 1 }, 1000, |_| 0);
    let mut cursor = Cursor::new(EPOCH);
    assert_eq!(cursor.take(std::slice::from_ref(&first)).len(), 1);
    let all: Vec<Task> = (1..100).map(|n| task(n, &Deed { begun: 10 + n as i64, lasts: 0 }, 1000, |_| 0)).collect();
    assert_eq!(cursor.take(&all[74..]).len(), 25);
    assert_eq!(cursor.gap(), Some(first.ended.unwrap() - MARGIN - 1));
    assert_eq!(cursor.take(&all[74..]).len(), 0);
    assert_eq!(cursor.take_archive(&all).len(), 74);
    assert_eq!(cursor.gap(), None);
}

#[test]
fn a_task_that_nobody_knows_any_more_is_forgotten() {
    let mut cursor = Cursor::new(EPOCH);
    cursor.take(&[task(0, &Deed { begun: 1, lasts: 100 }, 50, |_| 0)]);
    for looks in 1..=PATIENCE {
        assert_eq!(cursor.running.len(), 1, "{looks}");
        cursor.take(&[]);
        assert!(cursor.gap().is_some());
        cursor.take_archive(&[]);
    }
    assert_eq!(cursor.running.len(), 0);
    cursor.take(&[]);
    assert_eq!(cursor.gap(), None);
}
