//! The file, and what becomes of it.

use proptest::prelude::*;

use super::*;

fn state(name: usize) -> Record {
    Record::State { cluster: "home".to_owned(), name: name.to_string(), text: "x\n\"é".to_owned() }
}

fn folder_with(records: &[Record]) -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path(), records.iter()).unwrap();
    (folder, journal)
}

fn states(found: &Found) -> Vec<Record> {
    found.records.iter().filter(|record| matches!(record, Record::State { .. })).cloned().collect()
}

#[test]
fn what_was_appended_is_read_again() {
    let (folder, mut journal) = folder_with(&[state(1)]);
    journal.append([state(2), state(3)].iter()).unwrap();
    journal.append([state(4)].iter()).unwrap();
    assert_eq!(journal.length(), std::fs::metadata(journal.path()).unwrap().len());
    let found = read(folder.path()).unwrap();
    assert_eq!((states(&found).len(), found.records.len(), found.troubles.len()), (4, 5, 0));
    Journal::create(folder.path(), [state(9)].iter()).unwrap();
    assert_eq!(states(&read(folder.path()).unwrap()), [state(9)]);
    assert!(!folder.path().join("events.journal.new").exists());
}

#[test]
fn a_folder_without_a_journal_has_an_empty_one_and_no_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read(folder.path()).unwrap().records.is_empty());
    let none = folder.path().join("none");
    assert_eq!(Journal::create(&none, [].iter()).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_newer_journal_is_refused_and_left_as_it_is() {
    let (folder, mut journal) = folder_with(&[]);
    journal.append([Record::Format { version: 7 }, state(1)].iter()).unwrap();
    let before = std::fs::read(journal.path()).unwrap();
    let said = read(folder.path()).unwrap_err();
    assert!(said.contains("events.journal in format 1, found format 7"), "{said}");
    assert_eq!(std::fs::read(journal.path()).unwrap(), before);
}

#[test]
fn records_of_unknown_kinds_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    frame::write(&mut bytes, b"{\"dreamt\":{\"of\":1}}");
    frame::write(&mut bytes, &serde_json::to_vec(&state(1)).unwrap());
    std::fs::write(folder.path().join(NAME), &bytes).unwrap();
    let found = read(folder.path()).unwrap();
    assert_eq!(states(&found), [state(1)]);
    assert_eq!(found.troubles, ["1 records of the journal make no sense and were passed over"]);
}

#[test]
fn of_a_damaged_journal_a_copy_is_kept_and_of_one_that_was_cut_off_none() {
    let (folder, mut journal) = folder_with(&[state(1)]);
    journal.append([state(2), state(3)].iter()).unwrap();
    let (path, copy) = (journal.path().to_owned(), folder.path().join("events.journal.damaged"));
    let whole = std::fs::read(&path).unwrap();
    let broken = String::from_utf8(whole.clone()).unwrap().replacen("x", "y", 1).into_bytes();
    let garbage = [&whole[..], b"two\nlines"].concat();
    for (bytes, is_kept) in [
        (&whole[..], false),
        (&whole[..whole.len() - 9], false),
        (&[], false),
        (&broken, true),
        (&garbage, true),
        (b"garbage\n", true),
        (&[0; 70_000], true),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let mut found = read(folder.path()).unwrap();
        found.keep_damaged(folder.path()).unwrap();
        assert_eq!(found.troubles.iter().any(|said| said.ends_with("events.journal.damaged")), is_kept);
        assert_eq!(std::fs::read(&copy).ok(), is_kept.then(|| bytes.to_vec()));
        let _ = std::fs::remove_file(&copy);
    }
}

proptest! {
    #[test]
    fn a_broken_file_is_never_refused(flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..4), cut: prop::sample::Index) {
        let (folder, mut journal) = folder_with(&[]);
        let all: Vec<Record> = (0..6).map(state).collect();
        journal.append(all.iter()).unwrap();
        let mut bytes = std::fs::read(journal.path()).unwrap();
        bytes.truncate(cut.index(bytes.len() + 1));
        for (place, bit) in &flips {
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
        }
        std::fs::write(journal.path(), &bytes).unwrap();
        // Records may be missing; those that are there are right, and in order.
        let found = states(&read(folder.path()).unwrap());
        let mut rest = all.iter();
        prop_assert!(found.iter().all(|record| rest.any(|other| other == record)), "{:?}", found);
        // The next start works with what is left.
        let mut journal = Journal::create(folder.path(), found.iter()).unwrap();
        journal.append([state(7)].iter()).unwrap();
        let again = read(folder.path()).unwrap();
        prop_assert_eq!(states(&again).len(), found.len() + 1);
        prop_assert!(again.troubles.is_empty());
    }
}
